"""Starts a training from a trained model: `--model.init_from`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from datamodules.base import CorpusDataModule
from datamodules.extension import followed
from recipes.runner.parser import Parser
from recipes.runner.recipe import Recipe
from zoo.errors import ZooError
from zoo.hub.pretrained import from_pretrained, list_pretrained
from zoo.models.base import ZooModule
from zoo.models.fine_tuning import FineTuningOptions
from zoo.models.transfer import FREE_ARGUMENTS, Transfer, transfer

HELP = (
    "A trained model to fine-tune: a bundled name, a folder, a checkpoint or owner/name on the Hugging Face hub. Flags "
    "that are not given have the values of that model."
)
# The arguments of data that a sentencepiece model is trained with.
PIECES = ("vocabulary_size", "algorithm", "joint", "character_coverage")


def add_flags(parser: LightningArgumentParser) -> None:
    """Adds the flags of fine-tuning."""
    parser.add_argument("--model.init_from", type=str | None, default=None, help=HELP)
    parser.add_class_arguments(FineTuningOptions, "fine_tuning", instantiate=False)


class InitialModel:
    """The trained model that a training starts from.

    What no flag says is as in that model: its sizes, and how it reads texts. A flag that would change the weights that
    are taken over, or how they read a text, is refused.

    Args:
        reference: the model, as `zoo.from_pretrained` takes it.
        recipe: the recipe of the training.

    Attributes:
        told: what the new model has taken over, as soon as it is made.

    Raises:
        ZooError: there is no such model, it is damaged, or it is for another task.
    """

    told: Transfer | None = None

    def __init__(self, reference: str, recipe: Recipe):
        self.reference = reference
        self.model = from_pretrained(reference)
        if not isinstance(self.model, recipe.model):
            fitting = ", ".join(list_pretrained(task=recipe.data.task))
            raise ZooError(
                f"--model.init_from {reference} is a {type(self.model).__name__}, and recipes.{recipe.name} trains a "
                f"{recipe.model.__name__}: name one of {fitting}, or a model of your own"
            )
        arguments = flat({"model": {name: each for name, each in self.model.arguments.items() if name != "codec"}})
        # Stop words are given by the name of a list, and a codec has the words.
        codec = flat({"data": followed(self.model.codec, recipe.data.fitting - {"stop_words"})})
        self._settings = arguments | codec

    def defaults(self, parser: Parser) -> dict[str, object]:
        """The values of all flags that describe this model."""
        return {name: value for name, value in self._settings.items() if parser.knows(name)}

    def check(self, config: Namespace, parser: Parser) -> None:
        """Refuses flags that contradict this model.

        Raises:
            ZooError: there is one.
        """
        given = flat(config.clone(with_meta=False).as_dict())
        known = self.defaults(parser)
        for name, value in known.items():
            if not _is_free(name) and _plain(given[name]) != _plain(value):
                raise ZooError(
                    f"--{name} {given[name]} contradicts {self.reference}, where it is {value}: leave it out, or train "
                    "a new model without --model.init_from"
                )
        unread = ["data.stop_words", *(f"data.{name}" for name in PIECES if self._has_pieces)]
        for name in unread:
            if name in given and given[name] != parser.get_default(name):
                raise ZooError(
                    f"--{name} has no effect with --model.init_from, which splits texts as before: leave it out"
                )

    @property
    def _has_pieces(self) -> bool:
        return getattr(self.model.codec, "tokenizer", None) == "sentencepiece"

    def make_data(self, data: type[CorpusDataModule[Any, Any]], **arguments: Any) -> CorpusDataModule[Any, Any]:
        """Makes the datamodule, whose codec extends that of the model."""
        return data(**arguments, extends=self.model.codec)

    def make_model(self, model: type[ZooModule], **arguments: Any) -> ZooModule:
        """Makes the new model, with the weights of this one."""
        made = model(**arguments)
        self.told = transfer(self.model, made, self.reference)
        return made


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings by the names of their flags, such as `model.optimizer.learning_rate`."""
    found: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _is_free(flag: str) -> bool:
    """Whether a flag may differ from the model that is fine-tuned."""
    group, _, name = flag.partition(".")
    return group == "model" and (name in FREE_ARGUMENTS or name.partition(".")[0] in FREE_ARGUMENTS)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
