"""Trains a model, scores the best checkpoint, and writes the run's files."""

from __future__ import annotations

import platform
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, WeightAveraging

from datamodules.agreement import of_first
from datamodules.statistics import statistics_of
from recipes.baselines.command import quick_baselines
from recipes.pages.page import try_page
from recipes.reports.examples import SPLITS, write_examples
from recipes.reports.figures import learning_curve
from recipes.reports.json_text import json_text
from recipes.reports.tables import print_scores
from recipes.runner.callbacks import best_row
from recipes.runner.failures import lost_process
from recipes.runner.flags import TrainingCLI
from recipes.runner.hardware import hardware, peak_memory_mb
from recipes.runner.recipe import Recipe
from recipes.runner.run_folder import RunFolder
from recipes.runner.trainer import fitting
from recipes.runner.wandb_results import log_results
from recipes.runner.whole_files import replacing
from zoo.errors import ZooError
from zoo.models.guard import NonFiniteError
from zoo.models.outcomes import Outcomes


def train(recipe: Recipe, args: Sequence[str], *, test: bool) -> None:
    """Trains a model and scores it on test, or on dev if `test` is False or the data have no test split."""
    started = time.perf_counter()
    cli = TrainingCLI(recipe, args, test=test)
    try:
        if cli.main_process:
            _begin(cli, test=test)
        _fit(cli)
        _report(cli, args, started)
    # The first two follow a signal; OSError means a full disk, for example.
    except (SystemExit, KeyboardInterrupt, OSError, NonFiniteError):
        if cli.main_process:
            print_resume(cli.folder, cli.resume_command)
        raise
    except RuntimeError as error:
        # It may be the first process that has ended, so each of the others says how to resume.
        if lost_process(error) is not None:
            print_resume(cli.folder, cli.resume_command)
        raise
    finally:
        if cli.claim is not None:
            cli.claim.release()


def _begin(cli: TrainingCLI, *, test: bool) -> None:
    """Writes the settings of the run, and tells what it trains."""
    cli.save_config()
    if cli.config.quiet:
        return
    print(f"{cli.folder.path}: {type(cli.model).__name__}, {_parameters(cli.model):,} parameters", file=sys.stderr)
    if cli.initial is not None:
        print(cli.initial.told, file=sys.stderr)
    if test and not cli.test:
        print("there is no test split (--data.test FILE): only dev scores are reported", file=sys.stderr)


def _fit(cli: TrainingCLI) -> None:
    resumed = cli.resume_from
    with fitting("the training cannot start", MisconfigurationException):
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=resumed, weights_only=True if resumed else None)


def _report(cli: TrainingCLI, args: Sequence[str], started: float) -> None:
    """Scores the best checkpoint and writes the files of the run."""
    recipe = cli.recipe
    folder = cli.folder
    trainer = cli.trainer
    model = cli.model
    # Other machines need not see the folder of the first process.
    if not of_first(folder.best.is_file()):
        raise ZooError(
            f"the training ended before the model was scored on dev, so there is no {folder.best}: train longer "
            "(--trainer.max_steps, --trainer.max_time), or score more often (--trainer.val_check_interval)"
        )
    # The callback for weight averaging would replace the best weights by the last average. Lightning does not declare
    # the attribute `callbacks`.
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    others = [callback for callback in callbacks if not isinstance(callback, WeightAveraging)]
    trainer.callbacks = others  # type: ignore[attr-defined]
    best = torch.load(folder.best, map_location="cpu", weights_only=True)["state_dict"] if cli.main_process else None
    model.load_state_dict(of_first(best))
    if cli.main_process:
        model.save_pretrained(folder.model)
    model.outcomes = Outcomes()
    stage = "test" if cli.test else "val"
    split = SPLITS[stage]
    evaluate = trainer.test if cli.test else trainer.validate
    scores = evaluate(model, cli.datamodule, verbose=False)[0]
    report = recipe.report(model, cli.datamodule, stage)
    if not cli.main_process:
        return
    baselines = [*report.baselines(stage), *quick_baselines(recipe, cli.datamodule, stage)]
    rows = cli.recorder.rows
    read = ("train", "dev", "test") if cli.test else ("train", "dev")
    best_epoch = best_row(rows, model.monitor)
    facts = {
        "scores": scores,
        "best_dev": {model.monitor: best_epoch[model.monitor]},
        "split": cli.datamodule.described(split),
        "task": report.task(),
        "data": {name: statistics_of(cli.datamodule, name) for name in read},
        "baselines": [asdict(one) for one in baselines],
        "counts": report.counts(),
        "epochs": round(rows[-1]["epochs"], 2),
        "train_seconds": round(cli.recorder.seconds, 1),
        "total_seconds": round(time.perf_counter() - started, 1),
        "train_tokens_per_second": round(cli.recorder.tokens_per_second),
        "parameters": _parameters(model),
        "peak_memory_mb": peak_memory_mb(),
        "init_from": model.origin,
        "seed": cli.config.seed_everything,
        "precision": cli.config.trainer.precision,
        "processes": trainer.world_size,
        "recipe": recipe.name,
        "command": f"python -m recipes.{recipe.name} {shlex.join(args)}".strip(),
        "hardware": hardware(),
        "versions": versions(),
    }
    with replacing(folder.metrics) as part:
        part.write_text(json_text(facts, indent=2) + "\n", encoding="utf-8")
    title = f"{folder.path}, the best of {facts['epochs']:g} epochs, on {facts['split']}"
    print_scores(title, scores, facts, file=sys.stdout)
    write_examples(report.examples(), folder.examples)
    pictures = [
        learning_curve(rows, best_epoch, model.monitor, folder.path / "learning-curve.png"),
        *report.write(folder.path),
    ]
    try_page(folder, report.attention)
    print(f"next:  {recipe.command} predict --model {shlex.quote(str(folder.model))}")
    log_results(cli.logger, folder, facts, best_epoch, pictures)


def print_resume(folder: RunFolder, command: str) -> None:
    """Prints the command that resumes an interrupted run."""
    if resumable := folder.resumable():
        print(f"\ninterrupted. Resume from {resumable[0]} with:\n{command}", file=sys.stderr)
    else:
        print("\ninterrupted before the first checkpoint", file=sys.stderr)


def _parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that the scores may depend on."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("pytorch-lightning", "lstm-zoo"):
        # A checkout may be used without an installation.
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
