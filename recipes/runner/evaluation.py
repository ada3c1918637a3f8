"""Scores a trained model on the dev or test split of a corpus."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytorch_lightning as pl

from datamodules.base import SPLITS
from recipes.reports.json_text import json_text
from recipes.reports.tables import print_scores
from recipes.runner.checkpoints import wrong_model
from recipes.runner.flags import add_search_flags, changed_search, default_precision
from recipes.runner.origins import origin_of
from recipes.runner.parser import Parser
from recipes.runner.recipe import Recipe
from zoo.errors import ZooError
from zoo.hub.pretrained import from_pretrained
from zoo.models.base import ZooModule

UNKNOWN_CORPUS = ""


def load_model(reference: str, recipe: Recipe) -> ZooModule:
    """What `from_pretrained` loads, if a recipe can use it.

    Raises:
        ZooError: there is none, it is damaged, or it is of another task.
    """
    model = from_pretrained(reference)
    if not isinstance(model, recipe.model):
        raise wrong_model(reference, type(model).__name__, recipe)
    return model


def evaluate(recipe: Recipe, args: Sequence[str], command: str) -> None:
    """`validate` or `test`: a table for people on standard error, JSON on standard output."""
    for name in sorted(recipe.data.fitting):
        if _value_of(f"--data.{name}", args) is not None:
            raise ZooError(
                f"--data.{name} belongs to training, and the model keeps what it was trained with: leave it out"
            )
    parser = Parser(prog=f"python -m recipes.{recipe.name} {command}", allow_abbrev=False)
    parser.add_argument("--model", type=str, required=True, help="a name, model folder, run folder or checkpoint")
    parser.add_class_arguments(recipe.data, "data", skip=set(recipe.data.fitting), instantiate=False)
    parser.add_class_arguments(pl.Trainer, "trainer")
    parser.set_defaults({"trainer.precision": default_precision(), "trainer.devices": 1})
    quiet = ("logger", "enable_progress_bar", "enable_model_summary")
    parser.set_defaults({f"trainer.{name}": False for name in quiet})
    # A recipe trains on a sample by default; a model of somebody's own is never scored on that unasked.
    settings = {**recipe.defaults, "data.dataset": UNKNOWN_CORPUS, **_settings_of_model(args)}
    parser.set_defaults({name: value for name, value in settings.items() if parser.knows(name)})
    if recipe.search:
        add_search_flags(parser, recipe.search)
    if recipe.compare:
        parser.add_argument("--compare", type=str | None, default=None, help="another model, to tell the difference")
    options = parser.parse_args(list(args))
    stage, split = ("test", "test") if command == "test" else ("val", "dev")
    if options.data.dataset == UNKNOWN_CORPUS and not any(options.data[name] for name in SPLITS):
        load_model(options.model, recipe)  # where there is no such model, that is what to say
        raise ZooError(
            f"nothing says which corpus {options.model} is for: it is in no run folder, and no card says it. "
            f"Name the corpus with --data.dataset NAME, or a file with --data.{split} FILE"
        )
    config = parser.instantiate_classes(options)
    trainer = config.trainer
    run = trainer.test if command == "test" else trainer.validate

    def score(reference: str) -> tuple[ZooModule, dict[str, float]]:
        model = load_model(reference, recipe)
        if recipe.search:
            model.search = changed_search(model.search, config)
        data = recipe.data(**options.data, codec=model.codec)
        scores = run(model, data, verbose=False)[0]
        if trainer.is_global_zero:
            print_scores(f"{reference} on {data.described(split)}", scores, file=sys.stderr)
        return model, scores

    model, scores = score(config.model)
    if recipe.compare and config.compare:
        other, _ = score(config.compare)
        scores["difference"] = recipe.compare(model.metrics[stage], other.metrics[stage])
    if trainer.is_global_zero:
        print(json_text(scores))


def _settings_of_model(args: Sequence[str]) -> dict[str, object]:
    """A model is scored on the data and in the precision of its training, unless the flags say otherwise."""
    reference = _value_of("--model", args)
    if not reference:
        return {}
    files = {split: _value_of(f"--data.{split}", args) for split in SPLITS}
    given = {split: file for split, file in files.items() if file is not None}
    return origin_of(reference).settings(_value_of("--data.dataset", args), given)


def _value_of(flag: str, args: Sequence[str]) -> str | None:
    """What the arguments give a flag, the last time."""
    together = [arg.partition("=")[2] for arg in args if arg.startswith(f"{flag}=")]
    apart = [value for name, value in zip(args, args[1:], strict=False) if name == flag]
    return next(iter(apart[-1:] + together[-1:]), None)
