"""Options of constructors: frozen dataclasses, made from one another or from plain mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from zoo.errors import unknown_name


@dataclass(frozen=True)
class Options:
    """Base of the frozen dataclasses that group a constructor's options.

    Hyperparameters are kept as plain mappings. So a constructor takes both, and calls `of`. It is a dataclass itself:
    only then does the command line have a flag for each field.
    """

    @classmethod
    def of(cls, value: Self | Mapping[str, Any]) -> Self:
        """`value` itself, or the options that a mapping names.

        Raises:
            ZooError: the mapping has a name that is no option (the known ones are listed).
        """
        if isinstance(value, cls):
            return value
        known = [field.name for field in fields(cls)]
        for name in value:
            if name not in known:
                raise unknown_name(f"option of {cls.__name__}", name, known)
        return cls(**value)
