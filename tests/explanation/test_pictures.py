"""Explanations as HTML and as pictures, of tokens with any characters."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import pytest
import torch

import zoo
from zoo.errors import ZooError

STRANGE = (
    "<script>alert(1)</script>",
    "&amp;",
    "\ud83d",
    "\x00\x1b[31m",
    '"quoted"',
    "$x$",
    "_dog",
    "▁苹果",
    "▁",
    "שלום",
)


def explanation(tokens: tuple[str, ...]) -> zoo.Explanation:
    values = tuple((-1) ** place * (place + 1.0) for place in range(len(tokens)))
    return zoo.Explanation(tokens, values, "<b>$good$</b>", "occlusion", score=1.0, baseline_score=0.0)


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_html_has_each_token_as_text_that_can_be_written_to_a_file():
    html = explanation(STRANGE).html()
    page = Reader(html.encode("utf-8").decode("utf-8"))
    assert page.tags == ["div", "div", *["span"] * len(STRANGE)]
    for token in ("<script>alert(1)</script>", "&amp;", '"quoted"', "$x$", "苹果", "שלום", "<b>$good$</b>"):
        assert token in page.text
    assert not any(ord(character) < 32 for character in page.text)
    assert explanation(STRANGE)._repr_html_() == html


def test_the_largest_attribution_has_the_full_colour_and_the_colour_of_its_sign():
    html = zoo.Explanation(("a", "b", "c"), (2.0, -1.0, 0.0), "good", "occlusion", 1.0, 0.0).html()
    assert re.findall(r"rgba\((.*?)\)", html) == ["31,119,200,0.70", "230,120,20,0.35", "230,120,20,0.00"]
    assert 'title="+2"' in html and 'title="-1"' in html
    # Words have the colour of the page.
    assert not re.search(r"[;\"]color:", html)


@pytest.mark.parametrize("tokens", [STRANGE, ("one",), tuple(f"token{i}" for i in range(100))], ids=len)
def test_a_picture_has_a_bar_for_each_of_the_strongest_tokens(tokens, tmp_path):
    figure = explanation(tokens).figure()
    (axes,) = figure.axes
    assert len(axes.patches) == min(len(tokens), 40)
    drawn = [label.get_text() for label in axes.get_xticklabels()]
    assert drawn == [token.replace("▁", "") or token for token in tokens[-40:]]
    if tokens != STRANGE:
        figure.savefig(tmp_path / "picture.svg")


def test_a_picture_needs_matplotlib_and_the_data_do_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("zoo.packages.find_spec", lambda name: None if name == "matplotlib" else object())
    made = explanation(("a", "b"))
    assert made.html()
    with pytest.raises(ZooError, match="install matplotlib"):
        made.figure()


def test_the_gates_of_a_text_are_drawn_as_heat_maps(tmp_path):
    gates = {"input": torch.rand(3, 4), "forget": torch.rand(3, 4)}
    activations = zoo.GateActivations(("a", "$b$", "c"), gates, cell="LSTM", layer=0, direction="forward")
    figure = activations.figure()
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == ["input", "forget"]
    figure.savefig(tmp_path / "gates.svg")
