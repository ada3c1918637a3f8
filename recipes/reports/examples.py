"""The scored examples of an evaluation: what was read, what was right, what the model answered, and its loss.

A run writes all of them into `examples.jsonl`, a line each, in the order of the split. Pages and tables of a run show a
choice of them, and its scores are computed from them again, with intervals.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes.reports.json_text import json_text
from recipes.runner.whole_files import replacing
from zoo.batches.predictions import Attended
from zoo.errors import ZooError

# How many examples are shown: those with the highest loss, and others drawn at random.
WORST = 50
AT_RANDOM = 50
SEED = 0
# The split that a stage evaluates.
SPLITS = {"val": "dev", "test": "test"}
# A text, the tokens or tags of a sentence, or the labels of a text that may have several.
Content = str | list[str]
# The keys that every line has; the details of the task follow.
FIELDS = ("row", "source", "gold", "predicted", "loss", "tokens")


@dataclass(frozen=True)
class ScoredExample:
    """An example of the evaluated split and a model's answer to it."""

    row: int
    source: Content
    gold: Content | None
    """The tags, label, labels or target text; None for a language model, which predicts the source itself."""
    predicted: Content | None
    loss: float
    """The negative log-likelihood of the gold in nats, as a mean over `tokens`; NaN if the model cannot give it any."""
    tokens: int
    """What the loss is the mean over; 1 for a label."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the scores of the task are computed from, in JSON's types."""

    @property
    def right(self) -> bool:
        """Whether the answer is the gold."""
        return self.gold == self.predicted


@dataclass(frozen=True)
class Chosen:
    """The examples that are shown."""

    worst: list[ScoredExample]
    """In the order of their losses, the highest first."""
    at_random: list[ScoredExample]
    """In the order of their rows."""


def chosen(examples: Iterable[ScoredExample], *, seed: int = SEED) -> Chosen:
    """Chooses the worst examples, and others at random, in one pass that keeps no more than these.

    Args:
        examples: in the order of their rows, so that a seed has one meaning.
        seed: seeds the choice.
    """
    dice = random.Random(seed)
    worst: list[tuple[float, int, ScoredExample]] = []
    at_random: list[ScoredExample] = []
    for place, example in enumerate(examples):
        if not math.isnan(example.loss):
            # Of equal losses the first one is worse, and no two examples are compared.
            heapq.heappush(worst, (example.loss, -place, example))
            if len(worst) > WORST:
                heapq.heappop(worst)
        # Reservoir sampling: each example so far is among the drawn ones with the same probability.
        if len(at_random) < AT_RANDOM:
            at_random.append(example)
        else:
            drawn = dice.randrange(place + 1)
            if drawn < AT_RANDOM:
                at_random[drawn] = example
    in_order = [example for _, _, example in sorted(worst, key=lambda one: one[:2], reverse=True)]
    return Chosen(in_order, sorted(at_random, key=lambda example: example.row))


def write_examples(examples: Iterable[ScoredExample], path: Path) -> None:
    """Writes examples as JSON Lines.

    Raises:
        OSError: they cannot be written, for example because the disk is full.
    """
    # JSON spells a lone surrogate, which UTF-8 does not have, as this error handler does.
    with replacing(path) as part, part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for example in examples:
            fields = {name: getattr(example, name) for name in FIELDS}
            file.write(json_text({**fields, **example.details}) + "\n")


def write_attention(attended: Sequence[Attended], path: Path) -> None:
    """Writes the attention of a model as JSON; nothing if there is none."""
    if attended:
        rows = [{**one._asdict(), "weights": one.weights.tolist()} for one in attended]
        with replacing(path) as part:
            part.write_text(json_text(rows) + "\n", encoding="utf-8", errors="backslashreplace")


def read_examples(path: Path) -> Iterator[ScoredExample]:
    """Reads the examples that `write_examples` has written, one after the other.

    Raises:
        ZooError: the file is missing or damaged.
    """
    try:
        file = path.open(encoding="utf-8", newline="\n")
    except OSError as error:
        raise ZooError(f"{path}: expected the examples of a finished run, got: {error.strerror}") from error
    with file:
        try:
            for number, line in enumerate(file, 1):
                yield _example(json.loads(line), f"{path}:{number}")
        # json and codecs have errors of their own, which are ValueErrors.
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, ZooError):
                raise
            raise ZooError(f"{path}: expected a JSON object with the example of a row on each line: {error}") from error


def _example(fields: object, place: str) -> ScoredExample:
    if not isinstance(fields, dict):
        raise ZooError(f"{place}: expected a JSON object with an example, got {str(fields)[:40]!r}")
    missing = [name for name in FIELDS if name not in fields]
    if missing:
        raise ZooError(f"{place}: expected an example, but there is no {', '.join(missing)}")
    known = {name: fields[name] for name in FIELDS}
    # JSON has no NaN.
    known["loss"] = math.nan if known["loss"] is None else float(known["loss"])
    return ScoredExample(**known, details={name: value for name, value in fields.items() if name not in FIELDS})
