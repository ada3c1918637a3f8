"""The scores of each task, computed from scored examples alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recipes.reports.examples import ScoredExample
from recipes.reports.scores.classification import classification_scores
from recipes.reports.scores.generation import text_scores
from recipes.reports.scores.resampling import Score
from recipes.reports.scores.sums import exponential, mean_loss
from recipes.reports.scores.tagging import tagging_scores
from zoo.errors import ZooError

Examples = Sequence[ScoredExample]
Task = Mapping[str, Any]


def scores_of(examples: Examples, task: Task) -> dict[str, Score]:
    """The scores of an evaluation by their names without the stage.

    Args:
        examples: all examples of the evaluation.
        task: the facts that `Report.task` returns; "kind" says which task it is.

    Raises:
        ZooError: the task is unknown, or the examples belong to another one.
    """
    kind = task.get("kind")
    if kind not in KINDS:
        raise ZooError(f"expected a task among {', '.join(KINDS)}, got {kind!r}")
    try:
        return KINDS[kind](examples, task)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ZooError(
            f"expected the examples of {kind}, whose facts are {sorted(task)}, got others: {error}"
        ) from error


def language_modeling_scores(examples: Examples, task: Task) -> dict[str, Score]:
    """The perplexities of texts that are each read by itself. They differ from those of the whole split as one text."""
    nats, tokens = _nats_and_tokens(examples)
    words = np.array([len(str(one.source).split()) + 1 for one in examples])
    return {
        "perplexity of single texts": exponential(nats, tokens),
        "word perplexity of single texts": exponential(nats, words),
    }


def generation_scores(examples: Examples, task: Task) -> dict[str, Score]:
    """The scores of `TextMetrics`."""
    outputs = [str(one.predicted) for one in examples]
    references = [str(one.gold) for one in examples]
    scores = text_scores(outputs, references, task["metric"], task["language"])
    return {**scores, "loss": mean_loss(examples), "perplexity": exponential(*_nats_and_tokens(examples))}


def _nats_and_tokens(examples: Examples) -> tuple[Any, Any]:
    """The loss of each example as a sum over its tokens, and their number, `(N,)` each."""
    nats = np.array([one.loss * one.tokens for one in examples])
    return nats, np.array([one.tokens for one in examples])


KINDS: dict[str, Callable[[Examples, Task], dict[str, Score]]] = {
    "tagging": tagging_scores,
    "classification": classification_scores,
    "generation": generation_scores,
    "language_modeling": language_modeling_scores,
}
