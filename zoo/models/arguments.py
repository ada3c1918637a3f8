"""What a model was called with: its own class may be a user's, with arguments that the models here know nothing of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import wraps
from pathlib import PurePath
from typing import NamedTuple

from zoo.codecs import Codec


class Call(NamedTuple):
    """A call of one class's constructor."""

    arguments: dict[str, object]  # with the defaults of those that were not given
    given: frozenset[str]  # the names of those that were
    takes_more: bool  # whether it has **options, which it hands on


def remembering(cls: type, init: Callable) -> Callable:
    """The constructor `init` of `cls`, which adds to `self.hparams` what the arguments of a user's class are.

    The constructor of the model below it has saved its own arguments in `self.hparams` by then, in plain types.
    """
    signature = inspect.signature(init)

    @wraps(init)
    def construct(self, *args, **options):
        calls = vars(self).setdefault("_calls", [])
        outermost = not calls
        try:
            bound = signature.bind(self, *args, **options)
        except TypeError:
            init(self, *args, **options)  # says so with the name of the class
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
    """A value in the types that JSON and a checkpoint without pickle have, where that is possible."""
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
        elif parameter.kind is parameter.VAR_POSITIONAL:  # they are the first ones of the class below
            below = list(inspect.signature(super(cls, cls).__init__).parameters)[1:]
            more = dict(zip(below, arguments.pop(parameter.name), strict=False))
        else:
            continue
        given.pop(parameter.name, None)
        given |= more
        arguments |= more
    return Call(arguments, frozenset(given), takes_more)


def _own_arguments(calls: Sequence[Call], saved: Mapping[str, object]) -> dict[str, object]:
    """What the class of the first call must be called with to make the same model once more, in plain types.

    Args:
        calls: of its constructor, and of those that it called in turn, the last of which has saved its arguments.
        saved: these, as that model understood them (None as its default, for example).
    """
    first, last = calls[0], calls[-1]
    arguments = {}
    for name, value in first.arguments.items():
        handed_on = name in saved and last.arguments.get(name) is value
        arguments[name] = saved[name] if handed_on else plain(value)
    if all(call.takes_more for call in calls[:-1]):  # defaults of today, which may be others one day
        arguments |= {name: value for name, value in saved.items() if name not in last.given | arguments.keys()}
    return arguments
