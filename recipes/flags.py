"""Flags: every argument of the model, the data and the trainer, generated from their constructors."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import NoReturn, get_type_hints

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor

from recipes.checkpoints import check_resumable
from recipes.folder import RunFolder, run_folder
from recipes.recipe import Recipe
from recipes.recorder import Recorder
from recipes.tracking import wandb_logger, wandb_mode
from zoo.errors import ZooError


class Parser(LightningArgumentParser):
    """A parser that knows what a wrong flag may have meant."""

    def knows(self, name: str) -> bool:
        """Whether there is a flag of this name."""
        return f"--{name}" in self._option_string_actions

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        if linked := re.match(r"argument (\S+) --> (\S+): ", message):
            source, target = (f"--{name}" for name in linked.groups())
            message = f"{target} is what the data says: set {source} or leave it out"
            if source not in flags:
                message = f"{target} comes from the training split: leave it out"
        for word in re.findall(r"--\w[\w.]*", message):
            if word not in flags:
                close = difflib.get_close_matches(word, flags, n=3)
                close = close or [flag for flag in flags if flag.startswith(word.split(".")[0] + ".")]
                message += f"\nknown flags like {word}: {', '.join(close) or 'none, --help lists all'}"
        super().error(message, ex)


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
            parser_kwargs={"prog": f"python -m recipes.{recipe.name}"},
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={
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
        parser.add_argument("--resume", type=bool, default=False, help="go on with the run in --out")
        parser.add_argument("--overwrite", type=bool, default=False, help="delete the files of a run in --out first")
        parser.add_argument("--ema", type=float, default=0.997, help="decay of the weight average, 0 for none")
        parser.add_argument("--wandb", type=str | None, default=None, help="online, offline or disabled")
        parser.add_argument("--wandb_project", type=str, default="lstm-zoo", help="the project's name in W&B")
        for name in self.recipe.links:
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed")
        parser.set_defaults(dict(self.recipe.defaults))

    def parse_arguments(self, parser: LightningArgumentParser, args: Sequence[str]) -> None:
        self.config = parser.parse_args(switches(args))

    def before_instantiate_classes(self) -> None:
        self.folder: RunFolder = run_folder(self.config.out, self.recipe.name)
        self.config.out = str(self.folder.path)
        self.main_process = pl.utilities.rank_zero_only.rank == 0
        check_trainer(self.config.trainer, test=self.test)
        if not 0 <= self.config.ema < 1:
            raise ZooError(f"expected a decay in [0, 1) as --ema, 0 for no average, got {self.config.ema}")
        if self.main_process:
            self.folder.check(resume=self.config.resume, overwrite=self.config.overwrite)

    def instantiate_trainer(self) -> pl.Trainer:
        self.test = self.test and "test" in self.datamodule.splits
        for stage in ("fit", "test") if self.test else ("fit",):  # every split that will be needed is read at once
            self.datamodule.setup(stage)
        self.datamodule.check_model(self.model)
        self.model.check_schedule()
        if self.config.resume:  # before anything of the run is replaced
            check_resumable(self.folder.last, self.recipe, self.model)
        mode = wandb_mode(self.config.wandb) if self.main_process else "disabled"
        self.recorder = Recorder(self.folder.last)
        best = ModelCheckpoint(
            self.folder.checkpoints,
            filename="best",
            monitor=self.model.monitor,
            mode="max",
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
        try:
            trainer = super().instantiate_trainer(
                logger=False,
                enable_progress_bar=interactive and self.config.trainer.enable_progress_bar is not False,
            )
        except (MisconfigurationException, ValueError) as error:
            raise ZooError(f"the flags of --trainer do not fit each other or this machine: {error}") from error
        self.logger = None
        if self.main_process:  # only now: a mistake in the data, the model or the trainer leaves no folder behind
            self.folder.open(resume=self.config.resume, overwrite=self.config.overwrite)
            # Settings only: what the data gives to the model is its vocabulary.
            settings = self.config.clone(with_meta=False).as_dict()
            trainer.logger = self.logger = wandb_logger(mode, self.folder.path, self.config.wandb_project, settings)
        return trainer


def check_trainer(options, *, test: bool) -> None:
    """Refuses what would leave a run without a best checkpoint, or without the scores that it ends with."""
    for name in ("max_epochs", "max_steps", "limit_train_batches", "limit_val_batches", *["limit_test_batches"] * test):
        if getattr(options, name) == 0:
            raise ZooError(f"--trainer.{name} 0 leaves nothing to report: leave it out, or give more than 0")
    for name, wrong in (("enable_checkpointing", False), ("barebones", True)):
        if getattr(options, name) is wrong:
            raise ZooError(f"--trainer.{name} {str(wrong).lower()} leaves no best checkpoint to report: leave it out")
    if options.fast_dev_run:
        few = " ".join(f"--trainer.{name} 2" for name in ("max_epochs", "limit_train_batches", "limit_val_batches"))
        raise ZooError(f"--trainer.fast_dev_run leaves no checkpoint to report: to try things out give {few}")
    batches = options.val_check_interval
    if isinstance(batches, int) and batches > 1 and options.check_val_every_n_epoch is not None:
        raise ZooError(
            f"--trainer.val_check_interval {batches} is for batches of one epoch, which may have fewer: to count on "
            "from epoch to epoch add --trainer.check_val_every_n_epoch null, or give a share of an epoch, such as 0.5"
        )
    epochs, every = options.max_epochs or 0, options.check_val_every_n_epoch or 1
    if 0 < epochs < every:
        raise ZooError(
            f"--trainer.check_val_every_n_epoch {every} never scores a model on dev in --trainer.max_epochs {epochs}: "
            "give more epochs, or score more often"
        )


def add_search_flags(parser, search: type) -> None:
    """A flag for each field of a model's search; None leaves it as the model was trained with."""
    for name, kind in get_type_hints(search).items():
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


def switches(args: Sequence[str]) -> list[str]:
    """`--resume` and `--overwrite` by themselves mean true."""
    args = list(args)
    for place in range(len(args) - 1, -1, -1):
        alone = place + 1 == len(args) or args[place + 1].startswith("--")
        if args[place] in ("--resume", "--overwrite") and alone:
            args[place] += "=true"
    return args


def default_precision() -> str:
    """bf16-mixed where the hardware has bf16 instructions, else 32-true."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16-mixed" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "32-true"
