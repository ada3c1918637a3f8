"""What `card.json` may contain. Every card is checked when it is written and when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import GenericAlias
from typing import Any, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

from zoo.errors import ZooError, shown, unknown_name


class Example(TypedDict):
    """A text, and what `predict` answers; of a classifier the label."""

    input: str
    output: str | list[str]


class Speed(TypedDict):
    """The speed of `predict` on a CPU, on texts of the test split."""

    per_second: int
    unit: str
    threads: int
    hardware: str


class ForeignScores(TypedDict):
    """Scores on data that are unlike those of the training."""

    data: str
    scores: dict[str, float]


class Conversion(TypedDict):
    """What it cost to store the model in fewer bits: the fraction of equal answers on dev, and the scores there."""

    same_answers: float
    before: dict[str, float]
    after: dict[str, float]


class EntryCounts(TypedDict):
    """Entries of a field of a codec, such as words: those that both models have, and those that only one has."""

    known: int
    new: int
    lost: int


class Origin(TypedDict):
    """What a model has taken over from the one that it is fine-tuned from, see `zoo.models.transfer`."""

    source: str
    # Parts of the model, and of its source.
    taken: list[str]
    new: list[str]
    left_out: list[str]
    entries: dict[str, EntryCounts]
    differences: list[str]


class Card(TypedDict, total=False):
    """The card of a model.

    One that `save_pretrained` wrote has `sha256`, `parameters`, `dtype` and `bytes` alone, and `init_from` if the model
    is fine-tuned from another one.
    """

    name: str
    # Of all files that the predictions depend on, by name. README.md is for people, who may edit it.
    sha256: dict[str, str]
    # The number of weights, how they are stored, and the size of their file.
    parameters: int
    dtype: str
    bytes: int
    conversion: Conversion
    init_from: Origin
    # What the model is for, and what it is not for.
    intended_use: str
    not_for: str
    weaknesses: str
    out_of_domain: list[ForeignScores]
    speed: Speed
    example: Example
    # The language of the inputs, of a translator that of its outputs; and what the model reads at a time.
    language: str
    unit: str
    task: str
    # Arguments of the datamodule; where the corpus is from, its licence, and the rows of its splits.
    data: dict[str, str]
    source: str
    licence: str
    splits: dict[str, int]
    # Of the bundled weights, in fp32; and the score on dev that chose them in training.
    scores: dict[str, float]
    best_dev: dict[str, float]
    # A score on the first rows of dev, which a test computes again.
    dev_slice_score: float
    command: str
    commit: str
    seed: int
    hardware: str
    minutes: float
    versions: dict[str, str]


# A model that is published has all fields but these.
PUBLISHED = tuple(name for name in get_type_hints(Card) if name not in ("conversion", "init_from"))


def check_card(card: Mapping[str, object], path: Path) -> None:
    """Refuses a card with an unknown field, or with a value of another type.

    Args:
        card: the content of `card.json`.
        path: of the file, for the message.

    Raises:
        ZooError: there is such a field.
    """
    kinds = get_type_hints(Card)
    for name, value in card.items():
        if name not in kinds:
            raise ZooError(f"{path}: {unknown_name('field of a card', name[:60], kinds)}")
        if not _fits(value, kinds[name]):
            raise ZooError(f"{path}: expected {name} of type {_described(kinds[name])}, got {shown(value)}")


def _fits(value: object, kind: Any) -> bool:
    """Whether a value of JSON has a type. An integer is a float too; true and false are no numbers."""
    if is_typeddict(kind):
        fields = get_type_hints(kind)
        return isinstance(value, dict) and set(value) == set(fields) and all(_fits(value[k], fields[k]) for k in fields)
    origin = get_origin(kind)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(one, get_args(kind)[1]) for one in value.values())
    if origin is list:
        return isinstance(value, list) and all(_fits(one, get_args(kind)[0]) for one in value)
    if origin is not None:
        return any(_fits(value, one) for one in get_args(kind))
    kinds = (int, float) if kind is float else (kind,)
    return isinstance(value, kinds) and not isinstance(value, bool)


def _described(kind: Any) -> str:
    if is_typeddict(kind):
        return f"{{{', '.join(get_type_hints(kind))}}}"
    return str(kind) if isinstance(kind, GenericAlias) or get_origin(kind) else str(kind.__name__)
