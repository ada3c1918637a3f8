"""Tables of scores for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from zoo.metrics.display import score_format
from zoo.metrics.tagging import LabelScore

# The columns that a label may take, so that its scores fit into a terminal of 80 columns.
LONGEST_LABEL = 40


def print_scores(
    title: str, scores: Mapping[str, float], facts: Mapping[str, Any] | None = None, *, file: TextIO
) -> None:
    """Prints scores, each in its own format, and the time and memory of the training."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in scores.items():
        table.add_row(name, score_format(name).text(value))
    if facts:
        table.add_section()
        for split, counts in facts["counts"].items():
            table.add_row(split, listed(counts))
        table.add_row("training", f"{facts['train_seconds']:.0f} s, {facts['train_tokens_per_second']:,} tokens/s")
        table.add_row("peak memory", f"{facts['peak_memory_mb']:,} MB" if facts["peak_memory_mb"] else "not measured")
    console = Console(file=file)
    console.print(title, highlight=False, markup=False, soft_wrap=True)
    console.print(table)


def listed(counts: Mapping[str, int]) -> str:
    """Counts in one line: `40 texts, 0 empty, 2 truncated`."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def label_scores(title: str, scores: Sequence[LabelScore]) -> str:
    """A table of the precision, recall and F1 of each label, a line each."""
    width = min(LONGEST_LABEL, max(16, *(cell_len(score.label) + 1 for score in scores)))
    head = f"{title:<{width}}{'precision':>10}{'recall':>10}{'F1':>10}{'support':>10}\n"
    return head + "".join(
        f"{filled(s.label, width)}{s.precision:>10.4f}{s.recall:>10.4f}{s.f1:>10.4f}{s.support:>10}\n" for s in scores
    )


def filled(label: str, width: int) -> str:
    """A label in exactly so many columns of a terminal, where a Chinese character takes two."""
    return set_cell_size(label if cell_len(label) < width else f"{set_cell_size(label, width - 2)}…", width)
