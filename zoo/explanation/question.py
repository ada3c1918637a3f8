"""What is asked about an answer of a model: one score, as a function of the embedded tokens.

Shapes: B variants of one text, T tokens, X features of an embedded token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from zoo.errors import ZooError
from zoo.explanation.reading import Reading

# How many words a message lists.
SHOWN = 12


@dataclass(frozen=True)
class Asked:
    """What a user asks about the answer to each input; None where the model's own answer decides.

    Attributes:
        target: the label, tag or word that is explained.
        position: the place of a tag, or of a word of the output.
        output: the text that a model that writes is taken to have written.
        emission: whether a tag is explained by its score before the CRF.
    """

    target: str | None = None
    position: int | None = None
    output: str | None = None
    emission: bool | None = None


class Question(NamedTuple):
    """One score of a model for one text, as a function of the embeddings of its tokens."""

    reading: Reading
    score: Callable[[Tensor], Tensor]  # (B, T, X) -> (B,)
    target: str
    position: int | None = None
    attention: Tensor | None = None  # (T,) the weights of the tokens, if the model attends


def check_position(position: int | None, words: list[str], what: str) -> int:
    """Returns the position.

    Args:
        position: what was given.
        words: what it may name.
        what: what one of these is called in a message.

    Raises:
        ZooError: there is no position, or it is outside of the words.
    """
    listed = ", ".join(f"{place} {word}" for place, word in enumerate(words[:SHOWN]))
    if len(words) > SHOWN:
        listed += ", ..."
    if isinstance(position, bool) or not isinstance(position, int):
        raise ZooError(f"expected the position of the {what} to explain, got {position!r}: choose from {listed}")
    if not 0 <= position < len(words):
        raise ZooError(f"expected the position of a {what}, 0 to {len(words) - 1}, got {position}: {listed}")
    return position
