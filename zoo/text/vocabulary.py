"""Tokens to ids, whether these are words, characters or subword pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Self

from zoo.text.inventory import Inventory, by_frequency

PAD, UNKNOWN = "<pad>", "<unk>"
# Their ids if a vocabulary begins with them.
PAD_ID, UNKNOWN_ID = 0, 1


class Vocabulary(Inventory):
    """An inventory of tokens with padding and an entry for unknown tokens; tags and labels are an `Inventory`.

    >>> vocabulary = Vocabulary.fit(["the", "dog", "the"])
    >>> list(vocabulary)
    ['<pad>', '<unk>', 'the', 'dog']
    >>> vocabulary.ids(["the", "cat", "<pad>"])
    [2, 1, 1]

    A token `<pad>` in a text is not padding: if a vocabulary begins with that entry, no token has its id. A token
    `<unk>`, which some corpora have, is an unknown token.

    Args:
        entries: all entries in the order of their ids, special entries included.

    Attributes:
        unknown_id: the id of unknown tokens; None without an entry for them.

    Raises:
        ZooError: an entry occurs twice.
    """

    _kind = "a vocabulary"

    def __init__(self, entries: Iterable[str]):
        super().__init__(entries)
        self.unknown_id = self._ids.get(UNKNOWN)
        if self._entries and self._entries[0] == PAD:
            del self._ids[PAD]

    @classmethod
    def fit(
        cls,
        tokens: Iterable[str],
        *,
        min_count: int = 1,
        size: int | None = None,
        specials: Sequence[str] = (PAD, UNKNOWN),
    ) -> Self:
        """The tokens of a training split, the most frequent first and ties in alphabetical order.

        Args:
            tokens: every occurrence in the training split, or their counts as a `Counter`.
            min_count: tokens that occur less often are left out.
            size: the largest number of tokens without the specials; by default all are kept.
            specials: entries before all others, whether or not they occur.
        """
        counts = Counter(tokens)
        kept = [token for token in by_frequency(counts) if counts[token] >= min_count and token not in specials]
        return cls((*specials, *kept[:size]))

    def extended(self, tokens: Iterable[str]) -> Self:
        """This vocabulary with the tokens appended that it does not have. Its own tokens keep their ids.

        >>> list(Vocabulary(["<pad>", "<unk>", "dog"]).extended(["cat", "dog"]))
        ['<pad>', '<unk>', 'dog', 'cat']
        """
        own = set(self._entries)
        return type(self)((*self._entries, *(token for token in dict.fromkeys(tokens) if token not in own)))

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token, `unknown_id` for those that are not in the vocabulary.

        Raises:
            KeyError: a token is not in a vocabulary without `<unk>`.
        """
        if self.unknown_id is None:
            return super().ids(tokens)
        return list(map(self._ids.get, tokens, repeat(self.unknown_id)))
