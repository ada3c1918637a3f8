"""Scores a trained model on the dev or test split of a corpus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import yaml

from datamodules.base import SPLITS
from recipes.checkpoints import read_checkpoint, wrong_model
from recipes.flags import Parser, add_search_flags, changed_search, default_precision
from recipes.folder import CONFIG, MODEL
from recipes.recipe import Recipe
from recipes.tables import print_scores
from zoo.base import ZooModule
from zoo.errors import ZooError
from zoo.pretrained import from_pretrained, restore


def load_model(reference: str, recipe: Recipe) -> ZooModule:
    """A model by name, model folder, run folder or checkpoint.

    Raises:
        ZooError: there is none, it is damaged, or it is of another task.
    """
    path = Path(reference)
    if path.suffix == ".ckpt" and path.is_file():
        checkpoint = read_checkpoint(path, recipe)
        return restore(path, checkpoint["model_class"], checkpoint["hyper_parameters"], checkpoint["state_dict"])
    model = from_pretrained(path / MODEL if (path / MODEL).is_dir() else reference)
    if not isinstance(model, recipe.model):
        raise wrong_model(reference, type(model).__name__, recipe)
    return model


def evaluate(recipe: Recipe, args: Sequence[str], command: str) -> None:
    """`validate` or `test`: a table for people on standard error, JSON on standard output."""
    for name in sorted(recipe.data.adopts):
        if _value_of(f"--data.{name}", args) is not None:
            raise ZooError(
                f"--data.{name} belongs to training, and the model keeps what it was trained with: leave it out"
            )
    parser = Parser(prog=f"python -m recipes.{recipe.name} {command}")
    parser.add_argument("--model", type=str, required=True, help="a name, model folder, run folder or checkpoint")
    parser.add_class_arguments(recipe.data, "data", skip=set(recipe.data.adopts))
    parser.add_class_arguments(pl.Trainer, "trainer")
    parser.set_defaults({"trainer.precision": default_precision(), "trainer.devices": 1})
    quiet = ("logger", "enable_progress_bar", "enable_model_summary")
    parser.set_defaults({f"trainer.{name}": False for name in quiet})
    settings = {**recipe.defaults, **_settings_of_run(args)}
    parser.set_defaults({name: value for name, value in settings.items() if parser.knows(name)})
    if recipe.search:
        add_search_flags(parser, recipe.search)
    if recipe.compare:
        parser.add_argument("--compare", type=str | None, default=None, help="another model, to tell the difference")
    config = parser.instantiate_classes(parser.parse_args(list(args)))
    trainer = config.trainer
    run, stage, split = (trainer.test, "test", "test") if command == "test" else (trainer.validate, "val", "dev")

    def score(reference: str) -> tuple[ZooModule, dict[str, float]]:
        model = load_model(reference, recipe)
        if recipe.search:
            model.search = changed_search(model.search, config)
        config.data.adopt(model)
        scores = run(model, config.data, verbose=False)[0]
        if trainer.is_global_zero:
            print_scores(f"{reference} on {split}", scores)
        return model, scores

    model, scores = score(config.model)
    if recipe.compare and config.compare:
        other, _ = score(config.compare)
        scores["difference"] = recipe.compare(model.metrics[stage], other.metrics[stage])
    if trainer.is_global_zero:
        print(json.dumps(scores))


def _settings_of_run(args: Sequence[str]) -> dict[str, object]:
    """A run is scored on the data and in the precision of its training, unless the flags say otherwise.

    Raises:
        ZooError: its settings are damaged.
    """
    reference = _value_of("--model", args)
    config = Path(reference or "") / CONFIG
    if not reference or not config.is_file():
        return {}
    try:
        settings = yaml.safe_load(config.read_text("utf-8"))
        data, precision = dict(settings["data"]), settings["trainer"]["precision"]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, KeyError) as error:
        raise ZooError(f"{config}: expected the settings of a run, got others: give its model/ folder") from error
    dataset = _value_of("--data.dataset", args)
    of_own_files = any(data.get(split) for split in SPLITS)
    if dataset and (of_own_files or dataset != data.get("dataset")):  # another corpus: nothing of that one holds for it
        data = {}
    return {**{f"data.{name}": value for name, value in data.items()}, "trainer.precision": precision}


def _value_of(flag: str, args: Sequence[str]) -> str | None:
    """What the arguments give a flag, the last time."""
    together = [arg.partition("=")[2] for arg in args if arg.startswith(f"{flag}=")]
    apart = [value for name, value in zip(args, args[1:], strict=False) if name == flag]
    return next(iter(apart[-1:] + together[-1:]), None)
