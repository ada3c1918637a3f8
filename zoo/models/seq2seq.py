"""Sequence to sequence: a recurrent encoder, attention, and a recurrent decoder that may copy from its source.

Encoder and decoder follow Sutskever et al. (2014) and Bahdanau et al. (2015). Attention comes after the recurrent
layers, as in Luong et al. (2015). Pointer and coverage follow See et al. (2017).

Shapes: B pairs, S source positions, T target positions, N target tokens, R rows of one step, V target words, X further
words of the extended vocabulary, E features of an embedding.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from zoo.batches.predictions import Attended
from zoo.batches.seq2seq import Pair, Seq2SeqBatch, Seq2SeqInputs, Sources
from zoo.codecs import Seq2SeqCodec
from zoo.errors import ZooError
from zoo.generation import Step
from zoo.metrics.generation import MONITORS, TextMetrics, Written
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.models.generator import Beginning
from zoo.models.inputs import check_text
from zoo.models.options import AttentionOptions, OptimizerOptions, SearchOptions, Seq2SeqRegularization
from zoo.models.out_of_memory import training_in_parts
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.decoder import AttentionDecoder, DecoderState, Memory, log_coverage
from zoo.nn.dropout import LockedDropout
from zoo.nn.embeddings import ImportedVectors, new_embeddings
from zoo.nn.pointer import Pointer
from zoo.text import PAD_ID, UNKNOWN_ID
from zoo.text.reversible import BEGIN_ID, END

NEVER_WRITTEN = [PAD_ID, UNKNOWN_ID, BEGIN_ID]


class Seq2Seq(EncoderDecoder):
    """Writes a target text for a source text, such as its translation.

    >>> translator = zoo.from_pretrained("translate-en-de-multi30k")
    >>> translator.predict(["A dog runs on the beach."], beam=5)
    ['Ein Hund rennt am Strand.']

    `dataclasses.replace(Seq2Seq.OPTIMIZER, learning_rate=1e-3)` changes one option and keeps the other defaults.

    Args:
        codec: turns texts into ids, and ids into texts. A datamodule fits it (`Seq2SeqDataModule(...).codec`).
        cell: the cell of encoder and decoder, a key of `zoo.CELLS`.
        encoder_size: the units of the encoder per layer and direction.
        encoder_layers: the number of recurrent layers of the encoder.
        decoder_size: the units of the decoder per layer.
        decoder_layers: the number of recurrent layers of the decoder.
        embedding_size: E. If source and target share one vocabulary, they share their embeddings too.
        tie_embeddings: whether the output layer uses the target embeddings as its weights.
        tune_vectors: whether training changes the imported vectors.
        dropout: probability of zeroing a feature of the embeddings, between recurrent layers, and of the decoder's
            output. With input feeding, there is none between the layers of the decoder.
        recurrent: further options of the recurrent layers of encoder and decoder.
        attention: how the decoder reads the source, and whether it may copy from it.
        regularization: label smoothing and scheduled sampling.
        search: the search of `predict`, and of an evaluation after training.
        metric: the scores of the texts, of which one chooses the best checkpoint: "bleu", "rouge" or "keywords".
        optimizer: AdamW and its schedule.

    Raises:
        ZooError: an unknown cell, attention or metric (the known ones are listed), or contradictory arguments.
    """

    OPTIMIZER = OptimizerOptions(warmup=0.05)
    codec: Seq2SeqCodec
    metrics: Mapping[str, TextMetrics]

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
        attention: AttentionOptions = AttentionOptions(),
        regularization: Seq2SeqRegularization = Seq2SeqRegularization(),
        search: SearchOptions = SearchOptions(),
        metric: str = "bleu",
        optimizer: OptimizerOptions = OPTIMIZER,
    ):
        super().__init__()
        self.save_arguments(locals())
        self.codec = codec = Seq2SeqCodec.of(codec)
        self.attention_options = attention = AttentionOptions.of(attention)
        self.regularization = Seq2SeqRegularization.of(regularization)
        self.use_search(SearchOptions.of(search), max_length=codec.max_target)
        self.use_optimizer(OptimizerOptions.of(optimizer))
        recurrent = RecurrentOptions.of(recurrent)
        if attention.kind == "none" and self.search.coverage_penalty:
            raise ZooError("a coverage_penalty needs attention: leave it out, or use another attention than 'none'")
        vocabularies = [codec.target_words, codec.source_words] if codec.target_words else [codec.source_words]
        sizes = [len(vocabulary) for vocabulary in vocabularies]
        # torch does not type the entries of a ModuleList.
        self.embeddings = nn.ModuleList(new_embeddings(sizes, embedding_size))  # type: ignore[assignment]
        self.vectors = None
        if codec.vector_words:
            self.vectors = ImportedVectors(len(codec.vector_words), codec.vector_size, tune=tune_vectors)
        self.encoder = RecurrentBackbone(
            embedding_size + (codec.vector_size if codec.vector_words else 0),
            encoder_size,
            cell=cell,
            num_layers=encoder_layers,
            dropout=dropout,
            options=recurrent,
        )
        self.decoder = AttentionDecoder(
            embedding_size,
            self.encoder.output_size,
            cell=cell,
            hidden_size=decoder_size,
            num_layers=decoder_layers,
            dropout=dropout,
            recurrent=recurrent,
            attention=attention.kind,
            attention_size=attention.size,
            coverage=attention.coverage,
            input_feeding=attention.input_feeding,
        )
        self.output = None if tie_embeddings else nn.Linear(embedding_size, sizes[0], bias=False)
        self.output_bias = nn.Parameter(torch.zeros(sizes[0]))
        self.pointer = Pointer(self.decoder.features_size, embedding_size) if attention.copy else None
        self.dropout = LockedDropout(dropout)
        self.use_metrics(lambda: TextMetrics(metric, codec.language))
        self.monitor = f"val/{MONITORS[metric]}"

    @property
    def indexed(self) -> dict[str, tuple[str, ...]]:
        targets = "target_words" if self.codec.target_words else "source_words"
        return {
            "embeddings.0.weight": (targets,),
            "embeddings.1.weight": ("source_words",),
            "vectors.weight": ("vector_words",),
            "output.weight": (targets,),
            "output_bias": (targets,),
        }

    # The base class declares an attribute, but here the unit is that of the codec.
    @property
    def unit(self) -> str:  # type: ignore[override]
        """What the model reads at a time: one "sentence", or a "text" of several sentences."""
        return self.codec.unit

    def loss_count(self, batch: Seq2SeqBatch) -> Tensor:
        """The target tokens, `()`."""
        return batch.num_tokens

    def first_text(self, batch: Seq2SeqBatch) -> str:
        source_ids = batch.inputs.source_ids[0, : batch.inputs.source_lengths[0]]
        return " ".join(self.codec.source_words[i] for i in source_ids.tolist())

    @training_in_parts
    def training_step(self, batch: Seq2SeqBatch, _: int) -> Tensor:
        losses = self.losses(batch)
        loss = losses.smoothed
        if self.covering:
            loss = loss + self.attention_options.coverage_weight * losses.coverage
        return loss

    def read(self, texts: Sequence[str]) -> Sources:
        sources = self.codec.sources(texts)
        if sources.cut:
            warnings.warn(f"{sources.cut} inputs have more than max_source={self.codec.max_source} pieces: cut there")
        return sources

    def begin(self, inputs: Seq2SeqInputs) -> Beginning[DecoderState, Memory]:
        memory, state = self(inputs)
        return Beginning(self.step_function(inputs.extra), state, memory, coverage=log_coverage)

    def text_of(self, tokens: Sequence[int], inputs: Seq2SeqInputs, row: int) -> str:
        return self.codec.indexer.text(tokens, inputs.unknown[row])

    def step_function(self, extra: int) -> Step[DecoderState, Memory]:
        """Makes a step for `zoo.generation` over V + `extra` words; it never writes padding, begin and unknown."""

        def step(tokens: Tensor, state: DecoderState, memory: Memory) -> tuple[Tensor, DecoderState]:
            x = self.embed(tokens)  # (R, E)
            decoded, state = self.decoder.step(x, state, memory)
            scores = self.project(decoded.output).float().log_softmax(-1)  # (R, V)
            if self.pointer is not None:
                scores = self.pointer.distribution(decoded, x, scores, memory.copies, extra)  # (R, V + X)
            scores[:, NEVER_WRITTEN] = float("-inf")
            return scores, state

        return step

    @torch.inference_mode()
    def attend(self, source: str, target: str) -> Attended:
        """The attention of the model to `source` at each piece of a given `target`."""
        pair = Pair(check_text(source, "source"), check_text(target, "target"))
        batch = move_data_to_device(self.codec.dataset([pair]).batch([0]), self.device)
        decoded, _, _ = self.in_evaluation().follow(batch)
        read, written = self.codec.indexer.pieces(pair.source, pair.target)
        return Attended(read, [*written, END], decoded.weights[0].cpu())

    def _evaluate(self, stage: str, batch: Seq2SeqBatch) -> None:
        # Greedy search is good enough to choose a checkpoint, and it is faster.
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        search = replace(self.search, beam=1) if fitting else self.search
        # Under autocast, rounding depends on the batch, so an output could depend on the other pairs.
        with torch.autocast(self.device.type, enabled=False):
            found = self.generate(batch.inputs, search)
        outputs = [self.text_of(best[0].tokens, batch.inputs, row) for row, best in enumerate(found)]
        written = [Written(*one) for one in zip(batch.rows.tolist(), batch.known_pairs(), outputs, strict=True)]
        losses = self.losses(batch)
        self.metrics[stage].update(written, losses.nll, batch.target_lengths)
        if self.outcomes is not None:
            self.outcomes.add_written(batch.rows, -losses.log_probability, batch.target_lengths)
