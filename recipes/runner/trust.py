"""Which classes a config file may name: to import a class is to run the code of its module."""

from __future__ import annotations

import pydoc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml
from jsonargparse import set_parsing_settings

from zoo.errors import ZooError

# What the flags of the Trainer take, and the options of our own models.
LIGHTNING = ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies")
# The flags whose value may be a class.
FLAGS = {f"--trainer.{name}" for name in ("accelerator", "callbacks", "logger", "plugins", "profiler", "strategy")}
TRUSTED = (
    *(f"pytorch_lightning.{room}" for room in LIGHTNING),
    "lightning_fabric.plugins",
    "torch.device",
    "datetime.timedelta",
    "zoo.models.options",
    "zoo.nn.cells",
)


def trust_only(args: Sequence[str]) -> set[str]:
    """Lets config files name classes of Lightning, of this project, and those that the arguments name; no others.

    The rule holds for all values that are parsed from here on, in nested files too.

    Returns:
        The classes that the arguments name.

    Raises:
        ZooError: `--trust` has something else.
    """
    named = set(_named(args))
    defined = {found for name in named if (found := _definition(name))}
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*TRUSTED, *named, *defined])
    return named


def distrusted(name: str) -> str:
    """What to tell people of a class that a file names and nobody asked for."""
    return (
        f"a config file names {name}, which is neither of Lightning nor of this project, and its code would run: if "
        f"you trust it add --trust {name}"
    )


def _named(args: Sequence[str]) -> Iterator[str]:
    """Classes that the command line itself names, by `--trust` or in a flag of the Trainer."""
    flags = iter(args)
    for arg in flags:
        flag, together, value = arg.partition("=")
        trust = flag == "--trust"
        if not trust and flag.removesuffix(".class_path").removesuffix("+") not in FLAGS:
            continue
        value = value if together else next(flags, "")
        for name in value.split(",") if trust else _classes(value):
            if _is_path(name):
                yield name
            elif trust:
                raise ZooError(f"expected names of classes as --trust, such as package.module.Class, got {value!r}")


def _definition(name: str) -> str | None:
    """Where a class is defined, which is often elsewhere than where it is named."""
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport:  # the parser will tell
        return None
    module, path = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    return f"{module}.{path}" if module and path else None


def _classes(value: str) -> Iterable[str]:
    """Classes in the value of a flag: a name, or names in JSON."""
    if Path(value).exists():  # a file of settings, whatever it is called
        return ()
    try:
        return list(_within(yaml.safe_load(value)))
    except yaml.YAMLError:
        return ()


def _within(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _within(item)
    elif isinstance(value, dict):
        yield from _within(value.get("class_path"))
        for item in (value.get("init_args") or {}).values():
            if isinstance(item, list | dict):
                yield from _within(item)


def _is_path(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)
