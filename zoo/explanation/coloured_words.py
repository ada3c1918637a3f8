"""Words with a coloured background, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from zoo.text.reversible import SPACE

# Blue and orange are told apart by almost everybody. Through a background that is not opaque, text in the colour of the
# page stays readable, dark on light and light on dark.
FOR, AGAINST = "31,119,200", "230,120,20"
OPACITY = 0.7


def coloured_words(tokens: Sequence[str], values: Sequence[float], title: str) -> str:
    """Tokens in a row, each in a colour for its value: blue above zero, orange below. The largest has the full colour.

    Args:
        tokens: they may have any characters. What is no text in a file is replaced.
        values: of each token.
        title: what is written above them.
    """
    largest = max(map(abs, values), default=0.0) or 1.0
    spans = [_span(token, value, abs(value) / largest) for token, value in zip(tokens, values, strict=True)]
    return (
        f'<div style="line-height:1.9;overflow-wrap:anywhere"><div style="font-size:smaller">{plain(title)}</div>'
        f"{' '.join(spans)}</div>"
    )


def plain(text: str) -> str:
    """A text as HTML: escaped, with a mark in the place of control characters and of halves of surrogate pairs."""
    readable = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return escape(readable)


def _span(token: str, value: float, strength: float) -> str:
    colour = FOR if value > 0 else AGAINST
    word = token.replace(SPACE, "") or token
    style = f"background:rgba({colour},{OPACITY * strength:.2f});border-radius:.25em;padding:.1em .2em"
    return f'<span style="{style}" title="{value:+.4g}">{plain(word)}</span>'
