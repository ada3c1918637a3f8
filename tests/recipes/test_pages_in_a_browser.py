"""Pages of runs on real corpora in headless Chromium: no error, no request, all sections, no sideways scrolling."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from small_runs import SMALL, TINY

from recipes import pos_tagging, sentiment
from recipes.compare.__main__ import main as compare
from recipes.pages.page import SECTIONS
from recipes.runner.cli import main

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
    pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="ZOO_DATA is not set: the real corpora are not at hand"),
]
FEW = [
    "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1",
    "--trainer.limit_test_batches=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    main(pos_tagging.RECIPE, [f"--out={folder}/ewt", "--data.dataset=ud-en-ewt", "--data.column=xpos", *FEW, *TINY])
    attention = "--model.pooling=max+attention"
    main(sentiment.RECIPE, [f"--out={folder}/shop", "--data.dataset=shopping-zh", attention, *FEW, *SMALL])
    compare([f"{folder}/ewt", f"{folder}/ewt", f"--out={folder}/comparison.html"])
    return folder


@pytest.mark.parametrize(
    "page, missing",
    [
        ("ewt/report.html", {"calibration", "attention"}),
        ("shop/report.html", set()),
        ("comparison.html", None),
    ],
)
def test_pages_are_readable_at_every_width(page, missing, runs, browser):
    for width in (360, 1280):
        for dark in (False, True):
            browser.open(runs / page, width=width, dark=dark)
            assert not browser.told("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
            asked = [event["request"]["url"] for event in browser.told("Network.requestWillBeSent")]
            assert asked == [(runs / page).resolve().as_uri()]
            browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            needed, there = browser.evaluate("(e => [e.scrollWidth, e.clientWidth])(document.documentElement)")
            assert needed <= there == width
            ids = browser.evaluate("[...document.querySelectorAll('section')].map(one => one.id)")
            if missing is not None:
                assert ids == [name for name in SECTIONS if name not in missing]
            # A page that ignored the scheme would have one colour in both.
            paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, paper[4:-1].split(","))) < 200) == dark
