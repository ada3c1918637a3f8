"""What an action comes to, for tests in which it may either succeed or be refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def result_or_error(action: Callable[[], T], *errors: type[E]) -> T | E:
    """Returns the action's result, or the error that it raises if that is one of `errors`."""
    try:
        return action()
    except errors as error:
        return error
