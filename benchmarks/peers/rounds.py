"""What the benchmarks share at their end of the line: turns, ratios, a table, and its circumstances."""

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

from peers.turns import Worker
from rich.console import Console
from rich.progress import Progress


@dataclass
class Job:
    """What to ask a worker for in each round, and what is measured for each of the times that come back."""

    worker: Worker
    command: dict
    rows: dict


def train_in_turn(workers: dict[str, Worker], rounds: int, unit: str, progress: Progress) -> dict[str, list[float]]:
    """How many `unit` a second each system trains on, in each round."""
    speeds: dict[str, list[float]] = {name: [] for name in workers}
    bar = progress.add_task("training", total=rounds * len(workers))
    for number in range(1, rounds + 1):
        for name, worker in workers.items():
            reply = worker.turn()
            speeds[name].append(reply["count"] / reply["seconds"])
            progress.console.print(f"training {number}/{rounds}  {name:24} {speeds[name][-1]:8,.0f} {unit}/s")
            progress.advance(bar)
    return speeds


def ask_in_turn(jobs: list[Job], rounds: int, title: str, progress: Progress) -> Iterator[tuple[int, Job, dict]]:
    """The number of the round, the job and the worker's reply; round 0 does not count."""
    bar = progress.add_task(title, total=(rounds + 1) * len(jobs))
    for number in range(rounds + 1):
        for job in jobs:
            yield number, job, job.worker.turn(**job.command)
            progress.advance(bar)


def speed(values: list[float]) -> str:
    """The median of the rounds; nothing for a system that took no part."""
    return f"{median(values):,.0f}" if values else ""


def ratio(values: list[float], others: list[float]) -> str:
    """The median over the rounds of the ratios within them."""
    return f"{median(a / b for a, b in zip(values, others, strict=True)):.2f}" if values else ""


def markdown(head: list[str], words: int, lines: list[list[str]]) -> str:
    """A table whose first `words` columns are words and the others numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def report(compare: Callable[[Path, Progress], str]) -> None:
    """Prints what `compare` found, in a scratch folder and with a progress bar, below when and where it did."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch, Progress(console=Console(stderr=True)) as progress:
        try:
            found = compare(Path(scratch), progress)
        except (ValueError, OSError) as error:  # no such model, corpus, or Python
            raise SystemExit(f"{error}") from error
    print(f"{date.today()}, {_processor()}, {os.cpu_count()} cores, load {load:.1f} at the start; ", end="")
    print(f"Python {platform.python_version()}, {found}\n\n`{shlex.join(['python', *sys.argv])}`")


def _processor() -> str:
    """The name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
