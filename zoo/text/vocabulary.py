"""Pieces to ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

from zoo.errors import ZooError

PAD, UNKNOWN = "<pad>", "<unk>"
PAD_ID, UNKNOWN_ID = 0, 1  # where a vocabulary begins with these


class Vocabulary(Sequence[str]):
    """An ordered inventory of pieces (words, characters, tags); the id of a piece is its position.

    A vocabulary is a sequence of strings, so `list(vocabulary)` is its whole, plain state and
    `Vocabulary(list(vocabulary))` restores it.

    Args:
        entries: all entries in the order of their ids, special entries included.

    Raises:
        ZooError: an entry occurs twice.
    """

    def __init__(self, entries: Iterable[str]):
        self._entries = tuple(entries)
        self._ids = {entry: i for i, entry in enumerate(self._entries)}
        if len(self._ids) != len(self._entries):
            repeated = next(entry for entry, count in Counter(self._entries).items() if count > 1)
            raise ZooError(f"a vocabulary's entries must differ, but {repeated!r} occurs more than once")
        self.unknown_id = self._ids.get(UNKNOWN)
        if self._entries and self._entries[0] == PAD:
            del self._ids[PAD]  # a text that says "<pad>" is a text, not padding

    @classmethod
    def fit(cls, pieces: Iterable[str], *, min_count: int = 1, specials: Sequence[str] = (PAD, UNKNOWN)) -> Vocabulary:
        """Counts the pieces of a training split; the most frequent come first, ties in alphabetical order.

        Args:
            pieces: every occurrence in the training split.
            min_count: pieces that occur less often are left out.
            specials: entries that come before all others whether or not they occur.
        """
        counts = Counter(pieces)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = (piece for piece, count in ranked if count >= min_count and piece not in specials)
        return cls((*specials, *kept))

    def ids(self, pieces: Iterable[str]) -> list[int]:
        """The id of each piece; that of `<unk>` for those never seen.

        Raises:
            KeyError: a piece is not in a vocabulary that has no `<unk>`.
        """
        if self.unknown_id is None:
            return [self._ids[piece] for piece in pieces]
        get, unknown = self._ids.get, self.unknown_id
        return list(map(get, pieces, repeat(unknown)))

    def get(self, piece: str, default: int) -> int:
        """The id of a piece, or `default`."""
        return self._ids.get(piece, default)

    def __contains__(self, piece: object) -> bool:
        return piece in self._ids

    def __getitem__(self, position):
        return self._entries[position]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)  # several times as fast as that of Sequence, which asks for one after the other

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} entries: {', '.join(self._entries[:5])}, ...)"
