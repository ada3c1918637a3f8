"""Records the arguments that a model is constructed with, including those of a user's own class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import wraps
from pathlib import PurePath
from typing import Any, NamedTuple

from zoo.codecs import Codec


class Call(NamedTuple):
    """A call of the constructor of one class."""

    arguments: dict[str, object]  # the defaults of omitted arguments included
    given: frozenset[str]  # the names of the arguments that the caller gave
    takes_more: bool  # whether the constructor has **options, which it passes to its base class


def remembering(cls: type[object], init: Callable[..., None]) -> Callable[..., None]:
    """Wraps the constructor `init` of `cls` so that it adds the arguments of a user's class to `self.hparams`.

    The constructor of its base model saves its own arguments in `self.hparams` first, in plain types.
    """
    signature = inspect.signature(init)

    @wraps(init)
    def construct(self: Any, *args: object, **options: object) -> None:
        calls = vars(self).setdefault("_calls", [])
        outermost = not calls
        try:
            bound = signature.bind(self, *args, **options)
        except TypeError:
            # The constructor's own error has the name of the class.
            init(self, *args, **options)
            raise
        calls.append(_call(cls, bound))
        init(self, *args, **options)
        if outermost:
            del self._calls
            if len(calls) > 1:
                self._own_arguments = _own_arguments(calls, self.hparams)
                self.hparams.update(self._own_arguments)

    return construct


def plain(value: object) -> object:
    """Converts a value to the types of JSON where it has such a form, so that a checkpoint needs no pickle."""
    if isinstance(value, Codec):
        return value.state
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value


def _call(cls: type, bound: inspect.BoundArguments) -> Call:
    given = dict(list(bound.arguments.items())[1:])  # without self
    bound.apply_defaults()
    arguments = dict(list(bound.arguments.items())[1:])
    takes_more = False
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_more = True
            more = arguments.pop(parameter.name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            # These are the first arguments of the base class. mypy does not support `super` of a variable.
            base_init = super(cls, cls).__init__  # type: ignore[arg-type]
            names = list(inspect.signature(base_init).parameters)[1:]
            more = dict(zip(names, arguments.pop(parameter.name), strict=False))
        else:
            continue
        given.pop(parameter.name, None)
        given |= more
        arguments |= more
    return Call(arguments, frozenset(given), takes_more)


def _own_arguments(calls: Sequence[Call], saved: Mapping[str, object]) -> dict[str, object]:
    """The arguments, in plain types, with which the class of the first call constructs the same model again.

    Args:
        calls: the call of that class's constructor, and then those of the constructors of its base classes. The last of
            them has saved its arguments.
        saved: the arguments that the last constructor saved.
    """
    first = calls[0]
    last = calls[-1]
    arguments: dict[str, object] = {}
    for name, value in first.arguments.items():
        handed_on = name in saved and last.arguments.get(name) is value
        arguments[name] = saved[name] if handed_on else plain(value)
    if all(call.takes_more for call in calls[:-1]):
        # A saved model must stay the same when the defaults of the base model change.
        arguments |= {name: value for name, value in saved.items() if name not in last.given | arguments.keys()}
    return arguments
