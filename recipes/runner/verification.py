"""Scores models on the whole test split of their corpora, and compares the scores with those of their cards."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from recipes.__main__ import known_recipes
from recipes.runner.cli import prepare_output
from recipes.runner.evaluation import scored
from recipes.runner.recipe import Recipe, instance
from zoo.errors import ZooError
from zoo.metrics.display import score_format
from zoo.model_folder import ModelFolder

# The largest difference of a score as it is printed, such as 95.94 %. Another processor adds in another order, so its
# last digits differ.
TOLERANCE = 0.01
COMMAND = re.compile(r"python -m recipes\.(\w+)( |$)")


def verify(folders: Mapping[str, Path]) -> str:
    """Scores each model in fp32, and prints a table for each of them to standard error.

    Args:
        folders: model folders, by the name that the user knows them by.

    Returns:
        A line for each model.

    Raises:
        ZooError: a score differs from that of the card, or the corpus of a model is not at hand.
    """
    prepare_output()
    lines = []
    wrong = []
    for name, folder in folders.items():
        card = ModelFolder(folder).card
        expected = {score: value for score, value in card.get("scores", {}).items() if score.startswith("test/")}
        if not expected:
            lines.append(f"{name}: its card has no scores on test")
            continue
        found = scored(recipe_of(name, card), _flags(folder), "test")
        differing = _differing(expected, found)
        lines.append(f"{name}: {', '.join(_compared(score, value, found) for score, value in expected.items())}")
        if differing:
            wrong.append(f"{name} differs from its card in {', '.join(differing)}")
    if wrong:
        raise ZooError("\n".join([*lines, *wrong]))
    return "\n".join([*lines, f"all scores are those of the cards to {TOLERANCE}"])


def recipe_of(name: str, card: Mapping[str, Any]) -> Recipe:
    """The recipe in the command of a card.

    Raises:
        ZooError: the card has no command of a recipe.
    """
    match = COMMAND.match(str(card.get("command")))
    if match is None or match[1] not in known_recipes():
        raise ZooError(f"{name}: expected a card with the command of a recipe, got {str(card.get('command'))[:60]!r}")
    return instance(import_module(f"recipes.{match[1]}").RECIPE, Recipe)


def _flags(folder: Path) -> list[str]:
    flags = ["--model", str(folder), "--trainer.precision", "32-true"]
    if sys.stderr.isatty():
        flags += ["--trainer.enable_progress_bar", "true"]
    return flags


def _differing(expected: Mapping[str, float], found: Mapping[str, Any]) -> list[str]:
    """The names of the scores that differ by more than the tolerance, as they are printed."""
    differing = []
    for score, value in expected.items():
        difference = abs(score_format(score).scale * (found[score] - value))
        # A NaN differs too.
        if not difference <= TOLERANCE:
            differing.append(score)
    return differing


def _compared(score: str, value: float, found: Mapping[str, Any]) -> str:
    """A score as it is printed, and that of the card beside it."""
    format = score_format(score)
    return f"{score.removeprefix('test/')} {format.text(found[score])} (card {format.number(value)})"
