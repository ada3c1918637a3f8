"""The pictures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import torch
from torch import Tensor

# This backend, which needs no screen, is chosen before pyplot is imported.
matplotlib.use("Agg")
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recipes.reports.confusions import SHOWN, Confusions, most_confused
from zoo.explanation.pictures import font_families
from zoo.metrics.display import score_format

# The largest number of columns in a picture of attention.
ATTENDED = 60
# The largest number of curves of precision and recall.
CURVES = 20
DARK, LIGHT = "#1f4e79", "#c0504d"
plt.rcParams["font.family"] = font_families()


def learning_curve(rows: Sequence[Mapping[str, float]], best: Mapping[str, float], monitor: str, path: Path) -> Path:
    """Draws the training and dev loss, and the dev score that chooses the checkpoint, by epoch.

    Args:
        rows: one for each validation.
        best: the row of the checkpoint that was chosen.
        monitor: the name of the score that chooses.
        path: where the picture is written.
    """
    epochs = [row["epochs"] for row in rows]
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, colour in (("train/loss", DARK), ("val/loss", LIGHT)):
        losses.plot(epochs, [row[name] for row in rows], "o-", ms=3, color=colour, label=name)
    losses.set(xlabel="epoch", ylabel="loss")
    losses.legend(frameon=False)
    format = score_format(monitor)
    scores.plot(epochs, [format.scale * row[monitor] for row in rows], "o-", ms=3, color=DARK)
    chosen = (best["epochs"], format.scale * best[monitor])
    scores.plot(*chosen, "o", ms=9, mfc="none", color=LIGHT)
    scores.annotate(format.number(best[monitor]), chosen, xytext=(0, -16), textcoords="offset points", ha="center")
    scores.set(xlabel="epoch", ylabel=f"{monitor} ({format.unit})" if format.unit else monitor)
    for axes in (losses, scores):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def confusion_matrix(
    counts: Sequence[Sequence[int]], gold: Sequence[str], predicted: Sequence[str], path: Path
) -> Path:
    """Draws how often each gold label (row) was predicted as each label (column), in per cent of the row.

    If there are more than `SHOWN` labels, it shows those with the most mistakes.
    """
    title = "per cent of each gold label"
    if len(predicted) > SHOWN:
        title += f";\nthe {SHOWN} of {len(predicted)} labels with most mistakes"
    shown = most_confused(Confusions(list(map(list, counts)), list(gold), list(predicted)))
    totals = {label: max(1, sum(row)) for label, row in zip(gold, counts, strict=True)}
    shares = [[100 * n / totals[label] for n in row] for label, row in zip(shown.gold, shown.counts, strict=True)]
    gold, predicted = shown.gold, shown.predicted
    size = max(4.0, 0.42 * len(predicted) + 1.6)
    figure, axes = plt.subplots(figsize=(size, size), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if share:
                text = f"{share:.0f}" if share >= 0.95 else f".{max(1, round(10 * share))}"
                axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if share > 55 else "black")
    axes.set_xticks(range(len(predicted)), _literal(predicted), rotation=90)
    axes.set_yticks(range(len(gold)), _literal(gold))
    axes.set(xlabel="predicted", ylabel="gold", title=title)
    return _save(figure, path)


def worst_confusions(mistakes: Sequence[tuple[str, str, int]], path: Path) -> Path:
    """Draws the most frequent mistakes as bars."""
    figure, axes = plt.subplots(figsize=(6, 0.28 * len(mistakes) + 1.2), layout="constrained")
    names = _literal([f"{gold} → {predicted}" for gold, predicted, _ in mistakes])
    bars = axes.barh(names, [count for *_, count in mistakes], color=DARK)
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="tokens", title="most frequent mistakes (gold → predicted)")
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def reliability(confidence: Tensor, right: Tensor, bins: int, path: Path) -> Path:
    """Draws the fraction of predictions that are right, by their probability.

    Args:
        confidence: the probability of each prediction, `(N,)`.
        right: whether it is right, `(N,)`.
        bins: the number of bins of equal width.
        path: where the picture is written.
    """
    figure, axes = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    place = (confidence * bins).long().clamp(max=bins - 1)  # (N,)
    counts = torch.bincount(place, minlength=bins)
    share = torch.bincount(place, weights=right.double(), minlength=bins) / counts.clamp(min=1)
    mean = torch.bincount(place, weights=confidence.double(), minlength=bins) / counts.clamp(min=1)
    filled = counts > 0
    sizes = (8 + 300 * counts[filled] / counts.sum()).tolist()
    axes.plot([0, 1], [0, 1], color="grey", lw=1, ls="--", label="perfectly calibrated")
    axes.plot(mean[filled].tolist(), share[filled].tolist(), color=DARK, lw=1)
    axes.scatter(mean[filled].tolist(), share[filled].tolist(), s=sizes, color=DARK)
    axes.set(xlabel="probability of the prediction", ylabel="share that is right", ylim=(-0.03, 1.03))
    axes.set_title("the larger a dot, the more predictions", fontsize=10)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def precision_recall(curves: Mapping[str, tuple[Tensor, Tensor, float]], path: Path) -> Path:
    """Draws precision by recall, a curve for each label: its precisions, its recalls and its average precision.

    If there are more than `CURVES` labels, it shows those with the lowest average precision.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    total = len(curves)
    if total > CURVES:
        curves = {label: curves[label] for label in sorted(curves, key=lambda label: curves[label][2])[:CURVES]}
        axes.set_title(f"the {CURVES} of {total} labels with the lowest average precision", fontsize=10)
    for label, (precision, recall, average) in zip(_literal(list(curves)), curves.values(), strict=True):
        axes.step(recall.tolist(), precision.tolist(), where="post", lw=1.4, label=f"{label} ({100 * average:.1f})")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
    figure.legend(frameon=False, loc="outside right upper", title="label (average\nprecision)")
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def attention(weights: Tensor, source: Sequence[str], target: Sequence[str], path: Path) -> Path:
    """Draws attention: a row for each piece of the output, a column for each piece of the source.

    Args:
        weights: `(T, S)`; of more than `ATTENDED` columns those with the highest weights are drawn.
        source: S pieces.
        target: T pieces.
        path: where the picture is written.
    """
    shown = weights.amax(0).topk(min(len(source), ATTENDED)).indices.sort().values
    weights = weights[:, shown]
    source = [source[i] for i in shown.tolist()]
    size = (max(4.0, 0.26 * len(source) + 1.6), max(2.4, 0.26 * len(target) + 1.4))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    # Attention to many pieces has low weights, so the highest one gets the darkest colour.
    axes.imshow(weights.tolist(), cmap="Blues", vmin=0, vmax=max(float(weights.max()), 1e-9), aspect="auto")
    axes.set_xticks(range(len(source)), _literal(drawable(source)), rotation=90, fontsize=8)
    axes.set_yticks(range(len(target)), _literal(drawable(target)), fontsize=8)
    axes.set(xlabel="source", ylabel="output")
    return _save(figure, path)


def _literal(names: Sequence[str]) -> list[str]:
    """Names for matplotlib, where a dollar begins a formula and a legend omits names that begin with `_`."""
    return [" " * name.startswith("_") + name.replace("$", r"\$") for name in names]


def drawable(names: Sequence[str]) -> list[str]:
    """Labels that a picture can show. If no installed font has their characters, these are #1, #2, ... in order."""
    fonts = [font_manager.get_font(font_manager.findfont(family)) for family in plt.rcParams["font.family"]]
    known = all(any(font.get_char_index(ord(c)) for font in fonts) for name in names for c in name)
    return list(names) if known else [f"#{number}" for number in range(1, len(names) + 1)]


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
