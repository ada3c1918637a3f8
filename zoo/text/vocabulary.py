"""Pieces of text to ids: words, characters and subwords."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat

from zoo.text.inventory import Inventory, by_frequency

PAD, UNKNOWN = "<pad>", "<unk>"
PAD_ID, UNKNOWN_ID = 0, 1  # where a vocabulary begins with these


class Vocabulary(Inventory):
    """An inventory of pieces of text that knows padding and the unknown; tags and labels are an `Inventory`.

    A text that says `<pad>` is a text, not padding: where a vocabulary begins with that entry, no text has its id.
    A text that says `<unk>`, as some corpora do, has an unknown word there.

    Args:
        entries: all entries in the order of their ids, special entries included.

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
        pieces: Iterable[str],
        *,
        min_count: int = 1,
        size: int | None = None,
        specials: Sequence[str] = (PAD, UNKNOWN),
    ) -> Vocabulary:
        """Counts the pieces of a training split; the most frequent come first, ties in alphabetical order.

        Args:
            pieces: every occurrence in the training split.
            min_count: pieces that occur less often are left out.
            size: how many pieces are kept at most, the most frequent; all by default.
            specials: entries that come before all others whether or not they occur.
        """
        counts = Counter(pieces)
        kept = [piece for piece in by_frequency(counts) if counts[piece] >= min_count and piece not in specials]
        return cls((*specials, *kept[:size]))

    def ids(self, pieces: Iterable[str]) -> list[int]:
        """The id of each piece; that of `<unk>` for those never seen.

        Raises:
            KeyError: a piece is not in a vocabulary that has no `<unk>`.
        """
        if self.unknown_id is None:
            return super().ids(pieces)
        get, unknown = self._ids.get, self.unknown_id
        return list(map(get, pieces, repeat(unknown)))
