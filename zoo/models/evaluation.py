"""A module in evaluation mode that leaves the module itself as it is."""

from __future__ import annotations

from types import MethodType
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def in_evaluation(module: Module) -> Module:
    """`module` itself where all its parts are in evaluation mode, else a view of it where they are.

    A view has parts of its own, and shares their parameters, buffers and everything else with the module's. So
    predicting switches no mode, which all threads would see and which an interrupt could leave switched.
    """
    if not any(part.training for part in module.modules()):
        return module
    return _view(module, {})


def _view(module: Module, made: dict[nn.Module, nn.Module]) -> Module:
    if module in made:
        return made[module]
    view = made[module] = object.__new__(type(module))
    view.__dict__.update(module.__dict__)
    parts = {name: None if part is None else _view(part, made) for name, part in module._modules.items()}
    # nn.Module's own setters would register what is shared once more.
    view.__dict__.update(training=False, _modules=parts, _compiled_call_impl=None)
    for name, value in module.__dict__.items():
        if isinstance(value, MethodType) and value.__self__ is module:
            view.__dict__[name] = MethodType(value.__func__, view)
    return view
