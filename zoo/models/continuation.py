"""The text of a prompt together with the tokens that a language model writes after it."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.codecs import LanguageModelingCodec
from zoo.codecs.language_modeling import END_ID
from zoo.errors import ZooError
from zoo.text import UNKNOWN_ID

# Of these tokenizers, an unknown token is a character that the training split does not have. Of others it is a word.
OF_CHARACTERS = ("characters", "bytes", "sentencepiece")
# What stands for bytes that are no whole character.
INCOMPLETE = "\ufffd"


class Continuation:
    """A prompt, and how the tokens that follow it become a text.

    Args:
        codec: of the model.
        prompt: the beginning of a text. What precedes a line break is a finished text.
        stop: a string before which the output ends; empty for none.

    Attributes:
        prompt_ids: the tokens to read before the first one is written: the end of the text before, and the prompt.

    Raises:
        ZooError: the prompt has a character that is not in the vocabulary.
    """

    def __init__(self, codec: LanguageModelingCodec, prompt: str, stop: str = ""):
        self.codec = codec
        self.prompt = prompt
        self.stop = stop
        lines = prompt.split("\n")
        *finished, begun = reversed(lines) if codec.backward else lines
        self._begun_ids = self._known_ids(begun)
        self.prompt_ids = [END_ID]
        for line in finished:
            self.prompt_ids += [*self._known_ids(line), END_ID]
        self.prompt_ids += self._begun_ids

    def _known_ids(self, line: str) -> list[int]:
        ids = self.codec.ids(line)[:-1]
        if self.codec.tokenizer in OF_CHARACTERS and UNKNOWN_ID in ids:
            raise ZooError(
                f"the prompt {self.prompt!r} has {self.codec.split(line)[ids.index(UNKNOWN_ID)]!r}, which the training "
                "split of this model does not have: leave it out"
            )
        return ids

    def text(self, tokens: Sequence[int]) -> str:
        """The prompt with what the tokens continue it by, up to the stop."""
        continuation = self._written(tokens)
        if self.stop:
            continuation = continuation.partition(self.stop)[0]
        return continuation + self.prompt if self.codec.backward else self.prompt + continuation

    def has_stopped(self, tokens: Sequence[int]) -> bool:
        """Whether the stop is among what the tokens spell."""
        return bool(self.stop) and self.stop in self._written(tokens)

    def settled_text(self, tokens: Sequence[int]) -> str:
        """The part of `text` that no further token can change."""
        text = self.text(tokens).rstrip(INCOMPLETE)
        for size in range(min(len(self.stop), len(text)), 0, -1):
            if text.endswith(self.stop[:size]):
                return text[:-size]
        return text

    def _written(self, tokens: Sequence[int]) -> str:
        # The first token after the prompt may begin with a space, which only the text of both together shows.
        begun = self.codec.text(self._begun_ids)
        whole = self.codec.text([*self._begun_ids, *tokens])
        return whole.removesuffix(begun) if self.codec.backward else whole.removeprefix(begun)
