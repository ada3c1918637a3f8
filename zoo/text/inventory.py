"""Tags and labels to ids: an inventory of names in which none is special."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Self, overload

from zoo.errors import ZooError

SHOWN_ENTRIES = 5


class Inventory(Sequence[str]):
    """Distinct names in a fixed order, such as tags or labels; the id of a name is its position.

    It is a sequence of strings: `list(inventory)` is its whole state, and `Inventory(list(inventory))` restores it.

    >>> tags = Inventory.fit(["NOUN", "VERB", "NOUN"])
    >>> list(tags)
    ['NOUN', 'VERB']
    >>> tags.ids(["VERB", "NOUN"])
    [1, 0]

    Args:
        entries: the names in the order of their ids.

    Raises:
        ZooError: a name occurs twice.
    """

    # What an error calls it.
    _kind = "an inventory"

    def __init__(self, entries: Iterable[str]):
        self._entries = tuple(entries)
        self._ids = {entry: i for i, entry in enumerate(self._entries)}
        if len(self._ids) != len(self._entries):
            repeated = next(entry for entry, count in Counter(self._entries).items() if count > 1)
            raise ZooError(f"the entries of {self._kind} must differ, but {repeated!r} occurs more than once")

    @classmethod
    def fit(cls, names: Iterable[str]) -> Self:
        """The names of a training split, the most frequent first and ties in alphabetical order.

        Args:
            names: every occurrence in the training split, or their counts as a `Counter`.
        """
        return cls(by_frequency(Counter(names)))

    def ids(self, names: Iterable[str]) -> list[int]:
        """The id of each name.

        Raises:
            KeyError: a name is not in the inventory.
        """
        return [self._ids[name] for name in names]

    def get(self, name: str, default: int) -> int:
        """The id of a name, or `default` if it has none."""
        return self._ids.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    @overload
    def __getitem__(self, position: int) -> str: ...

    @overload
    def __getitem__(self, position: slice) -> tuple[str, ...]: ...

    def __getitem__(self, position: int | slice) -> str | tuple[str, ...]:
        return self._entries[position]

    def __iter__(self) -> Iterator[str]:
        # Sequence's own iterator asks for one position after the other, which takes several times as long.
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        shown = [*self._entries[:SHOWN_ENTRIES], "..."] if len(self) > SHOWN_ENTRIES else self._entries
        return f"{type(self).__name__}({len(self)} entries: {', '.join(shown)})"


def by_frequency(counts: Counter[str]) -> list[str]:
    """The counted names, the most frequent first and ties in alphabetical order."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, _ in ranked]
