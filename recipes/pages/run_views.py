"""The sections of a page that show how good a run is: scores, curves, confusions, calibration, attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recipes.pages import charts
from recipes.pages.charts import Axis, Line
from recipes.pages.labels import calibration_of, confusions_of, curves_of, mistakes_of
from recipes.pages.matrices import heat_map, matrix
from recipes.pages.run_record import RunRecord
from recipes.reports.confusions import most_confused
from recipes.reports.scores.resampling import Interval
from recipes.runner.callbacks import best_row
from zoo.batches.predictions import Attended
from zoo.metrics.display import ScoreFormat, score_format

MISTAKES = 20
ABBREVIATIONS = {"f1": "F1", "ece": "calibration error", "auroc": "AUROC", "bleu": "BLEU", "chrf": "chrF"}
ABBREVIATIONS |= {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
# More labels than these are not drawn in a narrow window.
NARROW = 12
# Attention is shown of so many pieces of a text, to so many pieces of its source.
WRITTEN = 40
ATTENDED = 60
# In a narrow window, of each piece so many pieces of its source.
MOST_ATTENDED = 3


def score_row(run: RunRecord, name: str) -> dict[str, str]:
    """A score as it is printed, with its interval if it has one."""
    format = format_of(name)
    value = run.scores.get(name)
    interval = run.intervals.get(name)
    if value is None and interval is not None:
        value = interval.value
    return {
        "name": printed_name(name),
        "text": format.text(float("nan") if value is None else value),
        "span": "" if interval is None else span(name, interval),
    }


def format_of(name: str) -> ScoreFormat:
    """The format of a score, or of one of single texts: `word perplexity of single texts` prints as the other one."""
    return score_format(name.partition(" of ")[0].replace(" ", "_"))


def printed_name(name: str) -> str:
    """The name of a score for people, with or without the stage before it: `dev macro F1`."""
    words = name.replace("val/", "dev ").replace("test/", "").replace("_", " ").split(" ")
    return " ".join(ABBREVIATIONS.get(word, word) for word in words)


def span(name: str, interval: Interval) -> str:
    """An interval as it is printed: `95.12 – 96.30`."""
    format = format_of(name)
    return f"{format.number(interval.low)} – {format.number(interval.high)}"


def baseline_tables(run: RunRecord, monitor: str) -> list[dict[str, Any]]:
    """For each score that baselines have: what they and the run reach, best first."""
    baselines: Sequence[Mapping[str, Any]] = run.facts.get("baselines") or []
    own = {"name": "this run", "scores": run.facts["scores"], "own": True}
    tables = []
    names = dict.fromkeys(name for baseline in baselines for name in baseline["scores"])
    for name in sorted(names, key=lambda name: not name.endswith(monitor)):
        rows = [one for one in [*baselines, own] if one["scores"].get(name) is not None]
        highest = max(abs(one["scores"][name]) for one in rows) or 1
        format = score_format(name)
        rows.sort(key=lambda one: one["scores"][name], reverse=format.higher_is_better is not False)
        shown = [
            {
                "name": one["name"],
                "own": one.get("own", False),
                "text": format.text(one["scores"][name]),
                "width": f"{100 * abs(one['scores'][name]) / (1 if format.percent else highest):.0f}",
            }
            for one in rows
        ]
        tables.append({"score": printed_name(name.rpartition("/")[2]), "rows": shown})
    return tables


def learning_curves(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """The losses and the score that chooses the checkpoint, by epoch; of several runs, all in one picture."""
    monitors = list(dict.fromkeys(next(iter(run.facts["best_dev"])) for run in runs))
    shown = [("training loss", "train/loss"), ("dev loss", "val/loss")]
    shown += [(printed_name(name), name) for name in monitors if name != "val/loss"]
    # The losses of one run belong into one picture.
    groups = [shown[:2], *([one] for one in shown[2:])] if len(runs) == 1 else [[one] for one in shown]
    found = []
    for group in groups:
        lines = []
        for title, name in group:
            format = score_format(name)
            for number, run in enumerate(runs):
                rows = [row for row in run.curve if name in row]
                points = [(row["epochs"], format.scale * row[name]) for row in rows]
                ring = rows.index(best_row(rows, name)) if rows and name in monitors else None
                style = number if len(group) == 1 else group.index((title, name))
                lines.append(Line(points, style % 8, dots=[2.2] * len(points), ring=ring))
        points = [point for line in lines for point in line.points]
        if not points:
            continue
        x = Axis(0, max(epoch for epoch, _ in points), "epoch")
        y = Axis.around([value for _, value in points], "")
        unit = score_format(group[0][1]).unit
        title = " and ".join(title for title, _ in group) + (f", {unit}" if unit else "")
        names = [title for title, _ in group] if len(group) > 1 else []
        found.append({"title": title, "picture": charts.line_chart(lines, x, y), "names": names})
    return found


def confusion_view(run: RunRecord) -> dict[str, Any] | None:
    whole = confusions_of(run)
    if whole is None or not whole.counts:
        return None
    shown = most_confused(whole)
    mistakes = mistakes_of(whole, MISTAKES)
    highest = mistakes[0][2] if mistakes else 1
    return {
        "picture": matrix(shown.counts, shown.gold, shown.predicted),
        "shown": len(shown.predicted),
        "hidden": len(whole.predicted) - len(shown.predicted),
        "is_large": len(shown.predicted) > NARROW,
        "mistakes": [
            {"gold": gold, "predicted": predicted, "count": count, "width": f"{100 * count / highest:.0f}"}
            for gold, predicted, count in mistakes
        ],
    }


def calibration_charts(run: RunRecord) -> list[dict[str, Any]]:
    if run.kind != "classification" or not run.examples:
        return []
    bins = calibration_of(run)
    total = sum(count for *_, count in bins)
    dots = [2 + 9 * (count / total) ** 0.5 for *_, count in bins]
    line = Line([(mean, right) for mean, right, _ in bins], dots=dots)
    unit = Axis(0, 1, "probability of the prediction")
    reliability = charts.line_chart([line], unit, Axis(0, 1.03, ""), diagonal=True)
    found = [{"title": "Fraction that is right, by probability", "picture": reliability, "names": []}]
    curves = curves_of(run)
    if curves:
        lines = [Line(curve.points, number, steps=True) for number, curve in enumerate(curves)]
        found.append(
            {
                "title": "Precision by recall",
                "picture": charts.line_chart(lines, Axis(0, 1, "recall"), Axis(0, 1.03, "")),
                "names": [f"{curve.label} (average precision {100 * curve.average_precision:.1f})" for curve in curves],
            }
        )
    return found


def attention_view(attended: Attended) -> dict[str, Any]:
    """The attention to each piece of a source, relative to the highest weight.

    Of a label it is one row of coloured pieces; of a written text it is a picture, and a list of the most attended
    pieces for windows that are too narrow for the picture.
    """
    source = attended.source[:ATTENDED]
    weights = attended.weights[:WRITTEN, :ATTENDED]
    shares = (weights / weights.max().clamp(min=1e-9)).tolist()
    target = attended.target[:WRITTEN]
    if len(target) == 1:
        pieces = [{"text": text, "heat": round(85 * share)} for text, share in zip(source, shares[0], strict=True)]
        return {"label": target[0], "pieces": pieces}
    rows = []
    for piece, of_piece in zip(target, weights.tolist(), strict=True):
        best = sorted(zip(of_piece, source, strict=True), key=lambda one: -one[0])[:MOST_ATTENDED]
        rows.append((piece, [(text, f"{weight:.2f}") for weight, text in best]))
    return {"label": "", "picture": heat_map(shares, source, target), "rows": rows}
