"""Which classes a config file may name: to import a class is to run the code of its module."""

from __future__ import annotations

import argparse
import pydoc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml
from jsonargparse import set_parsing_settings

from zoo.errors import ZooError

# What the flags of the Trainer take, and the options of our own models.
LIGHTNING = ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies")
# The arguments of the Trainer whose value may be a class.
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
    """Lets config files name classes of Lightning, of this project, and those that the command line names; no others.

    The rule holds for all values that are parsed from here on, those of nested files included.

    Args:
        args: the command line.

    Returns:
        The classes that the command line names, by `--trust` or as the value of a Trainer's flag.

    Raises:
        ZooError: `--trust` names something that is no class.
    """
    named = _named(args)
    defined = {definition for name in named if (definition := _definition(name))}
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*TRUSTED, *named, *defined])
    return named


def distrusted(name: str) -> str:
    """The message for a class that a config file names and that is not trusted."""
    return (
        f"a config file names {name}, which is neither of Lightning nor of this project, and its code would run: if "
        f"you trust it, add --trust {name}"
    )


def _named(args: Sequence[str]) -> set[str]:
    """The classes that the command line itself names, by `--trust` or as the value of a Trainer's flag.

    They must be known before the full parser reads the first config file, which may stand before them. So this parser
    comes first: it knows these flags only, and leaves all others, their mistakes included, to the full one.
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
                raise ZooError(f"expected names of classes as --trust, such as package.module.Class, got {value!r}")
            named.add(name)
    return named


def _definition(name: str) -> str | None:
    """The full name of a class in the module that defines it, often another one than the module that was named."""
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport:  # the full parser reports it
        return None
    module, path = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    return f"{module}.{path}" if module and path else None


def _classes(value: str) -> Iterable[str]:
    """The names in a flag's value: the value itself, or those in its JSON."""
    if Path(value).exists():  # a config file, which is trusted with nothing, whatever its name is
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
