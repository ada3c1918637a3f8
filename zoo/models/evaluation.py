"""Runs a module in evaluation mode without changing the module's own mode."""

from __future__ import annotations

from types import MethodType
from typing import Any, TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def in_evaluation(module: Module) -> Module:
    """`module` itself if all its submodules are in evaluation mode, else a view of it in evaluation mode.

    The submodules of a view are new objects that share their parameters, buffers and all other attributes with the
    submodules of the module. Prediction uses a view because `module.eval()` would affect all threads, and an interrupt
    could leave the module in the wrong mode.
    """
    if not any(part.training for part in module.modules()):
        return module
    return _view(module, {})


def without_gradients(module: Module) -> Module:
    """A view of `module` in evaluation mode whose weights need no gradient: gradients reach its inputs alone."""
    view = _view(module, {})
    for part in view.modules():
        weights = {name: None if weight is None else weight.detach() for name, weight in part._parameters.items()}
        part.__dict__["_parameters"] = weights
    return view


def _view(module: Module, made: dict[nn.Module, Any]) -> Module:
    """A view of `module`, of the same class; `made` contains the views of the modules that have one already."""
    if module in made:
        known: Module = made[module]
        return known
    view = object.__new__(type(module))
    made[module] = view
    view.__dict__.update(module.__dict__)
    parts = {name: None if part is None else _view(part, made) for name, part in module._modules.items()}
    # This bypasses nn.Module's setters, which would register shared parameters and submodules again.
    view.__dict__.update(training=False, _modules=parts, _compiled_call_impl=None)
    for name, value in module.__dict__.items():
        if isinstance(value, MethodType) and value.__self__ is module:
            view.__dict__[name] = MethodType(value.__func__, view)
    return view
