"""Tells how far a search is: a line for each trial that ends, and a bar where the output is a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

# The bar leaves room for the best score in 80 columns.
BAR_WIDTH = 12


class SearchProgress:
    """Writes to standard error. As a context manager it shows the bar.

    Args:
        trials: how many trials the search has.
    """

    def __init__(self, trials: int):
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[best]}", table_column=Column(no_wrap=True)),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("trials", total=trials, best="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, finished: int, running: int, best: str) -> None:
        """Shows how many trials are finished and running, and the best score."""
        self._bar.update(self._task, completed=finished, description=f"{running} running", best=best)

    def tell(self, line: str) -> None:
        """Writes a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
