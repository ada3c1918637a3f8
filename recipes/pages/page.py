"""Writes the page of a run, `report.html`: one file that needs nothing else."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes.pages.data_views import data_view
from recipes.pages.example_views import view
from recipes.pages.html import duration, render, save, shown_setting
from recipes.pages.labels import label_scores_of
from recipes.pages.run_record import RunRecord
from recipes.pages.run_views import (
    attention_view,
    baseline_tables,
    calibration_charts,
    confusion_view,
    learning_curves,
    printed_name,
    score_row,
)
from recipes.reports.examples import chosen, write_attention
from recipes.reports.scores.resampling import resamplings
from recipes.runner.run_folder import RunFolder
from zoo.batches.predictions import Attended
from zoo.metrics.display import score_format

# How to read an example, by the task.
LEGENDS = {
    "tagging": "A wrong tag stands in red under its word, and the gold tag below it. Dotted words are not in train.",
    "classification": "The numbers are the probabilities of the labels.",
    "language_modeling": "Under each text are its most surprising tokens, and their surprisal in nats.",
}
# What the pictures of attention are of: a label, or the pieces of a text.
ATTENTION = {
    True: "To the tokens of the first texts, for the predicted label: the stronger a colour, the higher the weight.",
    False: "Each row is a piece of an output, each column a piece of its source: the stronger a colour, the higher the "
    "weight.",
}
SECTIONS = {
    "scores": "Scores",
    "baselines": "Baselines",
    "curves": "Curves",
    "labels": "Labels",
    "confusions": "Confusions",
    "calibration": "Calibration",
    "examples": "Examples",
    "attention": "Attention",
    "data": "Data",
    "settings": "Settings",
    "environment": "Environment",
    "commands": "Commands",
}


def write_page(path: Path) -> Path:
    """Writes the page of the run in a folder.

    Raises:
        ZooError: the folder has no finished run, or a file is damaged.
        OSError: the page cannot be written.
    """
    run = RunRecord.read(path)
    page = RunFolder(path).page
    save(render("run.html", run_context(run)), page)
    return page


def try_page(folder: RunFolder, attention: Callable[[], Sequence[Attended]]) -> None:
    """Writes the page of a run that has just ended, or warns: whatever fails here, the run has its scores.

    Args:
        folder: its folder, in which everything else has been written.
        attention: computes the attention to a few examples.
    """
    try:
        write_attention(attention(), folder.attention)
        write_page(folder.path)
        print(f"page:  {folder.page}")
    except Exception as error:
        warnings.warn(f"there is no {folder.page}: {type(error).__name__}: {error}")


def run_context(run: RunRecord) -> dict[str, Any]:
    """What the template of a run is filled with. A section of which a run has nothing is empty and left out."""
    monitor = next(iter(run.facts["best_dev"])).rpartition("/")[2]
    choice = chosen(run.examples)
    scores = [score_row(run, name) for name in [*run.scores, *(n for n in run.resampled if n not in run.scores)]]
    context: dict[str, Any] = {
        "name": run.name,
        "recipe": run.facts["recipe"],
        "split": run.facts["split"],
        "main": score_row(run, monitor) if monitor in run.scores else None,
        "facts": _key_facts(run),
        "scores": scores,
        "missing": [score["name"] for score in scores if not score["span"]],
        "resamplings": f"{resamplings(max(1, len(run.examples))):,}",
        "baselines": baseline_tables(run, monitor),
        "curves": learning_curves([run]),
        "labels": label_scores_of(run),
        "confusions": confusion_view(run),
        "calibration": calibration_charts(run),
        "examples": bool(run.examples),
        "worst": [view(one, run.task) for one in choice.worst],
        "worst_told": "Those with the highest loss: the negative log-likelihood of the gold in nats, per token.",
        "legend": LEGENDS.get(run.kind, ""),
        "at_random": [view(one, run.task) for one in choice.at_random],
        "num_examples": f"{len(run.examples):,}",
        "left_out": f"{run.num_examples - len(run.examples):,}" if run.num_examples > len(run.examples) else "",
        "attention": [attention_view(one) for one in run.attention],
        "attention_told": ATTENTION[len(run.attention[0].target) == 1] if run.attention else "",
        "data": data_view(run.facts.get("data") or {}),
        "settings": settings_groups(run.settings),
        "environment": _environment(run),
        "commands": _commands(run),
    }
    context["sections"] = [(name, title) for name, title in SECTIONS.items() if context[name]]
    return context


def _key_facts(run: RunRecord) -> list[tuple[str, str]]:
    facts = run.facts
    found = []
    for name, value in facts["best_dev"].items():
        found.append((printed_name(name), score_format(name).text(value)))
    if "epochs" in facts:
        found.append(("epochs", f"{facts['epochs']:g}"))
    if "train_seconds" in facts:
        found.append(("training", duration(facts["train_seconds"])))
    if "parameters" in facts:
        found.append(("parameters", f"{facts['parameters']:,}"))
    return found


def settings_groups(settings: Mapping[str, object]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings that say something, by their first names; those of the run itself come last."""
    groups: dict[str, list[tuple[str, str]]] = {"model": [], "data": [], "trainer": [], "run": []}
    for name, value in settings.items():
        group, _, rest = name.partition(".")
        if value is None or value == [] or value == {}:
            continue
        if rest and group in groups:
            groups[group].append((rest, shown_setting(value)))
        else:
            groups["run"].append((name, shown_setting(value)))
    return [(group, pairs) for group, pairs in groups.items() if pairs]


def _environment(run: RunRecord) -> list[tuple[str, str]]:
    facts = run.facts
    found = [
        ("hardware", facts.get("hardware")),
        ("processes", facts.get("processes")),
        ("precision", facts.get("precision")),
        ("seed", facts.get("seed")),
        ("peak memory", f"{facts['peak_memory_mb']:,} MB" if facts.get("peak_memory_mb") else None),
        ("speed", f"{facts['train_tokens_per_second']:,} tokens/s" if "train_tokens_per_second" in facts else None),
        ("training", duration(facts["train_seconds"]) if "train_seconds" in facts else None),
        ("whole run", duration(facts["total_seconds"]) if "total_seconds" in facts else None),
        ("begun from", facts.get("init_from")),
        *facts.get("versions", {}).items(),
    ]
    return [(name, str(value)) for name, value in found if value is not None]


def _commands(run: RunRecord) -> list[tuple[str, str]]:
    recipe = f"python -m recipes.{run.facts['recipe']}"
    folder = shlex.quote(str(run.path))
    model = shlex.quote(str(run.path / "model"))
    return [
        ("Use the model", f"{recipe} predict --model {model}"),
        ("Use it in Python", f"import zoo\n\nmodel = zoo.from_pretrained({str(run.path / 'model')!r})"),
        ("Score it again", f"{recipe} test --model {folder}"),
        ("Repeat the run", f"{recipe} --config {shlex.quote(str(run.path / 'config.yaml'))} --out NEW_FOLDER"),
        ("How it was started", str(run.facts.get("command", ""))),
    ]
