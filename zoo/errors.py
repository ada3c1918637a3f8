"""Errors that name the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

QUOTED = 60  # characters of a user's text that a message shows


class ZooError(ValueError):
    """Something that a user can mend; the message says what was expected, what came, and what to do."""


def cut(text: str, most: int = QUOTED) -> str:
    """A text as a message quotes it: its beginning, where it is long."""
    return text if len(text) <= most else f"{text[:most]}..."


def shown(value: object) -> str:
    """A value as a message quotes it: as Python writes it, cut where that is long."""
    return cut(repr(value))


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ZooError:
    """An error for a name that is in no registry: it lists the known names, a close one first."""
    known = sorted(known)
    close = get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return ZooError(f"unknown {kind} {name!r}: {hint}known are {', '.join(known)}")
