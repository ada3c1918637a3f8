"""What the README, the documentation and the cards of the bundled models show is what happens."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from command_line import run, settings_kept
from pages import DOCS, README, ROOT, blocks, check_console, check_python

import zoo
from datamodules import CATALOG
from recipes.search.__main__ import parser as search_parser
from zoo.hub import pretrained

RECORDED = [ROOT / "benchmarks" / name for name in ("RESULTS.md", "NOTES.md")]
# A link of Markdown to a page of this repository, and to a heading of it.
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
# A file of this repository, as text names it.
NAMED = re.compile(r"`((?:benchmarks|datamodules|recipes|tests|zoo)/[\w/.]+)`")


@pytest.mark.parametrize("block", blocks(README, "python"), ids=lambda block: block.splitlines()[-1][:40])
def test_python_of_the_readme_prints_what_its_comments_say(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_python(block, README, {})


@pytest.mark.parametrize("block", blocks(README, "console"), ids=lambda block: block.splitlines()[0])
def test_commands_of_the_readme_print_the_shown_output(block, tmp_path):
    check_console(block, tmp_path)


@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page, "python")], ids=lambda page: page.stem)
def test_python_of_a_page_prints_what_its_comments_say(page, tmp_path, monkeypatch):
    """The blocks of a page run one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    # Each page has registries of its own.
    with settings_kept(), patch.dict(pretrained.MODELS), patch.dict(zoo.CELLS), patch.dict(CATALOG):
        for block in blocks(page, "python"):
            check_python(block, page, namespace)


@pytest.fixture(scope="module")
def known_flags(tmp_path_factory) -> set[str]:
    """The flags of a recipe of each task, and of the commands for a trained model."""
    folder = tmp_path_factory.mktemp("help")
    commands = (["pos_tagging"], ["sentiment"], ["sentiment", "predict"], ["summarization"], ["language_modeling"])
    written = [run(*command, "--help", cwd=folder).stdout for command in commands]
    written.append(run("pos_tagging", "--help.trainer", cwd=folder).stdout)
    written += [run("translation", command, "--help", cwd=folder).stdout for command in ("test", "predict")]
    written.append(run("language_modeling", "generate", "--help", cwd=folder).stdout)
    written.append(search_parser().format_help())
    return flags("\n".join(written))


def flags(text: str) -> set[str]:
    return set(re.findall(r"--[a-z_.0-9]*[a-z0-9]", text))


@pytest.mark.parametrize("page", [README, *DOCS, *RECORDED], ids=lambda page: page.stem)
def test_every_flag_that_is_shown_exists(page, known_flags):
    # Blocks of text also show commands of other programs.
    text = re.sub(r"```text\n.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    shown = flags(text) - {"--help", "--help.trainer"}
    if page in RECORDED:
        # The benchmarks have flags of their own.
        shown = {flag for flag in shown if flag.startswith(("--model.", "--data.", "--trainer."))}
    assert shown <= known_flags


@pytest.mark.parametrize("name", zoo.list_pretrained())
def test_the_command_of_a_card_makes_its_model(name, tmp_path):
    _, _, recipe, *args = shlex.split(zoo.list_pretrained()[name]["command"])
    printed = run(recipe.removeprefix("recipes."), *args, "--print_config", cwd=tmp_path).stdout
    config = json.loads((pretrained.BUNDLED / name / "config.json").read_text("utf-8"))
    made = yaml.safe_load(printed)["model"]
    # These arguments of a model have no flags: the data give them, or the models that flags name.
    saved = {name: value for name, value in config["arguments"].items() if name not in ("class_weights", "context")}
    assert {argument: made[argument] for argument in saved} == saved


@pytest.mark.parametrize("page", [README, *DOCS, *RECORDED], ids=lambda page: page.stem)
def test_every_link_has_a_target(page):
    for target, heading in LINK.findall(page.read_text("utf-8")):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        assert not heading or heading in headings(path), f"{target}#{heading}"
    for name in NAMED.findall(page.read_text("utf-8")):
        assert (ROOT / name).exists(), name


def headings(page: Path) -> set[str]:
    """The anchors that a page has for its headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in found}


def test_every_page_is_in_the_navigation():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    listed = [name for entry in settings["nav"] for name in entry.values()]
    assert sorted(listed) == [page.name for page in DOCS]
