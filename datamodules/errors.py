"""The error for data that a user can correct."""

from __future__ import annotations

from zoo.errors import ZooError


class DataError(ZooError):
    """Data cannot be used. The message has the place, what was expected, what was found and what to do."""
