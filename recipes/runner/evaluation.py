"""Scores a trained model on the dev or test split of a corpus."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import pytorch_lightning as pl
from jsonargparse import Namespace

from datamodules.agreement import agreeing
from datamodules.corpus_files import SPLITS
from recipes.reports.json_text import json_text
from recipes.reports.tables import print_scores
from recipes.runner.checkpoints import wrong_model
from recipes.runner.hardware import default_precision
from recipes.runner.origins import origin_of
from recipes.runner.parser import Parser
from recipes.runner.processes import join
from recipes.runner.recipe import Recipe
from recipes.runner.search_flags import add_search_flags, changed_search
from recipes.runner.signals import RunnerSignals
from recipes.runner.slurm import check_root
from recipes.runner.trainer import fitting
from zoo.errors import ZooError
from zoo.hub.pretrained import from_pretrained
from zoo.models.base import ZooModule
from zoo.models.generator import TextGenerator

# The value of --data.dataset if no flag, run or card names the corpus.
UNKNOWN_CORPUS = ""


def load_model(reference: str, recipe: Recipe) -> ZooModule:
    """Loads a model that a recipe can use.

    Args:
        reference: the model, as `zoo.from_pretrained` takes it.
        recipe: the recipe that will use the model.

    Raises:
        ZooError: there is no such model, it is damaged, or it is for another task.
    """
    model = from_pretrained(reference)
    if not isinstance(model, recipe.model):
        raise wrong_model(reference, type(model).__name__, recipe)
    return model


def evaluate(recipe: Recipe, args: Sequence[str], command: str) -> None:
    """Runs `validate` or `test`: prints a table to standard error and JSON to standard output."""
    scores = scored(recipe, args, command)
    if scores:
        print(json_text(scores))


def scored(recipe: Recipe, args: Sequence[str], command: str) -> dict[str, object]:
    """The scores of a model, which are also printed as a table to standard error.

    Args:
        recipe: the recipe that the model fits.
        args: flags of `validate` or `test`.
        command: "validate" or "test".

    Returns:
        The scores by name, and the differences from another model; on all processes but the first, nothing.

    Raises:
        ZooError: a flag is wrong, or there is no such model or corpus.
    """
    stage = "test" if command == "test" else "val"
    split = "test" if command == "test" else "dev"
    config = configured(evaluation_parser(recipe, command), args, recipe, split)
    trainer = config.trainer
    run = trainer.test if command == "test" else trainer.validate

    def score(reference: str) -> tuple[ZooModule, dict[str, float]]:
        with agreeing():
            model = load_model(reference, recipe)
            if isinstance(model, TextGenerator):
                model.search = changed_search(model.search, config)
            data = recipe.data(**config.data, codec=model.codec)
        scores = run(model, data, verbose=False)[0]
        if trainer.is_global_zero:
            print_scores(f"{reference} on {data.described(split)}", scores, file=sys.stderr)
        return model, scores

    model, scores = score(config.model)
    found: dict[str, object] = dict(scores)
    if recipe.compare and config.compare:
        other, _ = score(config.compare)
        found["difference"] = recipe.compare(model.metrics[stage], other.metrics[stage])
    return found if trainer.is_global_zero else {}


def configured(parser: Parser, args: Sequence[str], recipe: Recipe, split: str) -> Namespace:
    """The flags, with a Trainer whose processes have been joined. The corpus is by default that of the model.

    Raises:
        ZooError: a flag is wrong, or no corpus is known.
    """
    # The model is parsed first. The data and the precision of its training are the defaults of the other flags.
    parser.set_defaults(_known_flags(parser, _settings_of_model(parser.parse_args(args))))
    options = parser.parse_args(args)
    if options.data.dataset == UNKNOWN_CORPUS and not any(options.data[name] for name in SPLITS):
        # A missing model is reported before an unknown corpus.
        load_model(options.model, recipe)
        raise ZooError(
            f"the corpus of {options.model} is unknown: the model is in no run folder, and no card names its corpus. "
            f"Name the corpus with --data.dataset NAME, or a file with --data.{split} FILE"
        )
    config: Namespace = parser.instantiate_classes(options)
    trainer = config.trainer
    check_root(trainer.default_root_dir)
    trainer._signal_connector = RunnerSignals(trainer)
    with fitting("the flags of --trainer do not fit the processes that were started", ValueError):
        join(trainer)
    return config


def evaluation_parser(recipe: Recipe, command: str) -> Parser:
    """The flags of a command that scores a model: for the data (without those in `fitting`), Trainer and search."""
    parser = Parser(
        prog=f"python -m recipes.{recipe.name} {command}",
        description=f"Scores a trained model on {'test' if command == 'test' else 'dev'}.",
        allow_abbrev=False,
    )
    belongs = "applies to training only, and the model keeps its own value: leave it out"
    parser.refused = {f"--data.{name}": belongs for name in recipe.data.fitting}
    where = "The model: the name of a bundled model, a model folder, a run folder or a checkpoint."
    parser.add_argument("--model", type=str, required=True, help=where)
    parser.add_class_arguments(recipe.data, "data", skip=set(recipe.data.fitting), instantiate=False)
    parser.add_class_arguments(pl.Trainer, "trainer")
    if recipe.search:
        add_search_flags(parser, recipe.search)
    if recipe.compare:
        parser.add_argument("--compare", type=str | None, help="Another model to compare with this one.")
    parser.set_defaults({"trainer.precision": default_precision(), "trainer.devices": 1})
    quiet = ("logger", "enable_progress_bar", "enable_model_summary")
    parser.set_defaults({f"trainer.{name}": False for name in quiet})
    # The default corpus of a recipe is a sample. A user's own model is not scored on it by default.
    parser.set_defaults(_known_flags(parser, {**recipe.defaults, "data.dataset": UNKNOWN_CORPUS}))
    return parser


def _known_flags(parser: Parser, settings: Mapping[str, object]) -> dict[str, object]:
    """The settings for which a parser has a flag."""
    return {name: value for name, value in settings.items() if parser.knows(name)}


def _settings_of_model(options: Namespace) -> dict[str, object]:
    """The data and the precision of the model's training. The data are left out if the flags name other data."""
    dataset = None if options.data.dataset == UNKNOWN_CORPUS else options.data.dataset
    files = {split: options.data[split] for split in SPLITS if options.data[split] is not None}
    return origin_of(options.model).settings(dataset, files)
