"""The page of a run and the page of several: complete, self-contained, and safe whatever their texts are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_runs import TAGGING, made_run, tagged_examples

from recipes.compare.__main__ import main as compare
from recipes.pages import run_record
from recipes.pages.page import SECTIONS, try_page, write_page
from recipes.pages.run_record import RunRecord
from recipes.reports.examples import ScoredExample, write_examples
from recipes.runner.run_folder import RunFolder
from zoo.batches.predictions import Attended
from zoo.errors import ZooError

# What would run, or leave its place, if it were not escaped; characters that HTML does not have; other directions.
HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} & \" ' \x00\x1b\x9b \udc80 \u202e 中文"


class Outline(HTMLParser):
    """The elements of a page: their names, ids, and the addresses that they load or lead to."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src", "action", "data"):
                self.addresses.append(str(value))
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unbalanced.append(tag)


def assert_sound(page: Path) -> Outline:
    """Asserts that a page is whole, loads nothing and runs nothing."""
    text = page.read_text("utf-8")
    outline = Outline(text)
    assert not outline.open and not outline.unbalanced
    assert not outline.tags & {"script", "img", "iframe", "object"} and not outline.handlers
    assert all(address == "data:," or address[1:] in outline.ids for address in outline.addresses)
    assert not re.search(r"https?://|@import|url\(", text)
    assert len(outline.ids) == len(set(outline.ids))
    return outline


def test_the_page_of_a_tagger_has_its_sections(trained):
    outline = assert_sound(trained / "report.html")
    assert outline.ids == [name for name in SECTIONS if name not in ("calibration", "attention")]


def test_the_page_of_a_classifier_has_its_sections(classified):
    outline = assert_sound(classified / "report.html")
    assert outline.ids == list(SECTIONS)


def test_baselines_are_shown_beside_the_run(tmp_path):
    baselines = [{"name": "most frequent tag", "scores": {"test/accuracy": 0.5}}]
    folder = made_run(tmp_path / "run", tagged_examples(), baselines=baselines)
    page = write_page(folder)
    assert "baselines" in assert_sound(page).ids
    text = page.read_text("utf-8")
    assert re.search(r"this run<.*most frequent tag<.*>50.00 %<", text, re.DOTALL)


def test_scores_have_their_intervals(tmp_path):
    folder = made_run(tmp_path / "run", tagged_examples())
    run = RunRecord.read(folder)
    interval = run.intervals["accuracy"]
    text = write_page(folder).read_text("utf-8")
    assert f"{100 * interval.low:.2f} – {100 * interval.high:.2f}" in text
    # The loss of this run is not that of its examples, so it has no interval.
    assert "loss" not in run.intervals and "none for loss" in " ".join(text.split())


def test_texts_are_escaped(tmp_path):
    examples = [replace(one, source=[HOSTILE] * len(one.source)) for one in tagged_examples(4)]
    hostile = ScoredExample(9, [HOSTILE], [HOSTILE], ["X"], 9.0, 1, {"unknown": []})
    statistics = {"train": {**json.loads(json.dumps({})), **_statistics(), "labels": {HOSTILE: 3}}}
    folder = made_run(
        tmp_path / "run",
        [*examples, hostile],
        task={**TAGGING, "labels": [*TAGGING["labels"], HOSTILE]},
        data=statistics,
        split=HOSTILE,
        command=HOSTILE,
        recipe=HOSTILE,
        baselines=[{"name": HOSTILE, "scores": {"test/accuracy": 0.5}}],
    )
    page = write_page(folder)
    assert_sound(page)
    text = page.read_text("utf-8")
    # Each kind of place shows the text, and no place computes a template.
    assert (
        text.count("&lt;script&gt;alert(1)") > 8 and "{{ 7 * 7 }}" in text and "49" not in re.findall(r"> (49) &", text)
    )
    # Characters that HTML does not have are visible.
    assert "␀␛" in text and "\\udc80" in text and not set(text) & {"\x00", "\x1b", "\x9b"}
    out = tmp_path / "page.html"
    other = made_run(tmp_path / "other", [*examples, hostile], split=HOSTILE, settings=f"out: {json.dumps(HOSTILE)}\n")
    compare([str(folder), str(other), "--out", str(out)])
    assert_sound(out)


def _statistics() -> dict:
    return {
        "examples": 1, "tokens": 1, "lengths": [1] * 6, "histogram": [1], "bar": 1, "unknown": 0.0, "labels": {},
        "repeated": None, "in_train": None,
    }  # fmt: skip


@pytest.mark.parametrize("size", [0, 1])
def test_a_run_of_few_examples_has_a_page(size, tmp_path):
    folder = made_run(tmp_path / "run", tagged_examples(size))
    assert ("examples" in assert_sound(write_page(folder)).ids) == bool(size)


def test_a_page_of_very_many_examples_is_made_of_the_first_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(run_record, "READ", 30)
    run = RunRecord.read(made_run(tmp_path / "run", tagged_examples(40)))
    assert len(run.examples) == 30 and run.num_examples == 40 and not run.intervals
    page = write_page(tmp_path / "run")
    assert "examples" in assert_sound(page).ids and "10 are not on this page" in page.read_text("utf-8")


def test_a_task_of_ones_own_has_a_page(tmp_path):
    folder = made_run(tmp_path / "run", [], task={}, data={"train": None}, scores={"test/error": 0.25})
    assert assert_sound(write_page(folder)).ids == ["scores", "curves", "settings", "environment", "commands"]


def test_a_page_that_cannot_be_written_costs_a_warning_alone(tmp_path):
    folder = made_run(tmp_path / "run", tagged_examples(3))
    (folder / "report.html").mkdir()
    with pytest.warns(UserWarning, match="there is no .*report.html"):
        try_page(RunFolder(folder), list)
    assert json.loads((folder / "metrics.json").read_text("utf-8"))["scores"]

    def fail() -> list[Attended]:
        raise ZooError("no attention")

    with pytest.warns(UserWarning, match="report.html: ZooError: no attention"):
        try_page(RunFolder(folder), fail)


def compared(tmp_path: Path, **facts) -> tuple[Path, Path]:
    ours = made_run(tmp_path / "ours", tagged_examples(right=0.95, seed=1))
    theirs = made_run(tmp_path / "theirs", tagged_examples(right=0.5, seed=2), settings="seed: 2\n", **facts)
    return ours, theirs


def test_runs_are_compared_on_one_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compared(tmp_path)
    compare(["ours", "theirs", "ours"])
    assert capsys.readouterr().out == "comparison.html\n"
    page = tmp_path / "comparison.html"
    outline = assert_sound(page)
    assert outline.ids == ["differ", "scores", "curves", "labels", "examples", "runs", "settings", "commands"]
    text = page.read_text("utf-8")
    rows = re.findall(r"<tr><td><span class=\"chip.*?</tr>", text)
    accuracy = rows[3:6]
    # B is significantly worse than A, and A is not better than itself.
    assert "better" in accuracy[1] and re.search(r">-\d+\.\d\d<", accuracy[1]) and ">0.002<" in accuracy[1]
    assert "better" not in accuracy[2] and ">+0.00<" in accuracy[2] and ">1.000<" in accuracy[2]
    with pytest.raises(SystemExit):
        compare(["ours", "theirs"])
    assert "comparison.html is there already: add --overwrite" in capsys.readouterr().err
    compare(["ours", "theirs", "--overwrite"])
    assert len(page.read_text("utf-8")) < len(text)


def written(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


def removed(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def scored(examples: Sequence[ScoredExample]) -> Callable[[Path], object]:
    return lambda folder: write_examples(examples, folder / "examples.jsonl")


def of_another_task(folder: Path) -> None:
    facts = json.loads((folder / "metrics.json").read_text("utf-8"))
    (folder / "metrics.json").write_text(json.dumps({**facts, "task": {"kind": "language_modeling"}}), encoding="utf-8")


@pytest.mark.parametrize(
    "change, message",
    [
        (removed("config.yaml"), "expected the folder of a run, but it has no config.yaml"),
        (removed("metrics.json"), "expected a finished run, but it has no metrics.json"),
        (removed("examples.jsonl"), "expected a finished run, but it has no examples.jsonl"),
        (written("metrics.json", "{"), "metrics.json: expected the facts of a run as JSON"),
        (written("metrics.json", "[]"), "metrics.json: expected the facts of a run, but there is no scores, best_dev"),
        (written("config.yaml", "a: [b"), "config.yaml: expected the settings of a run as YAML"),
        (written("examples.jsonl", '{"row": 0}\n'), "examples.jsonl:1: expected an example, but there is no source"),
        (written("learning-curve.csv", "epochs\none\n"), "learning-curve.csv: expected a table of numbers"),
        (scored(tagged_examples(7)), "there are 40 and 7 of them"),
        (scored([replace(one, gold=["X"] * one.tokens) for one in tagged_examples()]), "but row 0 differs"),
        (of_another_task, "expected runs of one task"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(change, message, tmp_path, capsys):
    _, theirs = compared(tmp_path)
    change(theirs)
    with pytest.raises(SystemExit) as ended:
        compare([str(tmp_path / "ours"), str(theirs), "--out", str(tmp_path / "page.html")])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    "args, message",
    [
        (["ours"], "at least two runs, got 1"),
        (["ours", "nowhere"], "expected the folder of a run, got nowhere, which is not there"),
        (["ours", "ours/metrics.json"], "which is a file"),
        (["ours", "theirs", "--out=ours"], "expected a file, got a folder"),
        (["ours", "theirs", "--out=nowhere/page.html"], "but there is none: make it first"),
    ],
)
def test_wrong_arguments_of_compare_are_refused(args, message, tmp_path, capsys, monkeypatch):
    compared(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        compare(args)
    assert message in capsys.readouterr().err


def test_a_damaged_run_has_no_page(tmp_path):
    folder = made_run(tmp_path / "run", tagged_examples(3))
    (folder / "examples.jsonl").write_text('{"row": 0, "source": 1}\n', encoding="utf-8")
    with pytest.raises(ZooError, match="examples.jsonl:1"):
        write_page(folder)
