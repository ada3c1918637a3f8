"""Errors that name the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# How many characters of a user's text a message shows.
QUOTED = 60


class ZooError(ValueError):
    """An error that a user can correct. The message says what was expected, what came, and what to do."""


def cut(text: str, most: int = QUOTED) -> str:
    """The first `most` characters of a text, followed by "..." if it is longer."""
    return text if len(text) <= most else f"{text[:most]}..."


def shown(value: object) -> str:
    """The `repr` of a value for a message, cut to a readable length."""
    return cut(repr(value))


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ZooError:
    """An error for a name that is not in a registry. Its message suggests a close name and lists all known ones.

    Args:
        kind: the kind of thing that was expected, such as "cell".
        name: the unknown name.
        known: the names in the registry.
    """
    names = sorted(known)
    close = get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return ZooError(f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}")
