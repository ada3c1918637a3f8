"""The flags of a search, with which a trained model writes other texts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

from docstring_parser import parse_from_object
from jsonargparse import Namespace

from recipes.runner.parser import Parser
from zoo.models.options import SearchOptions


def add_search_flags(parser: Parser, search: type[Any]) -> None:
    """Adds a flag for each field of a model's search. Without the flag, the model's own value applies."""
    descriptions = {field.arg_name: field.description for field in parse_from_object(search).params}
    for name, kind in get_type_hints(search).items():
        # None means that the flag is not given, so the type of an `int | None` field is int.
        kind = next(iter(get_args(kind)), kind)
        description = f"{descriptions[name]} Default: the model's own."
        parser.add_argument(f"--{name}", type=kind, default=None, help=description)


def changed_search(search: SearchOptions, options: Namespace) -> SearchOptions:
    """A model's search with the values that the flags give."""
    given = {field.name: getattr(options, field.name) for field in fields(search)}
    return replace(search, **{name: value for name, value in given.items() if value is not None})
