"""Parts of a batch: some of its rows, as a batch of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, Self, TypeVar, runtime_checkable


@runtime_checkable
class Divisible(Protocol):
    """Inputs or a batch that can be divided by rows."""

    def part(self, rows: slice) -> Self:
        """Some of its rows, with their padding."""

    @property
    def num_rows(self) -> int:
        """B."""


Whole = TypeVar("Whole")
_DIVIDES = ContextVar("divides", default=True)


@contextmanager
def undivided() -> Iterator[None]:
    """Within it no batch is halved, so that one that does not fit into memory is an error."""
    token = _DIVIDES.set(False)
    try:
        yield
    finally:
        _DIVIDES.reset(token)


def halves(whole: Whole) -> tuple[Whole, Whole] | None:
    """Both halves of a batch or of its inputs; None for one row, or for a batch of a user's own without `part`."""
    if not _DIVIDES.get() or not isinstance(whole, Divisible) or whole.num_rows < 2:
        return None
    middle = whole.num_rows // 2
    return whole.part(slice(middle)), whole.part(slice(middle, None))


def parts_of(whole: Whole, rows: int) -> Iterator[Whole]:
    """Parts of at most `rows` rows, in order. What has no more rows, or cannot be divided, is the only part."""
    if not isinstance(whole, Divisible) or whole.num_rows <= rows:
        yield whole
        return
    for start in range(0, whole.num_rows, rows):
        yield whole.part(slice(start, start + rows))
