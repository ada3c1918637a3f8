"""What a cluster does with a run: SLURM requeues a job before its time is over, and torchrun starts it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from zoo.errors import ZooError

# The environment variables in which SLURM and torchrun count how often they have restarted this command.
RESTARTS = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")


def restarted() -> bool:
    """Whether the cluster has started this command again after it was interrupted."""
    return any(os.environ.get(name, "0") not in ("", "0") for name in RESTARTS)


def requeue(received: int) -> None:
    """Asks SLURM to queue this job again, if the signal that it sends before the time is over has been received.

    The signal is SIGUSR1, for which a job asks with `sbatch --signal=USR1@90`.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or received != getattr(signal, "SIGUSR1", None):
        return
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    except OSError as error:
        print(f"SLURM did not requeue job {job}: {error}", file=sys.stderr)
        return
    told = f"SLURM requeues job {job}"
    if done.returncode != 0:
        told = f"SLURM did not requeue job {job}: {done.stderr.strip() or f'exit code {done.returncode}'}"
    print(told, file=sys.stderr)


def check_root(folder: str) -> None:
    """Refuses a folder with checkpoints of another program, which Lightning would load under SLURM without notice.

    Args:
        folder: the `default_root_dir` of a Trainer.

    Raises:
        ZooError: there are such checkpoints.
    """
    if "SLURM_NTASKS" not in os.environ or not Path(folder).is_dir():
        return
    for path in sorted(Path(folder).glob("*hpc_ckpt_*")):
        raise ZooError(
            f"under SLURM, Lightning would load {path}, which is no checkpoint of this run: move it, or give another "
            "folder with --trainer.default_root_dir"
        )
