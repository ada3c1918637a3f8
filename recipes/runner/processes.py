"""The processes of a run: where they meet before anything is read."""

from __future__ import annotations

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from recipes.runner.watch import watch_children, watch_first_process
from zoo.errors import ZooError

# The flags of the Trainer that tell which processes there are.
FLAGS = ("accelerator", "devices", "num_nodes", "strategy", "plugins")


def join(trainer: pl.Trainer) -> None:
    """Joins the other processes of a run; starts those of this machine unless torchrun, SLURM or the like has.

    Lightning itself would do so when the training begins. This is too late to agree on a folder, or to refuse wrong
    flags on all processes. When the training begins, it finds the processes connected.

    Raises:
        ZooError: the strategy starts copies of this process, such as "ddp_spawn": what they train does not come back.
        ValueError: the processes that were started are not those of the flags.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        watch_first_process()
        if not launcher.cluster_environment.creates_processes_externally:
            # `launch` would start them too. But it would also kill this process without a word if one of them fails.
            launcher._call_children_scripts()
            watch_children(launcher.procs)
        launcher.launch(trainer.strategy.setup_environment)
    elif launcher is not None:
        raise ZooError("this --trainer.strategy trains in copies of this process, which report nothing back: use ddp")


def trainer_to_join_with(options: Namespace) -> pl.Trainer:
    """A Trainer that knows the processes that the Trainer of the run will have.

    Args:
        options: the Trainer's flags.
    """
    # The parser of a recipe would make its data and its model too.
    parser = LightningArgumentParser()
    parser.add_class_arguments(pl.Trainer, "trainer", instantiate=False)
    # jsonargparse leaves the constructor without types.
    named = Namespace(trainer=Namespace({name: options[name] for name in FLAGS}))  # type: ignore[no-untyped-call]
    flags = parser.instantiate_classes(named).trainer
    return pl.Trainer(
        **flags.as_dict(),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def is_first() -> bool:
    """Whether this is the first process of the run, the one that writes. A Trainer must have been made before."""
    # Lightning sets the attribute on a function.
    rank: int = pl.utilities.rank_zero_only.rank  # type: ignore[attr-defined]
    return rank == 0
