"""The training examples that a model sees as most similar to a text.

Shapes: N texts, Q queries, F features of a pooled state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
import torch.nn.functional as F
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from zoo.batches.bucketing import check_budget, group_for_prediction
from zoo.batches.classification import Texts
from zoo.batches.tagging import Sentences
from zoo.errors import ZooError, shown
from zoo.explanation.reading import KINDS, kind_of
from zoo.masks import mean_over_time
from zoo.models.base import ZooModule
from zoo.models.classifier import TextClassifier
from zoo.models.language_model import LanguageModel
from zoo.models.seq2seq import Seq2Seq
from zoo.models.tagger import SequenceTagger
from zoo.threads import map_in_threads

ExampleT = TypeVar("ExampleT", covariant=True)


class Corpus(Protocol[ExampleT]):
    """A datamodule."""

    def examples(self, split: str) -> Sequence[ExampleT]:
        """The examples of a split."""


@dataclass(frozen=True)
class Neighbour(Generic[ExampleT]):
    """A training example that is similar to a text.

    Attributes:
        example: a text as it was given, or an example of the datamodule, with its labels or tags.
        similarity: the cosine of the angle between the pooled states, from -1 to 1.
        row: the place of the example in its split.
    """

    example: ExampleT
    similarity: float
    row: int


def nearest_examples(
    model: ZooModule,
    inputs: Sequence[str | Sequence[str]],
    examples: Corpus[Any] | Iterable[Any],
    *,
    number: int = 5,
    max_tokens: int = 4096,
) -> list[list[Neighbour[Any]]]:
    """The examples whose pooled states are most similar to those of each input.

    The state of a text is the vector that a `TextClassifier` gives to its head. Of other models, it is the mean of the
    outputs of the backbone, or of the encoder of a `Seq2Seq`.

    >>> from datamodules import ClassificationDataModule
    >>> classifier = zoo.from_pretrained("spam-en-sms")
    >>> data = ClassificationDataModule("sample-spam", codec=classifier.codec)
    >>> ((nearest, *_),) = zoo.nearest_examples(classifier, ["Claim your free prize now"], data)
    >>> nearest.example.labels
    ('spam',)

    Args:
        model: a model that `zoo.explain` explains.
        inputs: texts; or for a tagger, sentences as lists of tokens.
        examples: a datamodule, of which the training split is searched, or such texts.
        number: how many examples are returned for each input.
        max_tokens: the token budget of a batch.

    Returns:
        The nearest examples of each input, the nearest first. An example without tokens is near to nothing.

    Raises:
        ZooError: an input or an example is not what `predict` takes, or there is no example.
    """
    kind = kind_of(model)
    check_budget(max_tokens)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ZooError(f"expected a number of examples of at least 1, got {number!r}")
    known = list(examples.examples("train") if hasattr(examples, "examples") else KINDS[kind].check(examples))
    if not known:
        raise ZooError("expected examples to search, got none")
    queries = _directions(model, KINDS[kind].check(inputs), max_tokens)  # (Q, F)
    states = _directions(model, KINDS[kind].check(list(map(_input_of, known))), max_tokens)  # (N, F)
    similarities, rows = (queries @ states.T).topk(min(number, len(known)), dim=1)  # (Q, number)
    return [
        [Neighbour(known[row], similarity, row) for similarity, row in zip(*of_query, strict=True)]
        for of_query in zip(similarities.tolist(), rows.tolist(), strict=True)
    ]


def _input_of(example: Any) -> Any:
    """What a model reads of an example of a datamodule: its tokens, its text or its source."""
    for name in ("tokens", "text", "source"):
        if hasattr(example, name):
            return getattr(example, name)
    return example


@torch.inference_mode()
def _directions(model: ZooModule, items: Sequence[Any], max_tokens: int) -> Tensor:
    """The pooled states of texts, of length 1: `(N, F)`. That of a text without tokens is zero."""
    lengths, pool = _pooler(model.in_evaluation(), items)
    rows = [row for row, length in enumerate(lengths) if length]
    if not rows:
        raise ZooError(f"expected texts with at least one token, got {shown(list(items))}")
    batches = group_for_prediction(lengths, max_tokens, model.device, rows)
    parts = map_in_threads(pool, batches, model.device)
    order = [row for batch in batches for row in batch]
    found = torch.cat([F.normalize(part.float(), dim=-1).cpu() for part in parts])
    return found.new_zeros(len(items), found.shape[1]).index_copy(0, torch.tensor(order), found)


def _pooler(model: ZooModule, items: Sequence[Any]) -> tuple[Sequence[int], Callable[[list[int]], Tensor]]:
    """The number of tokens of each text, and a function from some rows of the texts to their pooled states `(B, F)`."""
    if isinstance(model, TextClassifier):
        read = model.codec.preprocessor
        texts = Texts.of([read(text) if read.split(text) else [] for text in items], model.codec.indexer)
        return texts.word_ids.lengths.tolist(), lambda rows: model.encode(_moved(texts.inputs(rows), model)).vectors
    if isinstance(model, SequenceTagger):
        tokens = [model.codec.tokenize(item) if isinstance(item, str) else item for item in items]
        sentences = Sentences.of(tokens, model.codec.indexer)

        def pool_sentences(rows: list[int]) -> Tensor:
            inputs = _moved(sentences.inputs(rows), model)
            forms = model.embedding(inputs.forms)
            states = model.encode(forms, inputs.form_ids, inputs.lengths, inputs.context)
            return mean_over_time(states, inputs.lengths)

        return sentences.lengths.tolist(), pool_sentences
    if isinstance(model, Seq2Seq):
        sources = model.codec.sources(items)

        def pool_sources(rows: list[int]) -> Tensor:
            inputs = _moved(sources.inputs(rows), model)
            memory, _ = model(inputs)
            return mean_over_time(memory.sequence, inputs.source_lengths)

        return _of_texts(items, sources.lengths.tolist()), pool_sources
    if isinstance(model, LanguageModel):
        stream = model.codec.stream(items)

        def pool_lines(rows: list[int]) -> Tensor:
            inputs = _moved(stream.batch(rows).inputs, model)
            return mean_over_time(model(inputs).sequence, inputs.lengths)

        return _of_texts(items, stream.lengths.tolist()), pool_lines
    raise TypeError(f"expected a kind of model among those of KINDS, got {type(model)}")


def _of_texts(texts: Sequence[str], lengths: Sequence[int]) -> list[int]:
    """The lengths of texts, 0 for an empty one."""
    return [length if text.strip() else 0 for text, length in zip(texts, lengths, strict=True)]


def _moved(inputs: Any, model: ZooModule) -> Any:
    return move_data_to_device(inputs, model.device)
