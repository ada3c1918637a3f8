"""The flags of Weights & Biases."""

from __future__ import annotations

import os
from dataclasses import dataclass

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from zoo.errors import ZooError

PROJECT = "lstm-zoo"
JOB_TYPE = "train"
HELP = {
    "wandb": "The W&B mode: online, offline or disabled; by default $WANDB_MODE, else online if there is a W&B key.",
    "wandb_project": f"The W&B project of the run; by default $WANDB_PROJECT, else {PROJECT}.",
    "wandb_group": "The W&B group of the run, such as the name of an experiment; by default $WANDB_RUN_GROUP.",
    "wandb_tags": "W&B tags of the run, such as small,gru; by default $WANDB_TAGS.",
    "wandb_job_type": f"What kind of job W&B calls the run; by default $WANDB_JOB_TYPE, else {JOB_TYPE}.",
}


@dataclass(frozen=True)
class RunNames:
    """Where W&B lists a run. What is None is left to W&B, which reads variables of the environment."""

    project: str
    job_type: str
    group: str | None = None
    tags: tuple[str, ...] | None = None


def add_wandb_flags(parser: LightningArgumentParser) -> None:
    """Adds the flags of W&B. None is also a mode or a name that is not given."""
    for name, text in HELP.items():
        parser.add_argument(f"--{name}", type=str | None, default=None, help=text)


def check_names(names: RunNames) -> None:
    """Refuses names that W&B would refuse as the run starts. This imports W&B.

    Raises:
        ZooError: there is one.
    """
    import wandb

    tags = names.tags or ()
    for flag, given, options, expected in (
        ("project", names.project, {"project": names.project}, "at most 128 characters and none of / \\ # ? % :"),
        ("tags", ",".join(tags), {"run_tags": tags}, "tags of at most 64 characters"),
    ):
        try:
            wandb.Settings(**options)
        except (wandb.Error, ValueError) as error:
            raise ZooError(f"--wandb_{flag} {given[:200]}: W&B takes {expected}") from error


def run_names(settings: Namespace) -> RunNames:
    """What the flags, or else the environment, say of a run's names."""
    tags = [tag.strip() for tag in (settings.wandb_tags or "").split(",")]
    return RunNames(
        project=settings.wandb_project or os.environ.get("WANDB_PROJECT") or PROJECT,
        job_type=settings.wandb_job_type or os.environ.get("WANDB_JOB_TYPE") or JOB_TYPE,
        group=settings.wandb_group,
        tags=tuple(tag for tag in tags if tag) or None,
    )
