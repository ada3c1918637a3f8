"""HTML pages from templates: texts are escaped, and what HTML cannot hold is made visible."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recipes.runner.whole_files import replacing

TEMPLATES = Path(__file__).with_name("templates")
# Tabs and ends of lines are white space in HTML, too.
PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"} | {0x7F: 0x2421}
PICTURES |= dict.fromkeys(range(128, 160), 65533)


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page, in which all texts are escaped that are not HTML of ours."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    style = Markup((TEMPLATES / "style.css").read_text("utf-8"))
    return environment.get_template(template).render(style=style, **context)


def save(text: str, path: Path) -> None:
    """Writes a page as a whole."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `3 min 5 s`, `2 h 7 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def shown_setting(value: object) -> str:
    """A setting as a person would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(shown_setting, value)) or "none"
    return "none" if value is None else str(value)


def finalize(value: object) -> object:
    """A value for a template. Texts that are HTML already, such as a chart, have been made of visible texts."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def visible(text: str) -> str:
    """A text without the characters that HTML does not have.

    Control characters become their pictures (U+2400 and following), and lone surrogates their escapes.
    """
    if text.isprintable():
        return text
    return text.translate(PICTURES).encode("utf-8", "backslashreplace").decode("utf-8")
