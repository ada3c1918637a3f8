"""The space of a search: the flags that a search tries, each with its range or its choices, in a YAML file.

recipe: pos_tagging
space:
  model.dropout: {uniform: [0.1, 0.6]}                  a number between two bounds
  model.optimizer.learning_rate: {log: [0.0005, 0.02]}  the same, on a logarithmic scale
  model.hidden_size: {int: [64, 320, 64]}               a whole number between two bounds, in steps of the third number
  model.cell: {choice: [lstm, gru]}                     one of these values
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from recipes.runner.permissions import UNSAVED
from zoo.errors import ZooError, shown

SPACES = Path(__file__).parent / "spaces"
KINDS = ("uniform", "log", "int", "choice")
# Flags that a search sets itself, or that change what a dev score means.
REFUSED = (*UNSAVED, "config", "data.dataset", "data.dev", "data.test")

Value = str | int | float | bool | None
Space = Mapping[str, BaseDistribution]


def starting_space(recipe: str) -> Path:
    """The space that comes with a recipe."""
    return SPACES / f"{recipe}.yaml"


def read_space(path: Path, recipe: str) -> Space:
    """Reads a space.

    Args:
        path: a YAML file.
        recipe: the name of the recipe that the space must be for.

    Raises:
        ZooError: there is no such file, it is no YAML of this form, it is for another recipe, or a range is empty.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"--space {path}: expected a text file, got: {error}") from error
    except yaml.YAMLError as error:
        raise ZooError(f"--space {path}: expected YAML, got: {error}") from error
    if not isinstance(content, dict) or set(content) != {"recipe", "space"}:
        raise ZooError(
            f"--space {path}: expected the keys recipe and space, got {shown(content)}. "
            f"python -m recipes.search {recipe} --print_space prints an example"
        )
    if content["recipe"] != recipe:
        raise ZooError(f"--space {path}: expected a space of {recipe}, got one of {shown(content['recipe'])}")
    flags = content["space"]
    if not isinstance(flags, dict) or not flags:
        raise ZooError(f"--space {path}: expected flags below space, got {shown(flags)}")
    return {_name(flag, path): _distribution(values, f"--space {path}: {flag}") for flag, values in flags.items()}


def _name(flag: object, path: Path) -> str:
    """The name of a flag, with or without its dashes."""
    name = str(flag).removeprefix("--")
    if name in REFUSED:
        raise ZooError(f"--space {path}: {name} must be the same in all trials: give it on the command line, if at all")
    return name


def _distribution(values: object, where: str) -> BaseDistribution:
    """The distribution of one flag.

    Args:
        values: a mapping of one kind to a list.
        where: the file and the flag, for messages.

    Raises:
        ZooError: the kind is unknown, or the list does not fit it.
    """
    if not isinstance(values, dict) or len(values) != 1 or next(iter(values)) not in KINDS:
        kinds = ", ".join(KINDS)
        raise ZooError(f"{where}: expected one of {kinds}, such as {{uniform: [0.1, 0.5]}}, got {shown(values)}")
    ((kind, given),) = values.items()
    if not isinstance(given, list):
        raise ZooError(f"{where}: expected a list after {kind}, got {shown(given)}")
    if kind == "choice":
        return CategoricalDistribution(_choices(given, where))
    if kind == "int":
        least, most, step = _whole_numbers(given, where)
        return IntDistribution(least, most, step=step)
    low, high = _bounds(given, where)
    if kind == "log" and low <= 0:
        raise ZooError(f"{where}: a logarithmic scale begins above 0, got {low:g}")
    return FloatDistribution(low, high, log=kind == "log")


def _choices(given: list[Any], where: str) -> list[Value]:
    if len(given) < 2 or any(isinstance(value, list | dict) for value in given):
        raise ZooError(f"{where}: expected two choices or more, each one value, got {shown(given)}")
    if len({json.dumps(value, default=str) for value in given}) < len(given):
        raise ZooError(f"{where}: expected different choices, got {shown(given)}")
    return given


def _whole_numbers(given: list[Any], where: str) -> tuple[int, int, int]:
    """The bounds and the step."""
    if len(given) not in (2, 3) or not all(isinstance(value, int) and not isinstance(value, bool) for value in given):
        raise ZooError(f"{where}: expected two whole numbers after int, and perhaps a step, got {shown(given)}")
    low, high, step = (*given, 1)[:3]
    if low >= high or step < 1:
        raise ZooError(f"{where}: expected a smaller and a larger number, and a step of at least 1, got {shown(given)}")
    if (high - low) % step:
        raise ZooError(f"{where}: steps of {step} from {low} do not reach {high}")
    return low, high, step


def _bounds(given: list[Any], where: str) -> tuple[float, float]:
    try:
        # YAML takes 1e-3 for a text.
        numbers = [float(value) for value in given if not isinstance(value, bool)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 2 or len(given) != 2 or not all(map(math.isfinite, numbers)) or numbers[0] >= numbers[1]:
        raise ZooError(f"{where}: expected a smaller and a larger number, got {shown(given)}")
    return numbers[0], numbers[1]


def flag_of(name: str, value: Value) -> str:
    """A flag of the command line.

    >>> flag_of("model.dropout", 0.3), flag_of("model.cell", "gru"), flag_of("data.column", None)
    ('--model.dropout=0.3', '--model.cell=gru', '--data.column=null')
    """
    return f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def extremes(space: Space) -> list[dict[str, Value]]:
    """Values that together have all bounds and all choices of a space, for a check of each."""
    ends: dict[str, list[Value]] = {}
    for name, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            ends[name] = list(distribution.choices)
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            ends[name] = [distribution.low, distribution.high]
    most = max(map(len, ends.values()))
    return [{name: values[min(i, len(values) - 1)] for name, values in ends.items()} for i in range(most)]
