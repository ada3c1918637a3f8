"""Writes the page of a run, `report.html`: one file that needs nothing else."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recipes.pages.data_views import data_view
from recipes.pages.example_views import view, visible
from recipes.pages.labels import label_scores_of
from recipes.pages.run_record import RunRecord
from recipes.pages.run_views import (
    attention_rows,
    baseline_tables,
    calibration_charts,
    confusion_view,
    learning_curves,
    score_row,
)
from recipes.reports.examples import chosen
from recipes.reports.scores.resampling import resamplings
from recipes.runner.run_folder import RunFolder
from recipes.runner.whole_files import replacing
from zoo.metrics.display import score_format

TEMPLATES = Path(__file__).with_name("templates")
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


def try_page(folder: RunFolder) -> None:
    """Writes the page of a run that has just ended, or warns: whatever fails here, the run has its scores."""
    try:
        write_page(folder.path)
        print(f"page:  {folder.page}")
    except Exception as error:
        warnings.warn(f"there is no {folder.page}: {type(error).__name__}: {error}")


def save(text: str, path: Path) -> None:
    """Writes a page as a whole."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page, in which all texts are escaped that are not HTML of ours."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    style = Markup((TEMPLATES / "style.css").read_text("utf-8"))
    return environment.get_template(template).render(style=style, **context)


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
        "at_random": [view(one, run.task) for one in choice.at_random],
        "num_examples": f"{len(run.examples):,}",
        "attention": [attention_rows(one) for one in run.attention],
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
        found.append((name.replace("val/", "dev ").replace("_", " "), score_format(name).text(value)))
    if "epochs" in facts:
        found.append(("epochs", f"{facts['epochs']:g}"))
    if "train_seconds" in facts:
        found.append(("training", duration(facts["train_seconds"])))
    if "parameters" in facts:
        found.append(("parameters", f"{facts['parameters']:,}"))
    return found


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `3 min 5 s`, `2 h 7 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


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


def shown_setting(value: object) -> str:
    """A setting as a person would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(shown_setting, value)) or "none"
    return "none" if value is None else str(value)


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
