"""The summarizer: a sequence-to-sequence model that copies from its source, and remembers what it has read."""

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
    """Shortens a text: the pointer-generator with coverage of See et al. (2017).

    >>> summarizer = zoo.from_pretrained("titles-en-acl")
    >>> summarizer.predict(["We present a corpus of German dialects, and train taggers on it."])
    ['a corpus of german dialects']

    It reads a text as one, whatever the `unit` of its codec: a summary of each sentence would be no summary.

    Args:
        codec: as of `Seq2Seq`, as are the arguments that are not named here.
        attention: other options than the default are best made of it, so that it still copies and covers:
            `dataclasses.replace(zoo.models.options.POINTER_GENERATOR, size=128)`.
        metric: "rouge", or "keywords" where the targets are keywords: what the best checkpoint is chosen by.

    Raises:
        ZooError: as `Seq2Seq`.
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
        optimizer: OptimizerOptions = OptimizerOptions(warmup=0.05),
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
