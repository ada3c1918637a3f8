"""Flags: every argument of the model, the data and the trainer, generated from their constructors."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import get_args, get_type_hints

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor

from recipes.runner.callbacks import Recorder
from recipes.runner.checkpoints import WholeCheckpoints, check_resumable
from recipes.runner.parser import Parser
from recipes.runner.permissions import without_permissions
from recipes.runner.recipe import SMALL_CORPUS, Recipe
from recipes.runner.run_folder import RunFolder, run_folder
from recipes.runner.trainer import check_shares, check_trainer, fitting
from recipes.runner.wandb_run import is_online, wandb_logger, wandb_mode
from zoo.errors import ZooError
from zoo.metrics.display import higher_is_better


class TrainingCLI(LightningCLI):
    """Every argument of the model, the data and the trainer is a flag; `--config` and `--print_config` too.

    Args:
        recipe: whose command line it is.
        args: its arguments.
        test: whether the run is to be scored on test; where the data has no such split, `test` is False then.
    """

    def __init__(self, recipe: Recipe, args: Sequence[str], *, test: bool):
        self.recipe, self.test = recipe, test
        super().__init__(
            recipe.model,
            recipe.data,
            args=list(args),
            run=False,
            parser_class=Parser,
            parser_kwargs={"prog": f"python -m recipes.{recipe.name}", "allow_abbrev": False},
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={
                "logger": False,
                "max_epochs": 20,
                "gradient_clip_val": 5.0,
                "precision": default_precision(),
                "num_sanity_val_steps": 0,
                "log_every_n_steps": 10,
                "enable_model_summary": False,
            },
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--out", type=str | None, default=None, help="run folder (default: runs/RECIPE/TIME)")
        switch = {"type": bool, "nargs": "?", "const": True, "default": False}
        parser.add_argument("--resume", **switch, help="go on with the run in --out")
        parser.add_argument("--overwrite", **switch, help="delete the files of a run in --out first")
        parser.add_argument("--ema", type=float, default=0.997, help="decay of the weight average, 0 for none")
        parser.add_argument("--trust", type=str | None, default=None, help="classes that a config file may name, a,b")
        where = "online, offline or disabled (default: $WANDB_MODE, else online where W&B finds a key, else disabled)"
        parser.add_argument("--wandb", type=str | None, default=None, help=where)
        parser.add_argument("--wandb_project", type=str, default="lstm-zoo", help="the project's name in W&B")
        for name in self.recipe.links:
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed")
        parser.set_defaults(dict(self.recipe.defaults))

    def parse_arguments(self, parser: LightningArgumentParser, args: Sequence[str]) -> None:
        self.config = parser.parse_args(args)
        if self.config.resume and not self.config.config:
            own = run_folder(self.config.out, self.recipe.name).config
            if own.is_file():  # else there is nothing to resume, as the folder will say
                self.config = parser.parse_args(["--config", str(own), *args])
        self._given = args

    def _follow_the_size_of_the_corpus(self) -> None:
        """Gives a small corpus the defaults that are for such; its training split is read for this."""
        if self.config.resume or not self.recipe.small_corpus:
            return
        if self.recipe.data(**self.config.data).training_examples < SMALL_CORPUS:
            self.parser.set_defaults(dict(self.recipe.small_corpus))
            self.config = self.parser.parse_args(self._given)
            self.config.out = str(self.folder.path)

    @property
    def resume_command(self) -> str:
        """How to go on with this run: its settings are in its folder, what it was allowed must be allowed again."""
        allowed = ["--trust", ",".join(sorted(self.parser.trusted))] if self.parser.trusted else []
        if is_online(self.config.wandb):
            allowed += ["--wandb", "online"]
        flags = ["--out", str(self.folder.path), "--resume", *allowed]
        return f"{self.recipe.command} {shlex.join(flags)}"

    def save_config(self) -> None:
        """Writes the run's settings where a resume, or a repetition, will find them."""
        settings = without_permissions(self.config)
        self.parser.save(settings, self.folder.config, overwrite=True, skip_validation=True)

    def before_instantiate_classes(self) -> None:
        self.folder: RunFolder = run_folder(self.config.out, self.recipe.name)
        self.config.out = str(self.folder.path)
        self.main_process = pl.utilities.rank_zero_only.rank == 0
        check_trainer(self.config.trainer, test=self.test)
        if not 0 <= self.config.ema < 1:
            raise ZooError(f"expected a decay in [0, 1) as --ema, 0 for no average, got {self.config.ema}")
        if self.main_process:
            self.folder.check(resume=self.config.resume, overwrite=self.config.overwrite)
        self._follow_the_size_of_the_corpus()

    def instantiate_classes(self) -> None:
        with fitting("a flag of --trainer needs what is not here", (ImportError, MisconfigurationException)):
            try:
                super().instantiate_classes()
            except ValueError as error:  # how the parser says that a class cannot be made
                if "class_path" not in str(error):
                    raise
                raise MisconfigurationException(str(error)) from error

    def instantiate_trainer(self) -> pl.Trainer:
        self.test = self.test and "test" in self.datamodule.splits
        for stage in ("fit", "test") if self.test else ("fit",):  # every split that will be needed is read at once
            self.datamodule.setup(stage)
        self.datamodule.check_model(self.model)
        if self.config.resume:  # before anything of the run is replaced
            check_resumable(self.folder.last, self.recipe, self.model, self.config.trainer.max_epochs)
        mode = wandb_mode(self.config.wandb) if self.main_process else "disabled"
        self.recorder = Recorder(self.folder)
        best = ModelCheckpoint(
            self.folder.checkpoints,
            filename="best",
            monitor=self.model.monitor,
            mode="max" if higher_is_better(self.model.monitor) else "min",
            enable_version_counter=False,
        )
        # After every epoch: with `save_last` above it would be after those alone that were the best.
        last = ModelCheckpoint(self.folder.checkpoints, filename="last", enable_version_counter=False)
        callbacks = [self.recorder, best, last]
        if self.config.ema:  # before the recorder, which may save a checkpoint at the end of a batch
            callbacks.insert(0, WeightAveraging(use_buffers=False, avg_fn=moving_average(self.config.ema)))
        interactive = sys.stderr.isatty()
        if interactive:
            callbacks.append(RichProgressBar())
        self.trainer_defaults["callbacks"] = callbacks
        with fitting("the flags of --trainer do not fit each other or this machine"):
            trainer = super().instantiate_trainer(
                default_root_dir=self.config.trainer.default_root_dir or str(self.folder.path),
                enable_progress_bar=interactive and self.config.trainer.enable_progress_bar is not False,
            )
        check_shares(trainer, self.datamodule, test=self.test)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        self.logger = None
        if self.main_process:  # only now: a mistake in the data, the model or the trainer leaves no folder behind
            self.folder.open(resume=self.config.resume, overwrite=self.config.overwrite)
            # Settings only: what the data gives to the model is its vocabulary.
            settings = self.config.clone(with_meta=False).as_dict()
            self.logger = wandb_logger(mode, self.folder.path, self.config.wandb_project, settings)
            if self.logger is not None:
                trainer.loggers = [self.logger, *trainer.loggers]
        return trainer


def add_search_flags(parser, search: type) -> None:
    """A flag for each field of a model's search; None leaves it as the model was trained with."""
    for name, kind in get_type_hints(search).items():
        # Of a number or None, the number: None is what a flag that is not given leaves.
        kind = next(iter(get_args(kind)), kind)
        parser.add_argument(f"--{name}", type=kind, default=None, help=f"see {search.__module__}.{search.__name__}")


def changed_search(search, options):
    """A model's search with the fields that flags have given."""
    given = {field.name: getattr(options, field.name) for field in fields(search)}
    return replace(search, **{name: value for name, value in given.items() if value is not None})


def moving_average(decay: float):
    """Exponential moving average whose memory grows with the training, so that short ones have one too.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), as in Tan & Le (2019).
    """

    def average(averaged: Tensor, current: Tensor, updates: Tensor) -> Tensor:
        # The average has a precision of its own: in bf16 a small step towards the current weights would be lost.
        weight = torch.clamp((1 + updates) / (10 + updates), max=decay).to(averaged.dtype)
        return torch.lerp(current.to(averaged.dtype), averaged, weight)

    return average


def default_precision() -> str:
    """bf16-mixed where the hardware has bf16 instructions, else 32-true."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16-mixed" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "32-true"
