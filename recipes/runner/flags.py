"""The flags of a training: every argument of the model, the data and the Trainer, generated from their constructors."""

from __future__ import annotations

import shlex
from argparse import SUPPRESS
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI

from datamodules.agreement import agreeing, digest_of_state, of_first
from datamodules.base import CorpusDataModule
from recipes.runner.averaging import moving_average
from recipes.runner.callbacks import Recorder
from recipes.runner.checkpoints import (
    BestCheckpoint,
    CheckpointFiles,
    WholeCheckpoints,
    check_resumable,
    newest_checkpoint,
)
from recipes.runner.claim import Claim
from recipes.runner.gauges import Gauges
from recipes.runner.hardware import default_precision
from recipes.runner.init_from import InitialModel, add_flags
from recipes.runner.language_models import add_flag, context_of, load_language_models
from recipes.runner.parser import Parser
from recipes.runner.permissions import without_permissions
from recipes.runner.processes import is_first, join, trainer_to_join_with
from recipes.runner.progress import TrainingBar, shows_progress
from recipes.runner.recipe import SMALL_CORPUS, Recipe
from recipes.runner.run_flags import add_run_flags
from recipes.runner.run_folder import RunFolder, run_folder
from recipes.runner.saver import CheckpointOptions, Saver
from recipes.runner.signals import RunnerSignals
from recipes.runner.slurm import check_root, restarted
from recipes.runner.trainer import check_precision, check_shares, check_trainer, fitting
from recipes.runner.trial import callbacks_of_trial
from recipes.runner.wandb_config import run_config
from recipes.runner.wandb_flags import check_names, run_names
from recipes.runner.wandb_modes import is_online, wandb_mode
from recipes.runner.wandb_results import log_data
from recipes.runner.wandb_run import CountingLogger, start_run
from recipes.runner.whole_files import replacing
from zoo.errors import ZooError
from zoo.metrics.display import higher_is_better
from zoo.models.base import ZooModule
from zoo.models.fine_tuning import FineTuningOptions
from zoo.models.language_model import LanguageModel
from zoo.models.supported import check_supported

DESCRIPTION = (
    "Trains a model, chooses the best checkpoint on dev, and scores it on test. As a first argument, fit leaves test "
    "unread; validate, test, predict and convert use a trained model, and each has a --help."
)


class TrainingCLI(LightningCLI):
    """The command line of a training: a flag for each argument of the model, the data and the Trainer, and `--config`.

    Args:
        recipe: the recipe to train.
        args: the arguments of the command line.
        test: whether to score the run on test. The attribute `test` becomes False if the data have no test split.
    """

    parser: Parser
    # These two are of the first process, once it has opened the folder.
    claim: Claim | None = None
    # The model to fine-tune.
    initial: InitialModel | None = None
    # Those whose states a tagger reads.
    language_models: Sequence[LanguageModel] = ()
    logger: CountingLogger | None = None

    def __init__(self, recipe: Recipe, args: Sequence[str], *, test: bool):
        self.recipe = recipe
        self.test = test
        self.args = list(args)
        super().__init__(
            recipe.model,
            recipe.data,
            args=self.args,
            run=False,
            parser_class=Parser,
            parser_kwargs={
                "prog": f"python -m recipes.{recipe.name}",
                "description": DESCRIPTION,
                "allow_abbrev": False,
            },
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
        add_run_flags(parser)
        parser.add_class_arguments(CheckpointOptions, "checkpoints", instantiate=False)
        add_flags(parser)
        add_flag(parser, self.recipe)
        for name in self.recipe.links:
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")
        # Linking removes --model.codec, but jsonargparse keeps the flag that lists its arguments.
        parser._option_string_actions["--model.codec.help"].help = SUPPRESS
        parser.link_arguments("seed_everything", "data.seed")
        parser.set_defaults(dict(self.recipe.defaults))

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        self._parse(parser)
        reference = self.config.model.init_from
        if reference is not None:
            self.initial = InitialModel(reference, self.recipe)
            parser.set_defaults(self.initial.defaults(self.parser))
            self._parse(parser)
            self.initial.check(self.config, self.parser)
        self.language_models = load_language_models(self.config.model.get("language_models", ()))

    def _parse(self, parser: LightningArgumentParser) -> None:
        """Parses the command line, and the settings of a run that is resumed."""
        self.config = parser.parse_args(self.args)
        self._continue_if_restarted()
        if self.config.resume and not self.config.config:
            own = run_folder(self.config.out, self.recipe.name).config
            # If the file is missing, there is nothing to resume. The check of the folder reports that.
            if own.is_file():
                self.config = parser.parse_args(["--config", str(own), *self.args])
                self._continue_if_restarted()

    def _continue_if_restarted(self) -> None:
        """Resumes a run that the cluster has started again with the command of the beginning."""
        if restarted() and self.config.out:
            folder = run_folder(self.config.out, self.recipe.name)
            self.config.resume = bool(folder.resumable())
            # Of a run that was stopped before its first checkpoint, there is nothing to keep.
            self.config.overwrite = not self.config.resume and folder.is_begun()

    def _follow_the_size_of_the_corpus(self) -> None:
        """Uses the recipe's defaults for small corpora if the training split is small. This reads the split."""
        if self.config.resume or self.initial is not None or not self.recipe.small_corpus:
            return
        if self.recipe.data(**self.config.data).training_examples < SMALL_CORPUS:
            self.parser.set_defaults(dict(self.recipe.small_corpus))
            self.config = self.parser.parse_args(self.args)
            self._continue_if_restarted()
            self.config.out = str(self.folder.path)

    @property
    def resume_command(self) -> str:
        """The command that resumes this run. The folder keeps the settings; permissions must be given again."""
        allowed = ["--trust", ",".join(sorted(self.parser.trusted))] if self.parser.trusted else []
        if is_online(self.config.wandb):
            allowed += ["--wandb", "online"]
        flags = ["--out", str(self.folder.path), "--resume", *allowed]
        return f"{self.recipe.command} {shlex.join(flags)}"

    def save_config(self) -> None:
        """Writes the settings of the run into its folder, so that the run can be resumed or repeated."""
        settings = without_permissions(self.config)
        with replacing(self.folder.config) as part:
            self.parser.save(settings, part, overwrite=True, skip_validation=True)

    def before_instantiate_classes(self) -> None:
        CheckpointOptions(**self.config.checkpoints)
        check_trainer(self.config.trainer, test=self.test)
        if not 0 <= self.config.ema < 1:
            raise ZooError(f"expected a decay in [0, 1) as --ema, 0 for no average, got {self.config.ema}")
        FineTuningOptions(**self.config.fine_tuning)
        self.add_instantiators()
        self.wandb_mode = wandb_mode(self.config.wandb)
        if self.wandb_mode != "disabled":
            check_names(run_names(self.config))
        with fitting("the flags of --trainer do not fit each other or this machine"):
            trainer = trainer_to_join_with(self.config.trainer)
        with fitting("the flags of --trainer do not fit the processes that were started", ValueError):
            join(trainer)
        self.main_process = is_first()
        self.folder: RunFolder = of_first(run_folder(self.config.out, self.recipe.name))
        self.config.out = str(self.folder.path)

    def instantiate_classes(self) -> None:
        with agreeing() as facts:
            if self.main_process:
                self.folder.check(resume=self.config.resume, overwrite=self.config.overwrite)
            self._follow_the_size_of_the_corpus()
            with fitting("a flag of --trainer is not supported here", (ImportError, MisconfigurationException)):
                try:
                    super().instantiate_classes()
                # jsonargparse raises it for a class that cannot be instantiated.
                except ValueError as error:
                    if "class_path" not in str(error):
                        raise
                    raise MisconfigurationException(str(error)) from error
            facts |= self.datamodule.facts(("train", "dev", "test") if self.test else ("train", "dev"))
            facts["the checkpoint to resume from"] = str(self.resumed_step)
            facts["--model and --trainer"] = digest_of_state([self.config.model, self.config.trainer])
        # The folder is created last, so that an error in the data, the model or the Trainer leaves no folder behind.
        with agreeing():
            if self.main_process:
                self._open_folder()

    def add_instantiators(self) -> None:
        """Lets the parser make the model and the data by the two methods below."""
        self.parser.add_instantiator(self._make_model, self.recipe.model, subclasses=False)
        self.parser.add_instantiator(self._make_data, self.recipe.data, subclasses=False)

    # jsonargparse calls these two with the values of the flags. The constructors have no `init_from` and no
    # `language_models`.

    def _make_model(
        self, model: type[ZooModule], *, init_from: object, language_models: object = None, **arguments: Any
    ) -> ZooModule:
        arguments |= context_of(self.language_models, codecs=False)
        return model(**arguments) if self.initial is None else self.initial.make_model(model, **arguments)

    def _make_data(self, data: type[CorpusDataModule[Any, Any]], **arguments: Any) -> CorpusDataModule[Any, Any]:
        arguments |= context_of(self.language_models, codecs=True)
        return data(**arguments) if self.initial is None else self.initial.make_data(data, **arguments)

    def _open_folder(self) -> None:
        """Opens the run's folder, and the W&B run of all processes."""
        self.claim = self.folder.open(resume=self.config.resume, overwrite=self.config.overwrite)
        if self.wandb_mode == "disabled":
            return
        # The settings without the codec, which contains the vocabulary.
        settings = self.config.clone(with_meta=False)
        processes = self.trainer.world_size
        config = run_config(self.recipe, settings, self.datamodule, self.model, processes=processes)
        self.logger = start_run(self.wandb_mode, self.folder.path, run_names(self.config), config)
        if self.logger is not None:
            self.trainer.loggers = [self.logger, *self.trainer.loggers]
            log_data(self.logger, self.folder, config)

    # LightningCLI calls this method without arguments.
    def instantiate_trainer(self) -> pl.Trainer:  # type: ignore[override]
        self.test = self.test and "test" in self.datamodule.splits
        # Every split is read now, so that an error in the test file is reported before the training.
        for stage in ("fit", "test") if self.test else ("fit",):
            self.datamodule.setup(stage)
        self.datamodule.check_model(self.model)
        self.model.use_fine_tuning(FineTuningOptions(**self.config.fine_tuning))
        # This check comes before any file of the run is replaced.
        self.resume_from: Path | None = None
        self.resumed_step: int | None = None
        if self.config.resume:
            self.resume_from, checkpoint = newest_checkpoint(self.folder)
            self.resumed_step = checkpoint["global_step"]
            check_resumable(
                self.resume_from, checkpoint, recipe=self.recipe, model=self.model,
                max_epochs=self.config.trainer.max_epochs,
            )  # fmt: skip
            self.model.check_fine_tuning(checkpoint)
        self.recorder = Recorder(self.folder, self.model.monitor, quiet=self.config.quiet)
        best = BestCheckpoint(
            self.folder.checkpoints,
            filename="best",
            monitor=self.model.monitor,
            mode="max" if higher_is_better(self.model.monitor) else "min",
            enable_version_counter=False,
        )
        options = CheckpointOptions(**self.config.checkpoints)
        saver = Saver(CheckpointFiles(self.folder, options.keep), best, options)
        callbacks = [self.recorder, Gauges(self.recorder), best, saver, *callbacks_of_trial(self.recorder)]
        if self.config.ema:
            callbacks.insert(0, WeightAveraging(use_buffers=False, avg_fn=moving_average(self.config.ema)))
        shows_bar = shows_progress(self.config.trainer.enable_progress_bar, quiet=self.config.quiet)
        if shows_bar:
            callbacks.append(TrainingBar(self.recorder, self.model.monitor))
        self.trainer_defaults["callbacks"] = callbacks
        with fitting("the flags of --trainer do not fit together or do not fit this machine"):
            trainer = super().instantiate_trainer(
                default_root_dir=self.config.trainer.default_root_dir or str(self.folder.path),
                enable_progress_bar=shows_bar,
            )
        check_root(trainer.default_root_dir)
        check_supported(trainer)
        check_precision(self.config.trainer, trainer)
        check_shares(trainer, self.datamodule, test=self.test)
        trainer._signal_connector = RunnerSignals(trainer)
        self.model.skip_nonfinite = self.config.skip_nonfinite
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        return trainer
