"""Options of constructors: frozen dataclasses, which can also be made from plain mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from zoo.errors import ZooError, unknown_name


@dataclass(frozen=True)
class Options:
    """Base of the frozen dataclasses that group the options of a constructor.

    Hyperparameters are saved as plain mappings. A constructor therefore takes either form, and calls `of`. This class
    is a dataclass itself, because the command line has a flag for each field of a dataclass only.

    Options that a mapping or a call of the class does not name have the defaults of the class, and not those of a
    model. `dataclasses.replace` changes single options of a model's default.
    """

    @classmethod
    def of(cls, value: Self | Mapping[str, Any]) -> Self:
        """`value` itself if it has this class, else an object with the options in the mapping.

        Raises:
            ZooError: `value` is neither, or the mapping has a name that is no option (the known ones are listed).
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise ZooError(f"expected {cls.__name__} or a mapping with its fields, got a {type(value).__name__}")
        known = [field.name for field in fields(cls)]
        for name in value:
            if name not in known:
                raise unknown_name(f"option of {cls.__name__}", name, known)
        return cls(**value)
