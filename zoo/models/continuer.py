"""The base of models that continue texts: `generate` and `stream` with the search of `zoo.generation`.

Shapes: B prompts, P tokens of the longest prompt, R rows of one step, V tokens of the vocabulary.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zoo.batches.bucketing import group_for_prediction
from zoo.codecs import LanguageModelingCodec
from zoo.codecs.language_modeling import END_ID
from zoo.errors import ZooError
from zoo.generation import Limits, beam_search, sample, sampler, write
from zoo.models.base import ZooModule
from zoo.models.continuation import Continuation
from zoo.models.inputs import check_text, check_texts
from zoo.models.out_of_memory import splitting
from zoo.nn.cells import State
from zoo.threads import map_in_threads


class TextContinuer(ZooModule):
    """A model that continues texts. A subclass defines how prompts are read (`begin`), and one `step` after them."""

    codec: LanguageModelingCodec

    @abstractmethod
    def begin(self, prompts: Sequence[Sequence[int]]) -> tuple[tuple[State, ...], Tensor]:
        """The state after all tokens of each prompt but the last, and the prompts padded on the left `(B, P)`."""

    @abstractmethod
    def step(self, tokens: Tensor, state: tuple[State, ...], source: tuple[()]) -> tuple[Tensor, tuple[State, ...]]:
        """The log-probabilities of the next tokens `(R, V)` after `tokens (R,)`, and the state after these."""

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[str] = ("",),
        *,
        max_length: int = 100,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        beam: int = 0,
        seed: int = 0,
        stop: str = "",
        max_tokens: int = 16_384,
    ) -> list[str]:
        """Continues each prompt up to the end of its text. The outputs depend on the seed and not on the batches.

        Args:
            prompts: the beginnings of texts; an empty one begins a new text. What precedes a line break in a prompt is
                a finished text, which the model has read before. A backward model writes what stands before a prompt.
            max_length: the largest number of tokens that are written.
            temperature, top_k, top_p: as in `zoo.generation.sampler`. A `top_k` of 1 is greedy search.
            beam: the number of hypotheses of a beam search, which takes the place of sampling; 0 samples.
            seed: the seed of the random numbers.
            stop: a string before which an output ends as well.
            max_tokens: the token budget of a batch: its prompts and their longest continuations, for each hypothesis. A
                larger budget needs more memory and does not change the results.

        Returns:
            Each prompt with its continuation.

        Raises:
            ZooError: a prompt is not a text, or has a character that the model has never seen; an option is out of its
                range.
        """
        continuations = [Continuation(self.codec, prompt, stop) for prompt in check_texts(prompts)]
        if not continuations:
            return []
        model = self.in_evaluation()
        limits = Limits(END_ID, END_ID, max_length=max_length)
        noise = self._noise(len(continuations), max_length, seed)
        texts = [""] * len(continuations)

        def work(rows: list[int]) -> None:
            state, prompt = model.begin([continuations[row].prompt_ids for row in rows])
            if beam:
                best = beam_search(model.step, state, (), limits, beam=beam, length_penalty=1.0, prompt=prompt)
                found = [hypotheses[0] for hypotheses in best]
            else:
                found = sample(
                    model.step,
                    state,
                    (),
                    limits,
                    noise=noise[rows],
                    prompt=prompt,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                )
            for row, hypothesis in zip(rows, found, strict=True):
                texts[row] = continuations[row].text(hypothesis.tokens)

        sizes = [(len(each.prompt_ids) + max_length) * max(1, beam) for each in continuations]
        map_in_threads(splitting(work), group_for_prediction(sizes, max_tokens, self.device), self.device)
        return texts

    @torch.no_grad()
    def stream(
        self,
        prompt: str = "",
        *,
        max_length: int = 100,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: str = "",
    ) -> Iterator[str]:
        """Continues one prompt and yields the text as it is written: joined, the parts are what `generate` returns.

        Args:
            prompt, max_length, temperature, top_k, top_p, seed, stop: as in `generate`.
        """
        if self.codec.backward:
            raise ZooError("a backward model writes a text from its end, so there is nothing to stream: use generate")
        continuation = Continuation(self.codec, check_text(prompt, "prompt"), stop)
        model = self.in_evaluation()
        state, prompt_ids = model.begin([continuation.prompt_ids])
        limits = Limits(END_ID, END_ID, max_length=max_length)
        choose = sampler(self._noise(1, max_length, seed), temperature=temperature, top_k=top_k, top_p=top_p)
        tokens: list[int] = []
        shown = ""
        for written in write(model.step, state, (), limits, choose, prompt=prompt_ids):
            tokens += [token for token in written.tokens.tolist() if token != END_ID]
            text = continuation.settled_text(tokens)
            yield text[len(shown) :]
            shown = text
            if continuation.has_stopped(tokens):
                break
        yield continuation.text(tokens)[len(shown) :]

    def _noise(self, rows: int, max_length: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(rows, max_length + 1, generator=generator).to(self.device)
