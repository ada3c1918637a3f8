"""Standard JSON text, without NaN and infinity."""

from __future__ import annotations

import json
import math


def json_text(value: object, *, indent: int | None = None) -> str:
    """A value as JSON text. NaN and infinity become `null`, because JSON does not have them.

    A value of another type, such as a date from a Parquet file, becomes its text.
    """
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent, default=str)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
