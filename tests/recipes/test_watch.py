"""A process of a run that is left alone ends by itself, and says why."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest

from recipes.runner import watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")


@pytest.fixture
def end_of(tmp_path, monkeypatch) -> Callable[[Callable[[], None]], tuple[int | None, str]]:
    """The exit code and the message of a process that begins to watch, and then would end with 7 after a while."""
    monkeypatch.setattr(watch, "PAUSE", 0.01)
    monkeypatch.setattr(watch, "PATIENCE", 0.05)
    errors: Path = tmp_path / "errors"

    def run(begin: Callable[[], None], seconds: float = 0.5) -> tuple[int | None, str]:
        def target() -> None:
            sys.stderr = errors.open("w", encoding="utf-8")
            begin()
            time.sleep(seconds)
            os._exit(7)

        process = get_context("fork").Process(target=target)
        process.start()
        process.join()
        return process.exitcode, errors.read_text("utf-8")

    return run


def second_process(first: int) -> None:
    """Begins to watch as the second process of a machine, which the given one has started."""
    os.environ |= {"LOCAL_RANK": "1", watch.FIRST: str(first)}
    watch.watch_first_process.__wrapped__()


def test_a_process_ends_soon_after_the_first_one(end_of):
    # A process is not its own parent.
    code, errors = end_of(lambda: second_process(os.getpid()), seconds=60)
    assert code == 2 and errors.startswith("error: the first process of this run has ended, so this one ends too")


def test_a_process_goes_on_while_the_first_one_does(end_of):
    assert end_of(lambda: second_process(os.getppid())) == (7, "")


def start(exit_code: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-S", "-c", f"raise SystemExit({exit_code})"])


def test_the_first_process_ends_soon_after_one_that_has_failed(end_of):
    code, errors = end_of(lambda: watch.watch_children([start(0), start(3)]), seconds=60)
    assert code == 2 and "error: process 2 of this run has ended with exit code 3, so this one ends too" in errors


def test_the_first_process_goes_on_after_one_that_has_ended_well(end_of):
    assert end_of(lambda: watch.watch_children([start(0)])) == (7, "")
