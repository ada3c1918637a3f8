"""The pictures of explanations. matplotlib is loaded when one is drawn.

Shapes: T tokens, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.packages import require_extra
from zoo.text.reversible import SPACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The largest number of tokens in a picture.
DRAWN = 40
BLUE, ORANGE = "#1f77c8", "#e67814"
CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")


def font_families() -> list[str]:
    """The fonts of all pictures: matplotlib's own, and those that are installed and have Chinese characters."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in CHINESE if name in installed)]


def draw_attributions(tokens: Sequence[str], values: Sequence[float], title: str, unit: str) -> Figure:
    """A bar for each token, blue above zero and orange below.

    Args:
        tokens: T tokens; of more than `DRAWN`, those with the largest values are drawn.
        values: of each token.
        title: of the picture.
        unit: what the values are.
    """
    order = sorted(range(len(tokens)), key=lambda place: -abs(values[place]))
    drawn = sorted(order[:DRAWN])
    figure = _figure(width=max(3.6, 0.42 * len(drawn) + 1.2), height=2.6)
    axes = figure.subplots()
    heights = [values[place] for place in drawn]
    axes.bar(range(len(drawn)), heights, color=[BLUE if height > 0 else ORANGE for height in heights])
    axes.axhline(0, color="grey", lw=0.8)
    axes.set_ylabel(unit, fontfamily=font_families())
    axes.set_title(title, fontfamily=font_families(), fontsize=10, parse_math=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    _name_tokens(axes, [tokens[place] for place in drawn])
    return figure


def draw_gates(tokens: Sequence[str], gates: Mapping[str, Tensor], title: str) -> Figure:
    """A heat map for each gate: a column for each token, a row for each hidden unit.

    Args:
        tokens: T tokens.
        gates: by name, `(T, H)` from 0 to 1.
        title: of the picture.
    """
    figure = _figure(width=max(4.2, 0.3 * len(tokens) + 1.6), height=1.7 * len(gates) + 1.0)
    rows = figure.subplots(len(gates), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, gates.items(), strict=True):
        image = axes.imshow(values.T.tolist(), cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_ylabel(name)
        axes.set_yticks([])
    figure.colorbar(image, ax=list(rows), label="0 closed, 1 open")
    figure.suptitle(title, fontfamily=font_families(), fontsize=10, parse_math=False)
    _name_tokens(rows[-1], tokens)
    return figure


def _figure(width: float, height: float) -> Figure:
    """A new figure, which belongs to no window and changes no setting of its user."""
    require_extra("train")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _name_tokens(axes: Axes, tokens: Sequence[str]) -> None:
    names = [token.replace(SPACE, "") or token for token in tokens]
    # A dollar would begin a formula.
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontfamily=font_families(), parse_math=False)
