"""`lstm-zoo`, `python -m recipes` and `python -m zoo`: what there is, and what is printed can be typed."""

from __future__ import annotations

import configparser
import dataclasses
import io
import json
import shlex
import subprocess
import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import pytest
from command_line import run, run_python
from docstring_parser import parse_from_object

import datamodules
import zoo
from recipes import __main__ as commands
from recipes.runner.recipe import python_here
from zoo import __main__ as models
from zoo.models.options import CharacterOptions, OptimizerOptions, RegularizationOptions, SearchOptions
from zoo.nn.cells import RecurrentOptions
from zoo.packages import check_package

ROOT = Path(__file__).parents[2]
RECIPES = {path.stem for path in (ROOT / "recipes").glob("*.py") if "\nRECIPE = Recipe(" in path.read_text("utf-8")}


@pytest.mark.parametrize("args", [[], ["--help"]])
def test_all_recipes_are_listed_with_what_they_do(capsys, args):
    commands.main(args)
    printed = capsys.readouterr().out
    assert RECIPES and set(commands.known_recipes()) == RECIPES
    for name, does in commands.known_recipes().items():
        assert f"{name} " in printed and does in printed
        assert import_module(f"recipes.{name}").RECIPE.name == name


def test_a_recipe_runs_by_its_name(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"I saw her duck .\n")))
    commands.main(["pos_tagging", "predict", "--format=jsonl"])
    assert json.loads(capsys.readouterr().out)["tags"] == ["PRON", "VERB", "PRON", "NOUN", "PUNCT"]


def test_help_describes_every_option(tmp_path):
    """The docstring of each field is the help of its flag."""
    for command, groups in {
        ("pos_tagging",): (RecurrentOptions, RegularizationOptions, CharacterOptions, OptimizerOptions),
        ("translation", "validate"): (SearchOptions,),
        ("translation", "predict"): (SearchOptions,),
    }.items():
        text = " ".join(run(*command, "--help", cwd=tmp_path).stdout.split())
        assert "--model.codec" not in text
        for group in groups:
            fields = [item for item in parse_from_object(group).params if item.args[0] == "attribute"]
            assert len(fields) == len(dataclasses.fields(group))
            for field in fields:
                assert " ".join(field.description.split()) in text


def test_a_module_without_a_command_says_where_the_recipes_are():
    done = subprocess.run(
        [sys.executable, "-m", "recipes.runner.cli"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "error: recipes.runner.cli is not a recipe: python -m recipes lists the recipes\n"


def test_an_unknown_recipe_is_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        commands.main(["pos-tagging"])
    assert "unknown recipe 'pos-tagging'" in capsys.readouterr().err


def test_the_console_command_is_this_one():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, _, target = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, function = target.partition(":")
    assert name == "lstm-zoo" and getattr(import_module(module), function) is commands.main


def test_all_models_are_listed_with_what_they_are_for(capsys):
    models.main([])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["name", "task", "language", "corpus"]
    for line, (name, card) in zip(lines, zoo.list_pretrained().items(), strict=True):
        assert line.split()[:4] == [name, card["task"], card["language"], card["data"]["dataset"]]
        assert line.endswith(" %")
    commands.main(["models"])
    assert capsys.readouterr().out.splitlines() == [head, *lines]


@pytest.mark.parametrize("name", zoo.list_pretrained())
def test_a_card_is_shown(capsys, name):
    for main in models.main, commands.main:
        main(["show", name])
        assert json.loads(capsys.readouterr().out) == zoo.list_pretrained()[name]


@pytest.mark.parametrize("args", [["show"], ["shwo", "pos-en-ewt"], ["show", "pos-en-ewd"]])
def test_what_zoo_cannot_show_is_explained(capsys, args):
    with pytest.raises(SystemExit, match="2"):
        models.main(args)
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("found", [True, False])
def test_what_is_printed_starts_this_python(tmp_path, monkeypatch, found):
    """Whether a shell knows it by its name or not, and with a space in its path."""
    python = tmp_path / "a b" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", f"{python.parent if found else tmp_path}:/usr/bin:/bin")
    for folder in (tmp_path, python.parent, ROOT):
        monkeypatch.chdir(folder)
        assert (python_here() == "python") == found
        (place,) = shlex.split(python_here())
        assert found or (folder / place).samefile(python)
        # A name without a slash would be looked for on the path alone.
        code = f"{python_here()} -c 'import sys; print(sys.executable)'"
        assert subprocess.run(code, shell=True, capture_output=True, text=True).stdout.strip() == str(python)


IMPORTS = """
for name in ("recipes.runner.cli", "zoo.data"):
    try:
        __import__(name)
    except ImportError as error:
        print(name, error)
"""


def test_a_folder_that_hides_the_datamodules_is_named(tmp_path):
    (tmp_path / "datamodules").mkdir()
    (tmp_path / "datamodules/__init__.py").touch()
    printed = run_python("-c", IMPORTS, cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}).stdout
    explained = f"Python finds {tmp_path / 'datamodules'} first"
    assert [line.split()[0] for line in printed.splitlines() if explained in line] == ["recipes.runner.cli", "zoo.data"]


@pytest.mark.parametrize("module, hides", [("__init__.py", True), ("mine.py", False)])
def test_a_folder_hides_a_package_only_where_it_is_one(tmp_path, monkeypatch, module, hides):
    """Without `__init__.py` a folder is a package only where Python finds no other one of its name."""
    (tmp_path / "datamodules").mkdir()
    (tmp_path / "datamodules" / module).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "datamodules")
    with pytest.raises(ImportError, match=f"Python finds {tmp_path}") if hides else nullcontext():
        check_package("datamodules")


def test_the_datamodules_have_a_second_name():
    second = import_module("zoo.data")
    assert second.__all__ == datamodules.__all__
    assert all(getattr(second, name) is getattr(datamodules, name) for name in datamodules.__all__)


def test_python_has_one_lowest_version():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options"]["python_requires"] == ">=3.11"
    assert 'target-version = "py311"' in (ROOT / "pyproject.toml").read_text()
    assert "sys.version_info >= (3, 11)" in (ROOT / "Makefile").read_text()
    assert "Python 3.11 or newer" in (ROOT / "README.md").read_text("utf-8")
