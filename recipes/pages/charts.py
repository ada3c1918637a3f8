"""Charts as SVG that a page contains: text is text, and all colours are classes of the page's style.

A chart is drawn `WIDTH` units wide, so that its text is readable at the width of a telephone too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 360
HEIGHT = 230
LEFT = 46
RIGHT = 12
TOP = 10
BOTTOM = 36
# About so many labels fit on an axis.
TICKS = 5


@dataclass(frozen=True)
class Line:
    """Points to join by a line.

    Args:
        points: x and y of each point; a point that is not finite interrupts the line.
        style: the number of its colour.
        steps: whether the line keeps its height until the next point.
        dots: the radius of a dot at each point; empty for no dots.
        ring: the index of a point to ring, such as the best epoch.
    """

    points: Sequence[tuple[float, float]]
    style: int = 0
    steps: bool = False
    dots: Sequence[float] = ()
    ring: int | None = None


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`."""

    low: float
    high: float
    name: str

    @classmethod
    def around(cls, values: Sequence[float], name: str) -> Axis:
        """An axis that holds values, with a little room."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low - room, high + room, name)

    def ticks(self) -> list[float]:
        """Round numbers within the axis."""
        step = _round_step((self.high - self.low) / TICKS)
        first = math.ceil(self.low / step)
        last = math.floor(self.high / step)
        return [round(i * step, 10) for i in range(first, last + 1)]


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, *, diagonal: bool = False) -> Markup:
    """Draws lines over two axes; `diagonal` adds a dashed line from corner to corner."""

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = LEFT + (point[0] - x.low) / (x.high - x.low) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (point[1] - y.low) / (y.high - y.low) * (HEIGHT - TOP - BOTTOM)
        return across, down

    parts = [_axes(x, y, place)]
    if diagonal:
        start, end = place((x.low, x.low)), place((x.high, x.high))
        parts.append(f'<path class="dashed" d="M{_pair(start)}L{_pair(end)}"/>')
    for line in lines:
        placed = [place(point) if all(map(math.isfinite, point)) else None for point in line.points]
        parts.append(f'<path class="line s{line.style}" d="{_path(placed, steps=line.steps)}"/>')
        for point, radius in zip(placed, line.dots, strict=False):
            if point is not None:
                parts.append(
                    f'<circle class="dot s{line.style}" cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="{radius:.1f}"/>'
                )
        ringed = None if line.ring is None else placed[line.ring]
        if ringed is not None:
            parts.append(f'<circle class="ring" cx="{ringed[0]:.1f}" cy="{ringed[1]:.1f}" r="6"/>')
    return svg("".join(parts), WIDTH, HEIGHT)


def histogram(counts: Sequence[int], bar: int, name: str) -> Markup:
    """Draws how many examples there are of each `bar` lengths, the last bar being of all longer ones."""
    width, height, bottom = 360, 96, 30
    highest = max([*counts, 1])
    step = width / len(counts)
    parts = []
    for i, count in enumerate(counts):
        tall = (height - bottom - 4) * count / highest
        parts.append(
            f'<rect class="bar" x="{i * step + 1:.1f}" y="{height - bottom - tall:.1f}" width="{step - 2:.1f}" '
            f'height="{tall:.1f}"><title>{i * bar + 1}–{(i + 1) * bar}: {count}</title></rect>'
        )
    parts.append(f'<path class="axis" d="M0,{height - bottom}H{width}"/>')
    longest = f"{(len(counts) - 1) * bar + 1}+"
    parts.append(f'<text class="tick" x="0" y="{height - 14}">1</text>')
    parts.append(f'<text class="tick" x="{width}" y="{height - 14}" text-anchor="end">{longest}</text>')
    parts.append(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(width / 2, height - 14, name)
    )
    return svg("".join(parts), width, height)


def _axes(x: Axis, y: Axis, place: object) -> str:
    parts = []
    scale_x = (WIDTH - LEFT - RIGHT) / (x.high - x.low)
    scale_y = (HEIGHT - TOP - BOTTOM) / (y.high - y.low)
    for tick in y.ticks():
        down = HEIGHT - BOTTOM - (tick - y.low) * scale_y
        parts.append(f'<path class="grid" d="M{LEFT},{down:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{down + 4:.1f}" text-anchor="end">{_label(tick)}</text>')
    for tick in x.ticks():
        across = LEFT + (tick - x.low) * scale_x
        parts.append(
            f'<text class="tick" x="{across:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_label(tick)}</text>'
        )
    parts.append(f'<path class="axis" d="M{LEFT},{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(middle, HEIGHT - 4, x.name)
    )
    return "".join(parts)


def _path(points: Sequence[tuple[float, float] | None], *, steps: bool) -> str:
    path = ""
    before = None
    for point in points:
        if point is not None:
            if before is None:
                path += f"M{_pair(point)}"
            else:
                path += f"H{point[0]:.1f}V{point[1]:.1f}" if steps else f"L{_pair(point)}"
        before = point
    return path


def _pair(point: tuple[float, float]) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... that is not below `least`."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def _label(value: float) -> str:
    return f"{value:g}" if abs(value) < 10_000 else f"{value / 1000:g}k"


def svg(content: str, width: float, height: float, kind: str = "chart") -> Markup:
    # All texts in it have been escaped.
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{1.2 * width:.0f}px" role="img">'
        f"{content}</svg>"
    )
