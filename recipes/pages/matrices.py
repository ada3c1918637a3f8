"""Matrices as SVG that a page contains: confusions of labels, and attention."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from recipes.pages.charts import svg
from recipes.pages.html import visible

# Of a heat map, fainter cells are not drawn.
FAINTEST = 0.02


def matrix(counts: Sequence[Sequence[int]], gold: Sequence[str], predicted: Sequence[str]) -> Markup:
    """Draws how often each gold label (row) was predicted as each label (column), in per cent of the row."""
    cell = max(17.0, min(56.0, 620 / len(predicted)))
    font = min(12.0, max(7.5, 0.36 * cell))
    row_names = [visible(label) for label in gold]
    column_names = [visible(label) for label in predicted]
    left = 14 + max(map(_text_width, row_names))
    top = 14 + max(map(_text_width, column_names))
    width, height = left + cell * len(predicted) + 2, top + cell * len(gold) + 2
    parts: list[str] = [_names(row_names, column_names, left, top, cell)]
    for i, (label, row) in enumerate(zip(gold, counts, strict=True)):
        down = top + i * cell
        across = cell * len(predicted)
        parts.append(f'<rect class="row" x="{left:.1f}" y="{down:.1f}" width="{across:.1f}" height="{cell - 1:.1f}"/>')
        for j, count in enumerate(row):
            if count:
                share = count / sum(row)
                right = predicted[j] == label
                parts.append(_cell(left + j * cell, down, cell, font, share, right))
                parts.append(Markup("<title>{} → {}: {:,}</title></g>").format(row_names[i], column_names[j], count))
    return svg("".join(parts), width, height, "matrix")


def heat_map(shares: Sequence[Sequence[float]], columns: Sequence[str], rows: Sequence[str]) -> Markup:
    """Draws shares of 0 to 1 as colours; columns and rows have names."""
    cell = 17.0
    column_names = [visible(name) for name in columns]
    row_names = [visible(name) for name in rows]
    left = 14 + max(map(_text_width, row_names))
    top = 14 + max(map(_text_width, column_names))
    parts: list[str] = [_names(row_names, column_names, left, top, cell)]
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if share >= FAINTEST:
                parts.append(
                    f'<rect class="heated" x="{left + j * cell:.1f}" y="{top + i * cell:.1f}" width="{cell - 1:.1f}" '
                    f'height="{cell - 1:.1f}" fill-opacity="{share:.2f}"/>'
                )
    return svg("".join(parts), left + cell * len(columns) + 2, top + cell * len(rows) + 2, "matrix")


def _names(rows: Sequence[str], columns: Sequence[str], left: float, top: float, cell: float) -> str:
    """The names of the rows and columns of a matrix that begins at `left` and `top`."""
    column = Markup('<text class="label" transform="translate({:.1f},{:.1f})rotate(-90)">{}</text>')
    row = Markup('<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>')
    names = [column.format(left + (j + 0.5) * cell + 4, top - 6, name) for j, name in enumerate(columns)]
    names += [row.format(left - 6, top + (i + 0.5) * cell + 4, name) for i, name in enumerate(rows)]
    return "".join(names)


def _cell(x: float, y: float, size: float, font: float, share: float, right: bool) -> str:
    """A coloured cell with its per cent; it is left open for a title."""
    opacity = share if right else share**0.5
    kind = "hit" if right else "miss"
    text = f"{100 * share:.0f}" if share >= 0.0095 else "·"
    return (
        f'<g class="{kind}{" deep" if opacity > 0.55 else ""}">'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size - 1:.1f}" height="{size - 1:.1f}" fill-opacity="{opacity:.2f}"/>'
        f'<text x="{x + size / 2 - 0.5:.1f}" y="{y + size / 2 + font * 0.36:.1f}" font-size="{font:.1f}">{text}</text>'
    )


def _text_width(text: str) -> float:
    """About how wide a text of 11 units is drawn. Characters of Chinese are twice as wide as others."""
    return sum(11.5 if ord(character) > 0x2E7F else 6.6 for character in text)
