"""Starts a training from a trained model: `--model.init_from`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from zoo.models.from_language_models import STARTERS, arguments_of, from_language_models
from zoo.models.language_model import LanguageModel
from zoo.models.transfer import FREE_ARGUMENTS, transfer
from zoo.models.transferred import Transfer

HELP = (
    "A trained model to fine-tune: a bundled name, a folder, a checkpoint or owner/name on the Hugging Face hub. Flags "
    "that are not given have the values of that model. It may be a language model, or a list of a forward and a "
    "backward one, for a tagger or classifier."
)
# The arguments of data that a sentencepiece model is trained with.
PIECES = ("vocabulary_size", "algorithm", "joint", "character_coverage")


def add_flags(parser: LightningArgumentParser) -> None:
    """Adds the flags of fine-tuning."""
    parser.add_argument("--model.init_from", type=list[str] | str | None, default=None, help=HELP)
    parser.add_class_arguments(FineTuningOptions, "fine_tuning", instantiate=False)


class InitialModel:
    """The trained model that a training starts from.

    What no flag says is as in that model: its sizes, and how it reads texts. A flag that would change the weights that
    are taken over, or how they read a text, is refused.

    Args:
        references: the model, as `zoo.from_pretrained` takes it, or two language models.
        recipe: the recipe of the training.

    Attributes:
        told: what the new model has taken over, as soon as it is made.

    Raises:
        ZooError: there is no such model, it is damaged, or it is for another task.
    """

    told: Transfer | None = None

    def __init__(self, references: str | list[str], recipe: Recipe):
        names = [references] if isinstance(references, str) else references
        self.reference = " and ".join(names)
        models = [from_pretrained(name) for name in names]
        self._language_models = _language_models(models, recipe)
        if not self._language_models and not (len(models) == 1 and isinstance(models[0], recipe.model)):
            fitting = ", ".join(list_pretrained(task=recipe.data.task))
            raise ZooError(
                f"--model.init_from {self.reference} is a {type(models[0]).__name__}, and recipes.{recipe.name} trains "
                f"a {recipe.model.__name__}: name one of {fitting}, or a model of your own"
            )
        self.model = models[0]
        if self._language_models:
            arguments = arguments_of(self._language_models)
        else:
            arguments = {name: each for name, each in self.model.arguments.items() if name != "codec"}
        # Stop words are given by the name of a list, and a codec has the words.
        codec = followed(self.model.codec, recipe.data.fitting - {"stop_words"})
        self._settings = flat({"model": arguments, "data": codec})

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
            if not self._is_free(name) and _plain(given[name]) != _plain(value):
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

    def _is_free(self, flag: str) -> bool:
        """Whether a flag may differ from the model that is fine-tuned."""
        group, _, name = flag.partition(".")
        if self._language_models and name == "bidirectional":
            # The direction that no language model reads in is trained from the beginning.
            return True
        return group == "model" and (name in FREE_ARGUMENTS or name.partition(".")[0] in FREE_ARGUMENTS)

    @property
    def _has_pieces(self) -> bool:
        return getattr(self.model.codec, "tokenizer", None) == "sentencepiece"

    def make_data(self, data: type[CorpusDataModule[Any, Any]], **arguments: Any) -> CorpusDataModule[Any, Any]:
        """Makes the datamodule, whose codec extends that of the model."""
        return data(**arguments, extends=self.model.codec)

    def make_model(self, model: type[ZooModule], **arguments: Any) -> ZooModule:
        """Makes the new model, with the weights of this one."""
        # The language models of a tagger belong to its weights.
        context = {name: value for name, value in self.model.arguments.items() if name == "context"}
        made = model(**(context | arguments))
        if self._language_models:
            self.told = from_language_models(self._language_models, made, self.reference)
        else:
            self.told = transfer(self.model, made, self.reference)
        return made


def _language_models(models: Sequence[ZooModule], recipe: Recipe) -> list[LanguageModel]:
    """The models, if they are language models from which a model of another task is to start; else none."""
    found = [model for model in models if isinstance(model, LanguageModel)]
    begins = issubclass(recipe.model, STARTERS) and len(found) == len(models)
    return found if begins else []


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings by the names of their flags, such as `model.optimizer.learning_rate`."""
    found: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
