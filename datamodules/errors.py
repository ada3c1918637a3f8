"""The error for data that a user can mend."""

from __future__ import annotations

from zoo.errors import ZooError


class DataError(ZooError):
    """Data that cannot be used. The message says where, what was expected, what came and what to do."""
