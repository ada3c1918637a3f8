"""`zoo.explain`: which tokens of a text led to an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import torch

from zoo.batches.bucketing import check_budget
from zoo.errors import ZooError, unknown_name
from zoo.explanation.explanation import Explanation
from zoo.explanation.labels import ask_classifier, ask_tagger
from zoo.explanation.methods import METHODS, Effort
from zoo.explanation.question import Asked, Question
from zoo.explanation.reading import Reading, computing_exactly, kind_of, read_all
from zoo.explanation.words import ask_language_model, ask_writer
from zoo.models.base import ZooModule
from zoo.models.classifier import TextClassifier
from zoo.models.evaluation import without_gradients
from zoo.models.language_model import LanguageModel
from zoo.models.seq2seq import Seq2Seq
from zoo.models.tagger import SequenceTagger


class _Kind(NamedTuple):
    """How the answers of a kind of model are explained."""

    ask: Callable[[Any, Sequence[Reading], Asked], Question]
    # The fields of `Asked` that it reads.
    options: frozenset[str]


KINDS: Mapping[type[ZooModule], _Kind] = {
    TextClassifier: _Kind(ask_classifier, frozenset({"target"})),
    SequenceTagger: _Kind(ask_tagger, frozenset({"target", "position", "emission"})),
    Seq2Seq: _Kind(ask_writer, frozenset({"target", "position", "output"})),
    LanguageModel: _Kind(ask_language_model, frozenset({"target"})),
}


def explain(
    model: ZooModule,
    inputs: Iterable[str | Sequence[str]],
    *,
    method: str = "integrated_gradients",
    target: str | None = None,
    position: int | None = None,
    output: str | None = None,
    emission: bool | None = None,
    steps: int = 50,
    max_tokens: int = 4096,
) -> list[Explanation]:
    """Says how much each token of a text adds to one score of a model.

    >>> classifier = zoo.from_pretrained("sentiment-en-sst2")
    >>> (explanation,) = zoo.explain(classifier, ["a gripping , tender film"])
    >>> explanation.target, explanation.strongest(1)
    ('positive', ['gripping'])

    What is explained is

    - of a `TextClassifier`, the log-odds log p / (1 - p) of a label;
    - of a `SequenceTagger`, the log-odds of a tag at a position. With a CRF, p is the marginal probability of the tag;
      `emission=True` explains the score of the token alone, before the CRF;
    - of a `Seq2Seq`, the log-probability of a word of the output after the words before it;
    - of a `LanguageModel`, the log-probability of the token that follows the text.

    Attributions are computed where a token is a vector already: its word embedding, the encoding of its characters and
    its imported vector, joined. The baseline, a text that says nothing, has a zero vector in the place of each token,
    as padding has (Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", section 3). Dropout is off,
    whatever the mode of the model, which does not change; several threads may explain at once. Everything is computed
    in the precision of the weights, without autocast.

    Args:
        model: one of these four.
        inputs: texts; or for a tagger, sentences as lists of tokens. A text is cut where `predict` cuts it.
        method: "integrated_gradients", "input_x_gradient", "occlusion", or "attention" where the model has some; see
            `zoo.explanation.methods`.
        target: the label, the tag, the word of the output, or the next token; None takes what the model answers.
        position: of a tagger, the place of the token in the text; of a Seq2Seq, the place of the word in the output,
            which is only needed if the output has the target several times.
        output: of a Seq2Seq, the text to explain as its output; None takes what it writes.
        emission: of a tagger with a CRF, whether to explain the score before the CRF.
        steps: the number of points at which integrated gradients are computed. A `layer_norm_lstm` needs a thousand,
            because its score changes fast beside the baseline.
        max_tokens: the token budget of a batch. A larger budget needs more memory and does not change the results.

    Returns:
        An explanation for each input, in the given order.

    Raises:
        ZooError: an input is not a text or has no token; the method, the target or the position is unknown (the known
            ones are listed); the model has no attention; or an option is for another kind of model.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    check_budget(max_tokens)
    if steps < 1:
        raise ZooError(f"expected at least 1 step, got {steps}")
    asked = Asked(target=target, position=position, output=output, emission=emission)
    _check_options(model, asked)
    ask = KINDS[kind_of(model)].ask
    view = without_gradients(model)
    found = []
    with computing_exactly(model):
        for readings in read_all(view, inputs):
            question = ask(view, readings, asked)
            effort = Effort(steps, rows=max(1, max_tokens // len(question.reading.tokens)))
            found.append(_answer(question, method, effort))
    return found


def _answer(question: Question, method: str, effort: Effort) -> Explanation:
    attributions = METHODS[method](question, effort)  # (T,)
    x = question.reading.x
    ends = torch.cat([x, torch.zeros_like(x)])  # (2, T, X)
    score, baseline_score = question.score(ends).tolist()
    return Explanation(
        tokens=tuple(question.reading.tokens),
        attributions=tuple(attributions.tolist()),
        target=question.target,
        method=method,
        score=score,
        baseline_score=baseline_score,
        position=question.position,
    )


def _check_options(model: ZooModule, asked: Asked) -> None:
    """Refuses an option that the model does not read."""
    read = KINDS[kind_of(model)].options
    for field in fields(asked):
        if getattr(asked, field.name) is not None and field.name not in read:
            raise ZooError(f"a {type(model).__name__} has no {field.name} to explain: leave {field.name} out")
    if asked.emission is not None and isinstance(model, SequenceTagger) and model.crf is None:
        raise ZooError("this tagger has no CRF, so its emissions are explained anyway: leave emission out")
