"""What the benchmarks share: rounds in which workers take turns, ratios, a table, and where and when it was made."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

from peers.turns import Message, Worker
from rich.console import Console
from rich.progress import Progress

# A benchmark's own type of a line of its table.
Row = TypeVar("Row")


@dataclass
class Job(Generic[Row]):
    """A command that a worker gets in each round.

    Attributes:
        worker: the process that gets it.
        command: its arguments.
        rows: by the name of a time in the reply, the line of the table that the time belongs to.
    """

    worker: Worker
    command: Message
    rows: dict[str, Row]


def train_in_turn(workers: dict[str, Worker], rounds: int, unit: str, progress: Progress) -> dict[str, list[float]]:
    """The training speeds of each system, one for each round, in `unit` a second."""
    speeds: dict[str, list[float]] = {name: [] for name in workers}
    bar = progress.add_task("training", total=rounds * len(workers))
    for number in range(1, rounds + 1):
        for name, worker in workers.items():
            reply = worker.turn()
            speeds[name].append(reply["count"] / reply["seconds"])
            progress.console.print(f"training {number}/{rounds}  {name:24} {speeds[name][-1]:8,.0f} {unit}/s")
            progress.advance(bar)
    return speeds


def ask_in_turn(
    jobs: list[Job[Row]], rounds: int, title: str, progress: Progress
) -> Iterator[tuple[int, Job[Row], Message]]:
    """Yields the number of the round, the job and the worker's reply. Round 0 is a warm-up: do not measure it."""
    bar = progress.add_task(title, total=(rounds + 1) * len(jobs))
    for number in range(rounds + 1):
        for job in jobs:
            yield number, job, job.worker.turn(**job.command)
            progress.advance(bar)


def speed(values: list[float]) -> str:
    """The median over the rounds. An empty string if the system was not measured."""
    return f"{median(values):,.0f}" if values else ""


def ratio(values: list[float], others: list[float]) -> str:
    """The median over the rounds of the ratio within a round. An empty string if the system was not measured."""
    return f"{median(a / b for a, b in zip(values, others, strict=True)):.2f}" if values else ""


def markdown(head: list[str], words: int, lines: list[list[str]]) -> str:
    """A Markdown table. Its first `words` columns hold words, the others numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def report(compare: Callable[[Path, Progress], str]) -> None:
    """Prints the date, the machine, the report of `compare`, and the command.

    `compare` gets a temporary folder and a progress bar.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch, Progress(console=Console(stderr=True)) as progress:
        try:
            found = compare(Path(scratch), progress)
        # The user named a model, a corpus or a Python that does not exist.
        except (ValueError, OSError) as error:
            raise SystemExit(f"{error}") from error
    print(f"{date.today()}, {_processor()}, {os.cpu_count()} cores, load {load:.1f} at the start; ", end="")
    print(f"Python {platform.python_version()}, {found}\n\n`{shlex.join(['python', *sys.argv])}`")


def _processor() -> str:
    """The name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
