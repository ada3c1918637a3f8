"""What a person sees in the terminal: help, progress and the final table."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import chdir, redirect_stdout
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
from command_line import run, settings_kept
from rich.cells import cell_len
from small_runs import TINY

from recipes import pos_tagging
from recipes.__main__ import known_recipes
from recipes.reports.tables import label_scores, print_scores
from recipes.runner.cli import main
from zoo.metrics.tagging import LabelScore

SHORT = [*TINY, "--trainer.max_epochs=2", "--trainer.limit_train_batches=3"]


class Terminal:
    """A pseudo-terminal of 80 columns as standard error, which collects what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.master, slave = os.openpty()
        self.stream = open(slave, "w", encoding="utf-8")
        self.reader = Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        try:
            while part := os.read(self.master, 4096):
                self.written += part
        # Linux reports the end of a pseudo-terminal like this.
        except OSError:
            pass

    def lines(self) -> list[str]:
        """All lines that were written, without colours, and without the codes that move the cursor."""
        self.stream.close()
        self.reader.join(timeout=10)
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.written.decode())
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", text)
        return [line.strip("\r") for line in text.split("\n") if line.strip()]


def seen(tmp_path: Path, monkeypatch, *flags: str) -> tuple[list[str], str]:
    """What a training shows in a terminal, and what it writes to standard output."""
    terminal = Terminal()
    output = io.StringIO()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with monkeypatch.context() as patch, chdir(tmp_path), redirect_stdout(output), settings_kept():
        patch.setattr(sys, "stderr", terminal.stream)
        main(pos_tagging.RECIPE, ["--out=run", *SHORT, *flags])
    return terminal.lines(), output.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_shows_progress(tmp_path, monkeypatch):
    lines, output = seen(tmp_path, monkeypatch)
    bars = [line for line in lines if "left" in line]
    assert bars[0].startswith("epoch 1/2 ") and any(re.search(r"3/3 +\d+:\d\d left$", bar) for bar in bars)
    shown = r"(loss \d.*  )?(val/accuracy [\d.]+  )?[\d,]+ tokens/s  [\d,]+ MB"
    numbers = [line for line in lines if re.fullmatch(shown, line)]
    assert any("val/accuracy" in line for line in numbers)
    # What is printed meanwhile stays above the bar.
    assert sum(bool(re.match(r"epoch \d/2  train/loss ", line)) for line in lines) == 2
    assert max(map(cell_len, lines)) <= 80
    assert "test/accuracy" in output and all(cell_len(line) <= 80 for line in output.splitlines()[:-1])


@pytest.mark.parametrize("flags", [["--quiet"], ["--trainer.enable_progress_bar=false"]], ids=str)
def test_progress_can_be_switched_off(tmp_path, monkeypatch, flags):
    lines, output = seen(tmp_path, monkeypatch, *flags)
    assert not any("left" in line for line in lines)
    assert len(lines) == (0 if "--quiet" in flags else 3), lines
    assert "test/accuracy" in output and "next:" in output


def test_a_file_gets_a_line_an_epoch(tmp_path):
    done = run("pos_tagging", "fit", "--out=run", *SHORT, cwd=tmp_path)
    begun, *epochs = done.stderr.splitlines()
    assert begun.startswith("run: SequenceTagger, ")
    assert [line.split("  ")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]


@pytest.mark.parametrize("recipe", known_recipes())
def test_help_is_of_the_recipe_and_can_be_read(recipe, tmp_path):
    lines = run(recipe, "--help", cwd=tmp_path).stdout.splitlines()
    assert len(lines) < 350 and max(map(cell_len, lines)) <= 80
    flags = [line.split()[0] for line in lines if line.startswith("  --")]
    assert len(flags) == len(set(flags))
    of_trainer = [flag for flag in flags if flag.startswith("--trainer.")]
    assert flags[-len(of_trainer) :] == of_trainer and 5 < len(of_trainer) < 15
    assert {"--out", "--quiet", "--wandb", "--data.dataset", "--model.cell"} <= set(flags)
    for line, text in pairwise(lines):
        if line.startswith("  --"):
            # A sentence, with a capital letter or a quoted word.
            assert text.startswith("      ") and not text.strip()[0].islower(), line


def test_help_of_a_prediction_names_its_input(tmp_path):
    lines = run("pos_tagging", "predict", "--help", cwd=tmp_path).stdout.splitlines()
    assert lines[0] == "usage: python -m recipes.pos_tagging predict [INPUT] [--FLAG VALUE ...]"
    assert "  --overwrite" in lines and "  --format tsv|jsonl|conllu|html" in lines and max(map(len, lines)) <= 80


def test_help_shows_the_defaults_of_the_recipe(tmp_path):
    text = run("pos_tagging", "--help", cwd=tmp_path).stdout
    for shown in (
        "--data.dataset TEXT [sample-en]", "--model.regularization.label_smoothing X [0.1]", "--ema X [0.997]",
        "--trainer.max_epochs N [20]", "--data.max_tokens N|by_size|auto [by_size]", "--resume [true|false] [false]",
    ):  # fmt: skip
        assert f"  {shown}\n" in text


@pytest.mark.parametrize("command", [[], ["validate"]], ids=str)
def test_all_flags_of_the_trainer_are_listed_on_request(tmp_path, command):
    text = run("pos_tagging", *command, "--help.trainer", cwd=tmp_path).stdout
    flags = re.findall(r"^  (--\S+)", text, re.MULTILINE)
    assert len(flags) > 35 and all(flag.startswith("--trainer.") for flag in flags)
    assert {"--trainer.deterministic", "--trainer.profiler"} <= set(flags)
    assert "``" not in text and ":class:" not in text


def test_a_wrong_flag_of_the_trainer_names_their_list(tmp_path):
    done = run("pos_tagging", "--trainer.max_epoch=3", cwd=tmp_path, fails=True)
    assert "--trainer.max_epochs" in done.stderr and "--help.trainer lists all" in done.stderr


# Tables


def test_scores_of_labels_stand_in_columns():
    labels = ["a", "评论" * 30, "很长的标签", "a label of many words " * 5, "ü"]
    scores = [LabelScore(label, 0.5, 1.0, 0.66, 1_000_000) for label in labels]
    lines = label_scores("label", scores).splitlines()
    assert len({cell_len(line) for line in lines}) == 1 and cell_len(lines[0]) <= 80
    assert all(line.split()[-4:] == ["0.5000", "1.0000", "0.6600", "1000000"] for line in lines[1:])
    assert lines[1].startswith("a ") and lines[2].startswith("评论") and "…" in lines[2]


def test_the_final_table_fits_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    facts = {
        "counts": {split: {"texts": 10**9, "empty": 10**6, "truncated": 10**6} for split in ("train", "test")},
        "train_seconds": 1e6, "train_tokens_per_second": 10**7, "peak_memory_mb": 10**6,
    }  # fmt: skip
    output = io.StringIO()
    print_scores("评论.tsv", {"test/sentence_accuracy": 1.0, "test/perplexity": 1e9}, facts, file=output)
    assert max(map(cell_len, output.getvalue().splitlines())) <= 80
    assert "1,000,000,000 texts" in output.getvalue()
