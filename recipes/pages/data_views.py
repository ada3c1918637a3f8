"""The statistics of the splits of a run's data, as a page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recipes.pages import charts


def data_view(statistics: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The table, pictures and warnings of the splits; None if there are no statistics.

    Args:
        statistics: `datamodules.statistics.SplitStatistics` by the name of the split.
    """
    splits = {name: one for name, one in statistics.items() if one is not None}
    if not splits:
        return None
    names = list(splits)
    columns = list(splits.values())
    rows: list[tuple[str, list[str]]] = [
        ("examples", [f"{one['examples']:,}" for one in columns]),
        ("tokens", [f"{one['tokens']:,}" for one in columns]),
        ("median length", [f"{one['lengths'][2]:,}" for one in columns]),
        ("95 % are no longer than", [f"{one['lengths'][4]:,}" for one in columns]),
        ("longest", [f"{one['lengths'][5]:,}" for one in columns]),
        ("unknown tokens", [f"{100 * one['unknown']:.1f} %" for one in columns]),
        ("seen before in the split", [_count(one["repeated"]) for one in columns]),
        ("in train, too", [_count(one["in_train"]) for one in columns]),
    ]
    labels = list(dict.fromkeys(label for one in columns for label in one["labels"]))
    totals = [max(1, sum(one["labels"].values())) for one in columns]
    table = [
        (label, [_percent(one["labels"].get(label, 0), total) for one, total in zip(columns, totals, strict=True)])
        for label in labels
    ]
    lengths = [
        {"title": name, "picture": charts.histogram(one["histogram"], one["bar"], "tokens")}
        for name, one in splits.items()
    ]
    return {"splits": names, "rows": rows, "lengths": lengths, "labels": table, "warnings": _warnings(splits)}


def _warnings(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for name, one in splits.items():
        if one["in_train"]:
            share = _percent(one["in_train"], one["examples"])
            found.append(
                f"{one['in_train']:,} of {one['examples']:,} examples of {name} ({share} %) are in train, too: on them "
                "the model may remember the answer."
            )
    return found


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}"
