"""Language models whose states a tagger reads beside the words: `--model.language_models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning.cli import LightningArgumentParser

from recipes.runner.recipe import Recipe
from zoo.errors import ZooError
from zoo.hub.pretrained import from_pretrained
from zoo.models.contextual import ContextualTagger
from zoo.models.language_model import LanguageModel

HELP = (
    "Trained language models whose states are further features of each token, usually a forward and a backward one. "
    "They become a part of the tagger, and are not trained."
)


def add_flag(parser: LightningArgumentParser, recipe: Recipe) -> None:
    """Adds the flag to the recipes of taggers."""
    if issubclass(recipe.model, ContextualTagger):
        parser.add_argument("--model.language_models", type=list[str], default=[], help=HELP)


def load_language_models(references: Sequence[str]) -> list[LanguageModel]:
    """The language models with these names.

    Args:
        references: as `zoo.from_pretrained` takes them.

    Raises:
        ZooError: there is no such model, or it is no language model.
    """
    models = []
    for reference in references:
        model = from_pretrained(reference)
        if not isinstance(model, LanguageModel):
            raise ZooError(
                f"--model.language_models: expected language models, got {reference}, a {type(model).__name__}: train "
                "one with python -m recipes.language_modeling"
            )
        models.append(model)
    return models


def context_of(models: Sequence[LanguageModel], *, codecs: bool) -> dict[str, Any]:
    """The argument of a tagger that has language models, or of its data; nothing without any.

    Args:
        models: the language models.
        codecs: whether it is for the data, which read their codecs.
    """
    return {"context": [model.codec if codecs else model for model in models]} if models else {}
