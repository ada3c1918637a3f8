"""Runs a recipe's command line in a test: in this process, in a fork of it, or in a Python of its own.

A fresh Python spends four seconds on importing torch and Lightning. `run` and `start` avoid that; `run_python` is for
tests of what only a fresh Python shows, and for systems that cannot fork a process that has imported torch.
"""

from __future__ import annotations

import functools
import io
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

from recipes.runner.cli import main

ROOT = Path(__file__).parents[1]
# A command that takes longer counts as hanging.
SECONDS = 120


class Process(Protocol):
    """What `start` returns: a command that runs on its own."""

    returncode: int | None

    def poll(self) -> int | None: ...
    def send_signal(self, number: int) -> None: ...
    def communicate(self, timeout: float) -> tuple[str, str]: ...


class Fork:
    """A recipe's command line in a fork of this process, with temporary files as its output streams."""

    def __init__(self, recipe: str, arguments: list[str], cwd: Path, environment: Mapping[str, str]):
        parse_docstrings(recipe)
        self.streams = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(2)]
        target = (recipe, arguments, cwd, environment, [stream.fileno() for stream in self.streams])
        self.process = multiprocessing.get_context("fork").Process(target=_run_in_fork, args=target)
        self.process.start()

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def communicate(self, timeout: float = SECONDS) -> tuple[str, str]:
        """Waits for the end; returns what was written to standard output and to standard error."""
        self.process.join(timeout)
        if self.returncode is None:
            self.process.kill()
            raise TimeoutError(f"{self.process} has not ended after {timeout} seconds")
        written = []
        for stream in self.streams:
            stream.seek(0)
            written.append(stream.read())
            stream.close()
        return written[0], written[1]


@functools.cache
def parse_docstrings(recipe: str) -> None:
    """Imports a recipe and parses the docstrings of its flags here, so that no fork of this process has to."""
    run(recipe, "--print_config", cwd=ROOT)


def _run_in_fork(recipe: str, arguments: list[str], cwd: Path, environment: Mapping[str, str], streams: list[int]):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    os.chdir(cwd)
    # Libraries and subprocesses of a recipe write to the file descriptors.
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
    main(import_module(f"recipes.{recipe}").RECIPE, arguments)


def start(recipe: str, *args: object, cwd: Path, env: Mapping[str, str] | None = None) -> Process:
    """Starts `python -m recipes.RECIPE`, in a fork of this process where the system has safe ones."""
    arguments = [str(argument) for argument in args]
    if sys.platform == "linux":
        return Fork(recipe, arguments, cwd, env or {})
    return start_python(["-m", f"recipes.{recipe}", *arguments], cwd=cwd, env=env)


def start_python(arguments: list[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Process:
    """Starts a fresh Python that finds this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    command = [sys.executable, *arguments]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, text=True, env=environment, **pipes)


def run_alone(
    recipe: str, *args: object, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Runs `python -m recipes.RECIPE` with an environment and signals of its own; it must succeed."""
    return finished(start(recipe, *args, cwd=cwd, env=env))


def run_python(*args: object, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
    """Runs a fresh Python with these arguments; it must succeed."""
    return finished(start_python([str(argument) for argument in args], cwd=cwd, env=env))


def finished(process: Process) -> subprocess.CompletedProcess:
    """Waits for a process, which must succeed."""
    output, errors = process.communicate(timeout=SECONDS)
    return _checked(subprocess.CompletedProcess([], process.returncode, output, errors), fails=False)


def run(recipe: str, *args: object, cwd: Path, text: str = "", fails: bool = False) -> subprocess.CompletedProcess:
    """Runs `python -m recipes.RECIPE` in this process, with `text` as standard input."""
    arguments = [str(argument) for argument in args]
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")}
    streams["stdin"] = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    code: object = 0
    with chdir(cwd), patch.multiple(sys, **streams), settings_kept():
        try:
            main(import_module(f"recipes.{recipe}").RECIPE, arguments)
        except SystemExit as end:
            code = end.code
    written = {}
    for name in ("stdout", "stderr"):
        streams[name].flush()
        written[name] = streams[name].buffer.getvalue().decode()
    return _checked(subprocess.CompletedProcess(arguments, code or 0, **written), fails=fails)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Undoes what a recipe sets for its whole process: the levels of loggers, and warnings."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def _checked(done: subprocess.CompletedProcess, *, fails: bool) -> subprocess.CompletedProcess:
    assert (done.returncode != 0) == fails, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return done
