"""What a model reads of one text: its tokens, embedded, and the recurrent layers that read them.

Shapes: T tokens, X features of an embedded token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from zoo.batches.classification import Texts
from zoo.batches.tagging import Sentences
from zoo.errors import ZooError, shown
from zoo.models.base import ZooModule
from zoo.models.classifier import TextClassifier
from zoo.models.continuation import Continuation
from zoo.models.inputs import check_sentences, check_texts
from zoo.models.language_model import LanguageModel
from zoo.models.seq2seq import Seq2Seq
from zoo.models.tagger import SequenceTagger
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.embeddings import gather_forms
from zoo.text.units import split_units


class Reading(NamedTuple):
    """The tokens of a text as a model reads them."""

    text: str
    tokens: list[str]
    x: Tensor  # (1, T, X) the embedded tokens
    lengths: Tensor  # (1,) T
    backbone: RecurrentBackbone  # reads them first


def read_text(model: TextClassifier, text: str) -> list[Reading]:
    """The reading of a text; none if it has no token."""
    codec = model.codec
    if not codec.preprocessor.split(text):
        return []
    tokens = codec.preprocessor(text)
    inputs = move_data_to_device(Texts.of([tokens], codec.indexer).inputs([0]), model.device)
    x = model.embedding(inputs.word_ids, inputs.vector_ids)
    return [Reading(text, tokens, x, inputs.lengths, model.backbone)]


def read_sentences(model: SequenceTagger, item: str | Sequence[str]) -> list[Reading]:
    """The readings of the sentences of a text, or of one sentence that is given as tokens."""
    readings = []
    for sentence in model.codec.read(item):
        tokens = [token.text for token in sentence]
        inputs = move_data_to_device(Sentences.of([tokens], model.codec.indexer).inputs([0]), model.device)
        x = model.join(gather_forms(model.embedding(inputs.forms), inputs.form_ids), inputs.context)
        readings.append(Reading(" ".join(tokens), tokens, x, inputs.lengths, model.backbone))
    return readings


def read_sources(model: Seq2Seq, text: str) -> list[Reading]:
    """The readings of the units of a text that the model reads one by one: its sentences, or the whole text."""
    readings = []
    for unit in split_units(text, model.unit):
        inputs = move_data_to_device(model.codec.sources([unit]).inputs([0]), model.device)
        pieces, _ = model.codec.indexer.pieces(unit, "")
        readings.append(Reading(unit, pieces, model.embed_source(inputs), inputs.source_lengths, model.encoder))
    return readings


def read_prompt(model: LanguageModel, text: str) -> list[Reading]:
    """The reading of a text to continue, whose first token is the end of the text before; none if it is empty."""
    if not text.strip():
        return []
    ids = Continuation(model.codec, text).prompt_ids
    x = model.embedding(torch.tensor([ids], device=model.device))
    lengths = torch.tensor([len(ids)], device=model.device)
    return [Reading(text, model.codec.tokens(ids), x, lengths, model.backbone)]


class Kind(NamedTuple):
    """What a kind of model reads, and how."""

    check: Callable[[Any], Sequence[Any]]
    read: Callable[[Any, Any], list[Reading]]


KINDS: Mapping[type[ZooModule], Kind] = {
    TextClassifier: Kind(check_texts, read_text),
    SequenceTagger: Kind(check_sentences, read_sentences),
    Seq2Seq: Kind(check_texts, read_sources),
    LanguageModel: Kind(check_texts, read_prompt),
}


def kind_of(model: ZooModule) -> type[ZooModule]:
    """The key of `KINDS` that a model belongs to.

    Raises:
        ZooError: it belongs to none; they are listed.
    """
    for kind in KINDS:
        if isinstance(model, kind):
            return kind
    names = ", ".join(kind.__name__ for kind in KINDS)
    raise ZooError(f"expected a model to explain, one of {names}, got {shown(type(model).__name__)}")


@contextmanager
def computing_exactly(model: ZooModule) -> Iterator[None]:
    """A context without gradients, in which they can be turned on, and in which nothing is rounded to half precision.

    A caller may be in inference mode, where no gradient exists, or under autocast, whose rounding breaks completeness.
    """
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(model.device.type, enabled=False):
        yield


def read_all(model: ZooModule, inputs: object) -> list[list[Reading]]:
    """The readings of each input.

    Raises:
        ZooError: an input is not one that `predict` takes, or has no token.
    """
    kind = KINDS[kind_of(model)]
    found = []
    for place, item in enumerate(kind.check(inputs)):
        readings = kind.read(model, item)
        if not readings:
            raise ZooError(f"expected inputs with at least one token, got {shown(item)} at place {place}")
        found.append(readings)
    return found
