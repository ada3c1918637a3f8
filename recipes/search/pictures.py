"""The pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from recipes.reports import figures
from recipes.search.study import DEFAULTS, number_of
from zoo.metrics.display import higher_is_better, score_format


def history(trials: Sequence[FrozenTrial], monitor: str, path: Path) -> Path:
    """Draws the score of each trial, and the best one so far.

    Args:
        trials: those that are finished.
        monitor: the name of the score.
        path: where the picture is written.
    """
    format = score_format(monitor)
    figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for state, label, face in ((TrialState.COMPLETE, "complete", figures.DARK), (TrialState.PRUNED, "stopped", "none")):
        chosen = [trial for trial in trials if trial.state == state]
        numbers = [number_of(trial) for trial in chosen]
        scores = [format.scale * trial.values[0] for trial in chosen]
        if chosen:
            axes.plot(numbers, scores, "o", ms=5, color=figures.DARK, mfc=face, label=label)
    complete = sorted((trial for trial in trials if trial.state == TrialState.COMPLETE), key=number_of)
    best = max if higher_is_better(monitor) else min
    scores = [format.scale * trial.values[0] for trial in complete]
    best_so_far = [best(scores[: i + 1]) for i in range(len(scores))]
    axes.step([number_of(trial) for trial in complete], best_so_far, where="post", color=figures.LIGHT, label="best")
    for trial in complete:
        if DEFAULTS in trial.user_attrs:
            axes.axhline(format.scale * trial.values[0], color="grey", lw=1, ls="--", label="the defaults")
    axes.set(xlabel="trial", ylabel=f"{monitor} ({format.unit})" if format.unit else monitor)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right upper")
    return _save(figure, path)


def importances(shares: Mapping[str, float], path: Path) -> Path:
    """Draws how much each flag matters, the most important one on top.

    Args:
        shares: numbers that add up to 1, by flag, in falling order.
        path: where the picture is written.
    """
    figure, axes = plt.subplots(figsize=(7, 0.32 * len(shares) + 1.2), layout="constrained")
    bars = axes.barh(list(shares), list(shares.values()), color=figures.DARK)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    # The names of flags leave little room below the axis.
    figure.supxlabel("share of the importance for the best tenth of the trials (PED-ANOVA)", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
