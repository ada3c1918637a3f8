"""JSON that every reader of JSON takes."""

from __future__ import annotations

import json
import math


def json_text(value: object, *, indent: int | None = None) -> str:
    """A value as JSON text: what is no number (NaN, infinity) is `null`, as JSON has no word for it."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
