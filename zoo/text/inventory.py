"""Names to ids: tags and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from zoo.errors import ZooError


class Inventory(Sequence[str]):
    """Distinct names in a fixed order, tags or labels; the id of a name is its position, and no name is special.

    An inventory is a sequence of strings: `list(inventory)` is its whole, plain state, and
    `Inventory(list(inventory))` restores it.

    Args:
        entries: the names in the order of their ids.

    Raises:
        ZooError: a name occurs twice.
    """

    _kind = "an inventory"  # what an error calls it

    def __init__(self, entries: Iterable[str]):
        self._entries = tuple(entries)
        self._ids = {entry: i for i, entry in enumerate(self._entries)}
        if len(self._ids) != len(self._entries):
            repeated = next(entry for entry, count in Counter(self._entries).items() if count > 1)
            raise ZooError(f"the entries of {self._kind} must differ, but {repeated!r} occurs more than once")

    @classmethod
    def fit(cls, names: Iterable[str]) -> Inventory:
        """The names that occur in a training split; the most frequent come first, ties in alphabetical order."""
        return cls(by_frequency(Counter(names)))

    def ids(self, names: Iterable[str]) -> list[int]:
        """The id of each name.

        Raises:
            KeyError: a name is not in the inventory.
        """
        return [self._ids[name] for name in names]

    def get(self, name: str, default: int) -> int:
        """The id of a name, or `default`."""
        return self._ids.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def __getitem__(self, position):
        return self._entries[position]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)  # several times as fast as that of Sequence, which asks for one after the other

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} entries: {', '.join(self._entries[:5])}, ...)"


def by_frequency(counts: Counter[str]) -> list[str]:
    """What was counted: the most frequent first, ties in alphabetical order."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, _ in ranked]
