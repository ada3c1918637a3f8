"""The base of all models that write texts: `predict` and `sample` with the search of `zoo.generation`.

Shapes: B texts, P tokens of a prompt.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Generic, Literal, NamedTuple, Protocol, overload

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from zoo.batches.bucketing import Lengths, group_by_length
from zoo.batches.parts import parts_of
from zoo.errors import ZooError
from zoo.generation import Hypothesis, Source, State, Step, beam_search, greedy, sample
from zoo.models.base import ZooModule
from zoo.models.inputs import check_texts
from zoo.models.options import SearchOptions
from zoo.models.out_of_memory import splitting
from zoo.text.units import Output, WrittenUnit, join_outputs, place_outputs, split_units
from zoo.threads import map_in_threads

# So many hypotheses are searched at once at most, beams included: each takes a score for every word.
HYPOTHESES = 2048


class Readable(Protocol):
    """Texts as tensors, such as `zoo.batches.seq2seq.Sources`."""

    @property
    def lengths(self) -> Lengths:
        """The number of pieces of each text."""

    def inputs(self, rows: Sequence[int]) -> Any:
        """The texts at `rows` as padded inputs of the model."""


class Beginning(NamedTuple, Generic[State, Source]):
    """The arguments of a search in `zoo.generation` for one batch."""

    step: Step[State, Source]
    state: State  # (B, *) before the first step
    source: Source  # (B, *) read at every step
    prompt: Tensor | None = None  # (B, P) tokens that an output continues
    coverage: Callable[[State, Source], Tensor] | None = None  # needed for a coverage penalty only


class TextGenerator(ZooModule):
    """A model that writes texts.

    A subclass defines how texts become tensors (`read`), how a batch is encoded before the first step (`begin`), and
    how tokens become a text (`text_of`). Its constructor calls `use_search`.
    """

    search: SearchOptions
    # The largest number of pieces of an output if the search sets no other maximum.
    max_length: int

    @abstractmethod
    def read(self, texts: Sequence[str]) -> Readable:
        """Turns texts into tensors."""

    @abstractmethod
    def begin(self, inputs: Any) -> Beginning[Any, Any]:
        """Encodes a batch for a search."""

    @abstractmethod
    def text_of(self, tokens: Sequence[int], inputs: Any, row: int) -> str:
        """The text for the tokens that are written for one row of `inputs`."""

    def use_search(self, search: SearchOptions, max_length: int) -> None:
        """Sets the search of `predict`.

        Args:
            search: its options.
            max_length: the largest number of pieces of an output if `search` sets no other maximum.

        Raises:
            ZooError: the lengths contradict each other.
        """
        search.limits(max_length)
        self.search = search
        self.max_length = max_length

    @overload
    def predict(
        self,
        inputs: Sequence[str],
        *,
        beam: int | None = None,
        n_best: None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        block_ngrams: int | None = None,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
        max_tokens: int = 4096,
        return_offsets: Literal[False] = False,
    ) -> list[str]: ...

    @overload
    def predict(
        self,
        inputs: Sequence[str],
        *,
        beam: int | None = None,
        n_best: int,
        min_length: int | None = None,
        max_length: int | None = None,
        block_ngrams: int | None = None,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
        max_tokens: int = 4096,
        return_offsets: Literal[False] = False,
    ) -> list[list[Output]]: ...

    @overload
    def predict(
        self,
        inputs: Sequence[str],
        *,
        beam: int | None = None,
        n_best: None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        block_ngrams: int | None = None,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
        max_tokens: int = 4096,
        return_offsets: Literal[True],
    ) -> list[list[WrittenUnit]]: ...

    # In inference mode, autocast would copy all weights at each step.
    @torch.no_grad()
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
        return_offsets: bool = False,
    ) -> list[str] | list[list[Output]] | list[list[WrittenUnit]]:
        """Writes an output for each input. The output for an empty input is empty.

        Args:
            inputs: texts. A model whose `unit` is a sentence writes an output for each sentence of a text and joins
                them; a model whose `unit` is a text reads it as a whole. A unit with more pieces than the model reads
                (`max_source` of its codec) is cut, and a warning says how many are.
            beam, min_length, max_length, block_ngrams, length_penalty, coverage_penalty: as in
                `zoo.models.options.SearchOptions`. None takes the option of the model's own `search`.
            n_best: the number of outputs for each input, best first, with their scores; None gives one text without a
                score. For several sentences, these are the combinations with the largest sums of scores.
            max_tokens: the number of pieces in a batch, padding included. On a CPU, as many batches as torch has
                threads are processed at once. A larger budget needs more memory and does not change the results.
            return_offsets: whether to return the outputs for the units of a text one by one, with their places in it.

        Returns:
            For each input, in the given order, a text, or with `n_best` a list of `zoo.text.units.Output`,
            or with `return_offsets` a list of `zoo.text.units.WrittenUnit`, one for each of its sentences.

        Raises:
            ZooError: an input is not a text, or an option of the search is out of range; or both `n_best` and
                `return_offsets` are given.
        """
        if n_best is not None and return_offsets:
            raise ZooError("n_best outputs are of whole texts: leave it out, or return_offsets")
        given: dict[str, Any] = {
            "beam": beam,
            "min_length": min_length,
            "max_length": max_length,
            "block_ngrams": block_ngrams,
            "length_penalty": length_penalty,
            "coverage_penalty": coverage_penalty,
        }
        search = replace(self.search, **{name: value for name, value in given.items() if value is not None})

        def write(model: TextGenerator, batch: Any, rows: list[int]) -> list[list[Hypothesis]]:
            return model.generate(batch, search, n_best)

        texts = check_texts(inputs)
        units = [split_units(text, self.unit) for text in texts]
        written = self._write(units, max_tokens, write)
        if return_offsets:
            return [place_outputs(*of_text) for of_text in zip(texts, units, written, strict=True)]
        outputs = [join_outputs(*of_text, n_best or 1) for of_text in zip(units, written, strict=True)]
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
        """Draws an output for each input. The outputs depend on the seed and not on the batches.

        Args:
            inputs, max_tokens: as in `predict`.
            temperature, top_k, top_p: as in `zoo.generation.sample`.
            seed: the seed of the random numbers.

        Raises:
            ZooError: an input is not a text, or an option of the sampling is out of range.
        """
        limits = self.search.limits(self.max_length)
        units = [split_units(text, self.unit) for text in check_texts(inputs)]
        noise = torch.rand(sum(map(len, units)), limits.max_length + 1, generator=torch.Generator().manual_seed(seed))

        def draw(model: TextGenerator, batch: Any, rows: list[int]) -> list[list[Hypothesis]]:
            beginning = model.begin(batch)
            drawn = sample(
                beginning.step,
                beginning.state,
                beginning.source,
                limits,
                noise=noise[rows].to(model.device),
                prompt=beginning.prompt,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
            )
            return [[hypothesis] for hypothesis in drawn]

        written = self._write(units, max_tokens, draw)
        return [join_outputs(*of_text, n_best=1)[0] for of_text in zip(units, written, strict=True)]

    def generate(self, inputs: Any, search: SearchOptions, n_best: int | None = None) -> list[list[Hypothesis]]:
        """Searches outputs for one batch: the hypotheses of each row, best first."""
        rows = max(1, HYPOTHESES // search.beam)
        return [found for part in parts_of(inputs, rows) for found in self._search(part, search, n_best)]

    def _search(self, inputs: Any, search: SearchOptions, n_best: int | None) -> list[list[Hypothesis]]:
        """`generate`, for a batch whose hypotheses fit into memory together."""
        step, state, source, prompt, coverage = self.begin(inputs)
        limits = search.limits(self.max_length)
        if search.beam == 1 and n_best is None:
            return [[hypothesis] for hypothesis in greedy(step, state, source, limits, prompt=prompt)]
        return beam_search(
            step,
            state,
            source,
            limits,
            beam=search.beam,
            n_best=n_best or 1,
            length_penalty=search.length_penalty,
            coverage_penalty=search.coverage_penalty,
            coverage=coverage,
            prompt=prompt,
        )

    def _answers(self, inputs: Any) -> list[str]:
        # Each row of a batch is one unit already, so it is not split as in `predict`.
        found = self.generate(inputs, self.search)
        return [self.text_of(best[0].tokens, inputs, row) for row, best in enumerate(found)]

    def _write(
        self,
        texts: Sequence[Sequence[str]],
        max_tokens: int,
        write: Callable[[TextGenerator, Any, list[int]], list[list[Hypothesis]]],
    ) -> list[list[list[Output]]]:
        """Writes outputs for each unit of each text, best first.

        Args:
            texts: the units of each text.
            max_tokens: the number of pieces in a batch.
            write: makes the hypotheses for a batch from the model in evaluation mode, the batch of units, and the
                positions of these units among all.
        """
        units = self.read([unit for units in texts for unit in units])
        outputs: list[list[Output]] = [[] for _ in units.lengths]
        model = self.in_evaluation()

        def work(rows: list[int]) -> None:
            batch = move_data_to_device(units.inputs(rows), self.device)
            for place, hypotheses in enumerate(write(model, batch, rows)):
                outputs[rows[place]] = [
                    Output(self.text_of(h.tokens, batch, place), h.score, h.log_probability) for h in hypotheses
                ]

        map_in_threads(splitting(work), group_by_length(units.lengths, max_tokens), self.device)
        in_order = iter(outputs)
        return [list(islice(in_order, len(units))) for units in texts]
