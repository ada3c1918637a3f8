"""What every model that writes texts shares: `predict`, `sample`, and scoring what it writes.

Shapes: B pairs, S source positions, R rows of one step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from zoo.batches.bucketing import group_by_length
from zoo.batches.indexers import PairIndexer
from zoo.batches.seq2seq import Seq2SeqBatch, Seq2SeqDataset
from zoo.codec import Codec, writer_codec
from zoo.generation import Hypothesis, Limits, Step, beam_search, check_search, greedy, sample
from zoo.metrics.generation import Written
from zoo.models.base import ZooModule
from zoo.models.inputs import check_text, check_texts
from zoo.nn.decoder import DecoderState, Memory
from zoo.text import UNKNOWN
from zoo.text.reversible import BEGIN, END, SPECIALS
from zoo.text.units import Output, join_outputs, split_units
from zoo.threads import map_in_threads

BEGIN_ID, END_ID = SPECIALS.index(BEGIN), SPECIALS.index(END)
UNSEEN = 1e-4  # a source position that was attended to less costs no more


class Losses(NamedTuple):
    """Means over target tokens, the end of each text among them."""

    nll: Tensor  # negative log-likelihood; its exponential is the perplexity
    smoothed: Tensor  # the same with label smoothing
    coverage: Tensor  # attention to where attention has been


class Attended(NamedTuple):
    """The attention of an output's pieces to those of its source."""

    source: list[str]
    target: list[str]  # its end last
    weights: Tensor  # (T, S)


@dataclass(frozen=True)
class Search:
    """How `predict` searches.

    Attributes:
        beam: hypotheses; 1 is greedy.
        max_length: pieces of an output at most.
        min_length: pieces at least.
        block_ngrams: no sequence of so many pieces twice in an output; 0 allows all.
        length_penalty: 0 prefers short outputs, 1 is about the mean log-probability of a piece.
        coverage_penalty: what a source costs that was not attended to (Wu et al. 2016).

    Raises:
        ZooError: a number that no search can have.
    """

    beam: int
    max_length: int
    min_length: int
    block_ngrams: int
    length_penalty: float
    coverage_penalty: float

    def __post_init__(self):
        check_search(self.beam, 1, self.length_penalty, self.coverage_penalty)
        self.limits  # noqa: B018 (it checks the lengths)

    @property
    def limits(self) -> Limits:
        return Limits(BEGIN_ID, END_ID, self.max_length, self.min_length, self.block_ngrams)


class WritingModule(ZooModule):
    """A subclass encodes, steps and has losses; here is what it can write with them."""

    indexer: PairIndexer
    search: Search
    unit: str

    @property
    def codec(self) -> Codec:
        return writer_codec(self.indexer)

    def losses(self, batch: Seq2SeqBatch) -> Losses:
        """Of known targets."""
        raise NotImplementedError

    def encode(self, batch: Seq2SeqBatch) -> tuple[Memory, DecoderState]:
        """What each step reads of the sources, and the state before the first one."""
        raise NotImplementedError

    def step_function(self, extra: int) -> Step:
        """What makes one step of decoding, for `zoo.generation`, over `extra` words more than the vocabulary has."""
        raise NotImplementedError

    @torch.no_grad()  # in inference mode, autocast would make new copies of all weights at each step
    def predict(
        self,
        inputs: Sequence[str],
        *,
        beam: int | None = None,
        n_best: int | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        block_ngrams: int | None = None,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
        max_tokens: int = 4096,
    ) -> list[str] | list[list[Output]]:
        """Writes an output for each input, in the given order; an empty input gives an empty one.

        Args:
            inputs: texts. A model whose `unit` is a sentence writes an output for each sentence of a text, and joins
                them; one whose unit is a text reads it whole. Of a unit that is longer than the model's `max_source`
                pieces the rest is not read, and a warning tells of how many.
            beam, min_length, max_length, block_ngrams, length_penalty, coverage_penalty: see `Search`;
                None for what the model was built with.
            n_best: so many outputs for each input, best first, with scores; None for one, without. Of several
                sentences these are the combinations whose scores have the largest sums.
            max_tokens: pieces of sources in a batch, padding included; as many batches are in work as torch has
                threads. Memory grows with both, results do not change.

        Returns:
            A text for each input, or with `n_best` a list of `zoo.text.units.Output`.
        """
        given = dict(
            beam=beam, min_length=min_length, max_length=max_length, block_ngrams=block_ngrams,
            length_penalty=length_penalty, coverage_penalty=coverage_penalty,
        )  # fmt: skip
        search = replace(self.search, **{name: value for name, value in given.items() if value is not None})
        outputs = self._each(inputs, max_tokens, lambda model, batch, _: model.find(batch, search, n_best), n_best or 1)
        return [best[0].text for best in outputs] if n_best is None else outputs

    @torch.no_grad()
    def sample(
        self,
        inputs: Sequence[str],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        max_tokens: int = 4096,
    ) -> list[Output]:
        """Draws an output for each input; the same seed draws the same, whatever the batches.

        Args:
            inputs, max_tokens: as in `predict`.
            temperature, top_k, top_p: see `zoo.generation.sample`.
            seed: of the drawing.
        """
        limits, generator = self.search.limits, torch.Generator().manual_seed(seed)
        inputs = check_texts(inputs)
        count = sum(len(split_units(text, self.unit)) for text in inputs)
        noise = torch.rand(count, limits.max_length + 1, generator=generator)
        options = dict(temperature=temperature, top_k=top_k, top_p=top_p)

        def draw(model: WritingModule, batch: Seq2SeqBatch, rows: list[int]) -> list[list[Hypothesis]]:
            memory, state = model.encode(batch)
            step = model.step_function(batch.extra)
            return [[h] for h in sample(step, state, memory, limits, noise=noise[rows].to(model.device), **options)]

        return [best[0] for best in self._each(inputs, max_tokens, draw)]

    @torch.inference_mode()
    def attend(self, source: str, target: str) -> Attended:
        """Where the model looks while it writes `target`, whoever wrote it."""
        source, target = check_text(source, "source"), check_text(target, "target")
        batch = Seq2SeqDataset([source], self.indexer, [target]).batch([0])
        decoded, *_ = self.in_evaluation()(self.transfer_batch_to_device(batch, self.device, 0))
        pieces = self.indexer.source.split(source)[: self.indexer.max_source] or [UNKNOWN]
        written = self.indexer.target.split(target)[: self.indexer.max_target]
        return Attended(pieces, [*written, END], decoded.weights[0].cpu())

    def find(self, batch: Seq2SeqBatch, search: Search, n_best: int | None = None) -> list[list[Hypothesis]]:
        """The search of `predict` over one batch: the hypotheses of each row, best first."""
        memory, state = self.encode(batch)
        step = self.step_function(batch.extra)
        if search.beam == 1 and n_best is None:
            return [[hypothesis] for hypothesis in greedy(step, state, memory, search.limits)]
        return beam_search(
            step,
            state,
            memory,
            search.limits,
            beam=search.beam,
            n_best=n_best or 1,
            length_penalty=search.length_penalty,
            coverage_penalty=search.coverage_penalty,
            coverage=log_coverage,
        )

    def _each(
        self,
        inputs: Sequence[str],
        max_tokens: int,
        write: Callable[[WritingModule, Seq2SeqBatch, list[int]], list[list[Hypothesis]]],
        n_best: int = 1,
    ) -> list[list[Output]]:
        """Writes outputs for the units of all inputs, `write` is told their numbers, and joins those of each input."""
        texts = [split_units(text, self.unit) for text in check_texts(inputs)]
        data = Seq2SeqDataset([unit for units in texts for unit in units], self.indexer)
        if data.cut[0]:
            warnings.warn(f"{data.cut[0]} inputs have more than max_source={self.indexer.max_source} pieces: cut there")
        outputs: list[list[Output]] = [[] for _ in range(len(data))]
        model = self.in_evaluation()

        def work(rows: list[int]) -> None:
            batch = self.transfer_batch_to_device(data.batch(rows), self.device, 0)
            for row, found, unknown in zip(rows, write(model, batch, rows), batch.unknown, strict=True):
                outputs[row] = [
                    Output(self.indexer.decode(h.tokens, unknown), h.score, h.log_probability) for h in found
                ]

        map_in_threads(work, group_by_length(data.lengths, max_tokens), self.device)
        in_order = iter(outputs)
        return [join_outputs(units, list(islice(in_order, len(units))), n_best) for units in texts]

    def _evaluate(self, stage: str, batch: Seq2SeqBatch) -> None:
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        search = replace(self.search, beam=1) if fitting else self.search  # to choose a checkpoint greedy will do
        with torch.autocast(self.device.type, enabled=False):  # its roundings would depend on a batch's company
            found = self.find(batch, search)
        outputs = [
            self.indexer.decode(best[0].tokens, unknown) for best, unknown in zip(found, batch.unknown, strict=True)
        ]
        written = [Written(*one) for one in zip(batch.rows.tolist(), batch.pairs, outputs, strict=True)]
        self.metrics[stage].update(written, self.losses(batch).nll, batch.target_lengths)


def log_coverage(state: DecoderState, memory: Memory) -> Tensor:
    """The sum over a source of log min(1, attention to it so far) (Wu et al. 2016, equation 14): `(R,)`."""
    mask = memory.mask.repeat_interleave(len(state.coverage) // len(memory.mask), dim=0)  # (R, S)
    return state.coverage.clamp(UNSEEN, 1.0).log().masked_fill(~mask, 0.0).sum(-1)
