"""How many entries a fitted vocabulary may have."""

from __future__ import annotations

from typing import Literal

# The default size of a sentencepiece model. A short text may allow fewer pieces.
PIECES = 8000

# A number of entries; or by the tokenizer: `PIECES` with sentencepiece, and no limit with any other.
VocabularySize = int | Literal["by_tokenizer"]


def num_pieces(size: VocabularySize) -> int:
    """The size of a sentencepiece model."""
    return PIECES if size == "by_tokenizer" else size


def limit(size: VocabularySize) -> int | None:
    """The largest number of entries in a vocabulary of words or characters; None for no limit."""
    return None if size == "by_tokenizer" else size
