"""The flag `--explain` of `predict`: what explains an answer is a field of JSON Lines, or coloured words in a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from jsonargparse import Namespace

from recipes.runner.parser import Parser, one_of
from zoo.errors import ZooError
from zoo.explanation.coloured_words import plain
from zoo.explanation.explain import explain
from zoo.explanation.explanation import Explanation
from zoo.explanation.methods import METHODS
from zoo.explanation.words import output_words
from zoo.models.seq2seq import Seq2Seq
from zoo.text.units import split_units

# HTML closes an open page by itself, so that answers can be added to it one by one.
PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>body {{ font-family: system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}</style></head>
<body>
"""


def add_explain_flag(parser: Parser) -> None:
    """Adds `--explain`."""
    parser.add_argument(
        "--explain",
        type=one_of(METHODS) | None,
        help="Add what each token adds to an answer, by this method: in JSON Lines, or as a page with --format html.",
    )


def explained_format(options: Namespace, usual: str) -> str:
    """The format of the output.

    Args:
        options: the flags, with `--explain` and `--format`.
        usual: the format without flags.

    Raises:
        ZooError: the format cannot show explanations, or can show nothing else.
    """
    format: str = options.format or ("jsonl" if options.explain else usual)
    if options.explain and format not in ("jsonl", "html"):
        raise ZooError(f"--explain gives a list for each text: use --format jsonl or html, not {format}")
    if format == "html" and not options.explain:
        raise ZooError("--format html shows explanations: add --explain integrated_gradients")
    return format


def page_header(options: Namespace) -> str:
    """The beginning of a page of explanations."""
    return PAGE.format(title=plain(f"{options.model}, {options.explain}"))


def fields_of(explanation: Explanation | None) -> dict[str, object] | None:
    """An explanation as a field of JSON Lines; None for a text without tokens."""
    if explanation is None:
        return None
    return {**asdict(explanation), "completeness_gap": explanation.completeness_gap}


def paragraph(explanations: Sequence[Explanation]) -> str:
    """The explanations of one answer as a part of a page."""
    return f"<article>{''.join(explanation.html() for explanation in explanations)}</article>\n"


def word_explanations(model: Seq2Seq, text: str, output: str, method: str) -> list[Explanation]:
    """An explanation of each word of the output for a text, or of the outputs for each of its sentences."""
    units = split_units(text, model.unit)
    outputs = [output] if len(units) == 1 else model.predict(units)
    return [
        explain(model, [unit], method=method, output=of_unit, position=position)[0]
        for unit, of_unit in zip(units, outputs, strict=True)
        for position, _ in enumerate(output_words(model, of_unit)[:-1])
    ]
