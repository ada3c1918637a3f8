"""Starts recipes on one process or two, each in a process group of its own, and tells which of them are running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path

from recipes.runner.cli import main as command_line

ROOT = Path(__file__).parents[1]
ONE, LIGHTNING, TORCHRUN = "one", "two by Lightning", "two as torchrun"
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}


class Training:
    """The processes of a running recipe, in a process group of their own.

    Args:
        recipe: the name of the recipe.
        launch: how its processes are started.
        flags: the flags of the recipe.
        log: the file to which its messages are added.
    """

    def __init__(self, recipe: str, launch: str, flags: list[str], log: Path):
        self.log = log
        self.messages_before = len(self.messages())
        arguments = ["fit", *flags]
        self.first: BaseProcess | subprocess.Popen[bytes]
        self.second: BaseProcess | None = None
        if launch == LIGHTNING:
            with log.open("ab") as errors:
                self.first = subprocess.Popen(
                    [sys.executable, "-m", f"recipes.{recipe}", *arguments],
                    cwd=log.parent, env=os.environ | ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors,
                    process_group=0,
                )  # fmt: skip
        else:
            port = free_port()
            self.first = fork(recipe, arguments, log, 0, torchrun(0, port) if launch == TORCHRUN else {})
            if launch == TORCHRUN:
                self.second = fork(recipe, arguments, log, self.first.pid or 0, torchrun(1, port))

    def messages(self) -> str:
        """What the run has written to its log so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def own_messages(self) -> str:
        """What the run has written since this start."""
        return self.messages()[self.messages_before :]

    def code(self) -> int | None:
        """The exit code of the first process; None if it has not ended."""
        return self.first.poll() if isinstance(self.first, subprocess.Popen) else self.first.exitcode

    def wait_until_begun(self) -> None:
        """Waits until the run has read its data, or has ended."""
        while " parameters" not in self.own_messages() and self.code() is None:
            time.sleep(0.02)

    def pids(self) -> list[int]:
        """The numbers of the processes that have not ended, the first one first."""
        return sorted(pid for pid, group in groups() if group == self.first.pid)

    def wait_for_all(self, seconds: float) -> bool:
        """Whether all processes end within some seconds."""
        end = time.monotonic() + seconds
        while self.pids() or self.code() is None:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True


def fork(recipe: str, arguments: list[str], log: Path, group: int, environment: dict[str, str]) -> BaseProcess:
    """Starts a process of a recipe as a fork of this one, which spares it the seconds of importing torch."""
    process = multiprocessing.get_context("fork").Process(
        target=_run_in_fork, args=(recipe, arguments, log, group, environment)
    )
    process.start()
    # The group exists before anybody asks for it.
    os.setpgid(process.pid or 0, group or process.pid or 0)
    return process


def _run_in_fork(recipe: str, arguments: list[str], log: Path, group: int, environment: dict[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, group)
    os.environ.update(ENVIRONMENT | environment)
    os.chdir(log.parent)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
    command_line(import_module(f"recipes.{recipe}").RECIPE, arguments)


def torchrun(rank: int, port: int) -> dict[str, str]:
    """The environment that torchrun gives to one of two processes of a machine."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "none"}
    return {name: str(value) for name, value in {**numbers, **address}.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def groups() -> Iterator[tuple[int, int]]:
    """The number of each process of this machine that has not ended, and that of its group."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        # It has ended meanwhile.
        except OSError:
            continue
        if state != "Z":
            yield int(path.parent.name), int(group)
