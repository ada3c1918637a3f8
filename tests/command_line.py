"""Runs a recipe's command line: in a process of its own, as people do, or in this one, which starts seconds earlier."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import warnings
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from recipes.runner.cli import main

ROOT = Path(__file__).parents[1]


def run_process(
    recipe: str, *args, cwd: Path, text: str | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """What `python -m recipes.RECIPE` writes in a process of its own; it must end well."""
    command = [sys.executable, "-m", f"recipes.{recipe}", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled", **(env or {})}
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, env=environment)
    return _checked(done, fails=False)


def run(recipe: str, *args, cwd: Path, text: str = "", fails: bool = False) -> subprocess.CompletedProcess:
    """The same in this process: for all tests that are not about processes."""
    arguments = [str(argument) for argument in args]
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")}
    streams["stdin"] = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    code: object = 0
    with chdir(cwd), patch.multiple(sys, **streams), warnings.catch_warnings():
        try:
            main(import_module(f"recipes.{recipe}").RECIPE, arguments)
        except SystemExit as end:
            code = end.code
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    written = {}
    for name in ("stdout", "stderr"):
        streams[name].flush()
        written[name] = streams[name].buffer.getvalue().decode()
    return _checked(subprocess.CompletedProcess(arguments, code or 0, **written), fails=fails)


def _checked(done: subprocess.CompletedProcess, *, fails: bool) -> subprocess.CompletedProcess:
    assert (done.returncode != 0) == fails, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return done
