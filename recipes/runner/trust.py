"""Restricts the classes that a config file may name, because importing a class runs the code of its module."""

from __future__ import annotations

import argparse
import pydoc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml
from jsonargparse import set_parsing_settings

from zoo.errors import ZooError

# The packages of Lightning whose classes are values of the Trainer's flags.
LIGHTNING = ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies")
# The arguments of the Trainer that take classes.
ARGUMENTS = ("accelerator", "callbacks", "logger", "plugins", "profiler", "strategy")
TRUSTED = (
    *(f"pytorch_lightning.{room}" for room in LIGHTNING),
    "lightning_fabric.plugins",
    "torch.device",
    "datetime.timedelta",
    "zoo.models.options",
    "zoo.nn.cells",
)


def trust_only(args: Sequence[str]) -> set[str]:
    """Lets config files name only classes of Lightning, of this project, and those that the command line names.

    The rule applies to all values that are parsed after this call, including those of nested files.

    Args:
        args: the command line.

    Returns:
        The classes that the command line names with `--trust` or as the value of a flag of the Trainer.

    Raises:
        ZooError: a value of `--trust` is not the name of a class.
    """
    named = _named(args)
    defined = {definition for name in named if (definition := _definition(name))}
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*TRUSTED, *named, *defined])
    return named


def distrusted(name: str) -> str:
    """The message for an untrusted class in a config file."""
    return (
        f"a config file names {name}, which is not a class of Lightning or of this project. Its code would run: if you "
        f"trust it, add --trust {name}"
    )


def _named(args: Sequence[str]) -> set[str]:
    """The classes that the command line itself names with `--trust` or as the value of a flag of the Trainer.

    They must be known before the full parser reads a config file, which may come before them on the command line. This
    first parser knows only these flags and ignores all others. The full parser reports their errors.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--trust", action="append", nargs="?", default=[])
    flags = [f"--trainer.{name}{ending}" for name in ARGUMENTS for ending in ("", "+", ".class_path")]
    parser.add_argument(*flags, dest="values", action="append", nargs="?", default=[])
    known, _ = parser.parse_known_args(args)
    named = {name for value in known.values if value for name in _classes(value) if _is_path(name)}
    for value in filter(None, known.trust):
        for name in value.split(","):
            if not _is_path(name):
                raise ZooError(f"--trust: expected names of classes such as package.module.Class, got {value!r}")
            named.add(name)
    return named


def _definition(name: str) -> str | None:
    """The full name of a class in its defining module, which often differs from the module that was named."""
    try:
        found = pydoc.locate(name)
    # The full parser reports this error.
    except pydoc.ErrorDuringImport:
        return None
    module = getattr(found, "__module__", None)
    path = getattr(found, "__qualname__", None)
    return f"{module}.{path}" if module and path else None


def _classes(value: str) -> Iterable[str]:
    """The names in the value of a flag: the value itself, or the names in its JSON."""
    # A config file is not trusted, even if its name looks like a class.
    if Path(value).exists():
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
