"""The summarizer: a sequence-to-sequence model that may copy from its source, with a coverage loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.codecs import Seq2SeqCodec
from zoo.models.options import (
    POINTER_GENERATOR,
    AttentionOptions,
    OptimizerOptions,
    SearchOptions,
    Seq2SeqRegularization,
)
from zoo.models.seq2seq import Seq2Seq
from zoo.nn.cells import RecurrentOptions


class Seq2SeqSummarizer(Seq2Seq):
    """Writes a summary of a text with the pointer-generator with coverage of See et al. (2017).

    >>> summarizer = zoo.from_pretrained("titles-en-acl")
    >>> summarizer.predict(["We present a corpus of German dialects, and train taggers on it."])
    ['a corpus of german dialects']

    It always reads a text as a whole, whatever the `unit` of its codec is.

    `dataclasses.replace(zoo.POINTER_GENERATOR, size=128)` changes one option of its attention and keeps copying and
    coverage.

    Args:
        codec: turns texts into ids, and ids into texts. This argument and those that are not listed here are as in
            `Seq2Seq`.
        attention: how the decoder reads the source, and whether it may copy from it.
        metric: the scores of the texts, of which one chooses the best checkpoint: "rouge", or "keywords" if the
            targets are lists of keywords.

    Raises:
        ZooError: as in `Seq2Seq`.
    """

    unit = "text"

    def __init__(
        self,
        codec: Seq2SeqCodec | Mapping[str, Any],
        *,
        cell: str = "lstm",
        encoder_size: int = 256,
        encoder_layers: int = 1,
        decoder_size: int = 512,
        decoder_layers: int = 1,
        embedding_size: int = 256,
        tie_embeddings: bool = True,
        tune_vectors: bool = False,
        dropout: float = 0.3,
        recurrent: RecurrentOptions = RecurrentOptions(),
        attention: AttentionOptions = POINTER_GENERATOR,
        regularization: Seq2SeqRegularization = Seq2SeqRegularization(),
        search: SearchOptions = SearchOptions(),
        metric: str = "rouge",
        optimizer: OptimizerOptions = Seq2Seq.OPTIMIZER,
    ):
        super().__init__(
            codec,
            cell=cell,
            encoder_size=encoder_size,
            encoder_layers=encoder_layers,
            decoder_size=decoder_size,
            decoder_layers=decoder_layers,
            embedding_size=embedding_size,
            tie_embeddings=tie_embeddings,
            tune_vectors=tune_vectors,
            dropout=dropout,
            recurrent=recurrent,
            attention=attention,
            regularization=regularization,
            search=search,
            metric=metric,
            optimizer=optimizer,
        )
