"""The page of several runs side by side."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from recipes.pages.example_views import ComparedExample, compared
from recipes.pages.html import duration, render, shown_setting
from recipes.pages.labels import label_scores_of
from recipes.pages.run_record import RunRecord
from recipes.pages.run_views import format_of, learning_curves, printed_name, score_row, span
from recipes.reports.scores.resampling import differences
from zoo.errors import ZooError
from zoo.metrics.display import score_format

# A difference whose p is below this is printed in bold.
SIGNIFICANT = 0.05
# The examples that are shown: those on which the losses of the runs differ most.
SHOWN = 40
# The F1 of labels is shown of so many runs, as a table of more does not fit a telephone.
LABELLED_RUNS = 5
SECTIONS = {
    "differ": "Settings that differ",
    "scores": "Scores",
    "curves": "Curves",
    "labels": "Labels",
    "examples": "Examples",
    "runs": "Runs",
    "settings": "Common settings",
    "commands": "Commands",
}


def comparison_page(paths: Sequence[Path], command: str) -> str:
    """The page of several runs as HTML.

    Args:
        paths: their folders, the first of which the others are compared with.
        command: the command that makes the page, which it shows.

    Raises:
        ZooError: there are fewer than two runs; one of them is unfinished or damaged; or they are of different tasks or
            were scored on different examples.
    """
    if len(paths) < 2:
        raise ZooError(f"expected the folders of at least two runs, got {len(paths)}")
    if len(paths) > len(ascii_uppercase):
        raise ZooError(f"expected at most {len(ascii_uppercase)} runs, got {len(paths)}")
    runs = [RunRecord.read(path) for path in paths]
    for run in runs[1:]:
        check_same_examples(runs[0], run)
    return render("compare.html", _context(runs, command))


def check_same_examples(run: RunRecord, other: RunRecord) -> None:
    """Refuses runs whose scores cannot be compared.

    Raises:
        ZooError: the runs are of different tasks, or were scored on different examples.
    """
    if run.kind != other.kind:
        raise ZooError(
            f"expected runs of one task, got {run.path} of {run.facts['recipe']} and {other.path} of "
            f"{other.facts['recipe']}: compare runs of one recipe"
        )
    told = f"{run.path} was scored on {run.facts['split']}, {other.path} on {other.facts['split']}"
    way = "score both on the same split: train with the same --data.test, or without --trainer.limit_test_batches"
    if len(run.examples) != len(other.examples):
        sizes = f"{len(run.examples):,} and {len(other.examples):,}"
        raise ZooError(
            f"expected runs that were scored on the same examples, but there are {sizes} of them: {told}. {way}"
        )
    for ours, theirs in zip(run.examples, other.examples, strict=True):
        if (ours.row, ours.source, ours.gold) != (theirs.row, theirs.source, theirs.gold):
            raise ZooError(
                f"expected runs that were scored on the same examples, but row {ours.row} differs: {told}. {way}"
            )


def _context(runs: Sequence[RunRecord], command: str) -> dict[str, Any]:
    letters = ascii_uppercase[: len(runs)]
    examples = compared([run.examples for run in runs], runs[0].task, SHOWN)
    differing, common = _settings(runs)
    context: dict[str, Any] = {
        "recipe": runs[0].facts["recipe"],
        "split": runs[0].facts["split"],
        "heads": list(zip(letters, [run.name for run in runs], [str(run.path) for run in runs], strict=True)),
        "differ": differing,
        "scores": _scores(runs),
        "significant": SIGNIFICANT,
        "curves": [{**curve, "names": letters} for curve in learning_curves(runs)],
        "labels": _labels(runs) if len(runs) <= LABELLED_RUNS else [],
        "examples": examples,
        "agreement": _agreement(examples, runs, letters),
        "letters": letters,
        "runs": _facts(runs),
        "settings": common,
        "commands": [
            ("Make this page again", command),
            *(
                (
                    f"Use the model of {letter}",
                    f"python -m recipes.{run.facts['recipe']} predict --model {shlex.quote(str(run.path / 'model'))}",
                )
                for letter, run in zip(letters, runs, strict=True)
            ),
        ],
    }
    context["sections"] = [(name, title) for name, title in SECTIONS.items() if context[name]]
    return context


def _settings(runs: Sequence[RunRecord]) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """The settings that differ, with the value of each run, and those that are the same."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    differing = []
    common = []
    for name in names:
        values = [shown_setting(run.settings.get(name)) for run in runs]
        if len(set(values)) > 1:
            differing.append((name, values))
        elif values[0] != "none":
            common.append((name, values[0]))
    return differing, common


def _scores(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """For each score: the values and intervals of all runs, and how the others differ from the first one."""
    first = runs[0]
    found = [differences(run.resampled, first.resampled, len(run.examples)) if run.resampled else {} for run in runs]
    tables = []
    for name in dict.fromkeys(name for run in runs for name in [*run.scores, *run.resampled]):
        format = format_of(name)
        intervals = [run.intervals.get(name) for run in runs]
        known = [interval for interval in intervals if interval is not None]
        low = min((interval.low for interval in known), default=0.0)
        width = max((interval.high for interval in known), default=0.0) - low or 1.0
        rows = []
        for run, interval, differing in zip(runs, intervals, found, strict=True):
            row: dict[str, Any] = {**score_row(run, name), "bar": None, "difference": "", "p": "", "significant": False}
            if interval is not None:
                left, wide = 100 * (interval.low - low) / width, 100 * (interval.high - interval.low) / width
                row["bar"] = (f"{left:.1f}", f"{max(wide, 1):.1f}")
            difference = differing.get(name)
            if run is not first and difference is not None:
                value = format.scale * difference.interval.value
                row["difference"] = f"{value:+.{format.decimals}f}"
                row["between"] = span(name, difference.interval)
                row["p"] = f"{difference.p:.3f}"
                row["significant"] = difference.p < SIGNIFICANT
            rows.append(row)
        tables.append({"name": printed_name(name), "rows": rows})
    return tables


def _labels(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """The F1 of each label by run, the most frequent label first."""
    by_run = [{score.label: score for score in label_scores_of(run)} for run in runs]
    labels = dict.fromkeys(label for of_run in by_run for label in of_run)
    rows = []
    for label in labels:
        scores = [of_run.get(label) for of_run in by_run]
        values = [None if score is None else 100 * score.f1 for score in scores]
        differ = len(set(values)) > 1
        best = max(value for value in values if value is not None)
        rows.append(
            {
                "label": label,
                "values": [("–" if value is None else f"{value:.1f}", value == best and differ) for value in values],
                "support": max(score.support for score in scores if score is not None),
            }
        )
    return rows


def _agreement(examples: Sequence[ComparedExample], runs: Sequence[RunRecord], letters: str) -> list[tuple[str, str]]:
    """How often all runs are right, some of them, and none; nothing where no answer is simply right."""
    if not examples or runs[0].kind not in ("tagging", "classification"):
        return []
    rights = list(zip(*([one.right for one in run.examples] for run in runs), strict=True))
    found = [("all right", sum(map(all, rights))), ("none right", sum(not any(one) for one in rights))]
    for number, letter in enumerate(letters):
        alone = sum(one[number] and sum(one) == 1 for one in rights)
        found.append((f"only {letter} right", alone))
    return [(name, f"{count:,}") for name, count in found]


def _facts(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """What the runs took, and where they ran."""
    rows: list[tuple[str, list[str]]] = [
        ("best dev", [_best(run) for run in runs]),
        ("epochs", [f"{run.facts.get('epochs', 0):g}" for run in runs]),
        ("training", [duration(run.facts.get("train_seconds", 0)) for run in runs]),
        ("speed", [f"{run.facts.get('train_tokens_per_second', 0):,} tokens/s" for run in runs]),
        ("parameters", [f"{run.facts.get('parameters', 0):,}" for run in runs]),
        ("hardware", [str(run.facts.get("hardware")) for run in runs]),
        ("torch", [str(run.facts.get("versions", {}).get("torch")) for run in runs]),
        ("lstm-zoo", [str(run.facts.get("versions", {}).get("lstm-zoo")) for run in runs]),
    ]
    return rows


def _best(run: RunRecord) -> str:
    name, value = next(iter(run.facts["best_dev"].items()))
    return f"{printed_name(name)} {score_format(name).text(value)}"
