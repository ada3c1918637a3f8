"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from recipes.runner.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[-1][:40])
def test_python_prints_what_its_comments_say(block, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = [line[2:] for line in block.splitlines() if line.startswith("# ")]
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line in expected] == expected


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.splitlines()[0])
def test_the_shell_prints_what_is_shown(block, tmp_path):
    command, expected = block.split("\n", 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command.removeprefix("$ "), shell=True, cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.stdout.rstrip("\n") == expected.rstrip("\n"), done.stderr


def test_every_flag_that_is_shown_exists(capsys):
    known = ""
    for recipe, *command in (["pos_tagging"], ["sentiment"], ["sentiment", "predict"], ["translation", "test"]):
        with pytest.raises(SystemExit, match="0"):
            main(import_module(f"recipes.{recipe}").RECIPE, [*command, "--help"])
        known += capsys.readouterr().out
    shown = set(re.findall(r"--[a-z_.]+", README)) - {"--help"}
    assert shown and shown <= set(re.findall(r"--[a-z_.]+", known)), shown
