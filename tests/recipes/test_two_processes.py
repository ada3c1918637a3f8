"""Two processes report what one does."""

from __future__ import annotations

import json
import signal
from itertools import chain
from pathlib import Path

import pytest
from command_line import ROOT, run, run_python
from small_runs import assert_same, last_checkpoint
from two_processes import FULL, RESUMED, STOP_AT, STOPPED, WHOLE, watching

from datamodules import ClassificationDataModule

SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=4"]
TAGGER = [
    "--model.hidden_size=8",
    "--model.embedding_size=8",
    "--model.characters.output_size=8",
    "--model.num_layers=1",
]
CLASSIFIER = ["--model.hidden_size=8", "--model.embedding_size=8"]
TRANSLATOR = [
    "--model.embedding_size=8", "--model.encoder_size=8", "--model.decoder_size=8", "--model.attention.size=8",
    "--data.tokenizer=words", "--data.max_target=12",
]  # fmt: skip
FITS = [
    ["pos_tagging", *TAGGER, "--out=tagger", *SHORT],
    ["spam", *CLASSIFIER, "--out=classifier", *SHORT],
    ["translation", *TRANSLATOR, "--out=translator", *SHORT],
]
PATH = f"{ROOT}:{Path(__file__).parent}"  # where a fresh Python finds this project and `two_processes.py`
HALF = "--trainer.precision=bf16-mixed"
# Batches of unequal numbers of tokens, and in fp32 nothing excuses a difference.
EXACT = ["spam", "test", "--model=classifier", "--trainer.precision=32-true", "--data.max_tokens=100"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with what `two_processes.py` leaves there, the scores of `EXACT` in `exact.json`, and all messages."""
    folder = tmp_path_factory.mktemp("two_processes")
    commands = [*([*fit, HALF] for fit in FITS), EXACT]
    # All in one launch: two Pythons that import torch and Lightning take eight seconds.
    done = run_python("-m", "two_processes", json.dumps(commands), cwd=folder, env={"PYTHONPATH": PATH})
    (folder / "exact.json").write_text(done.stdout.splitlines()[-1])
    (folder / "messages").write_text(done.stderr)
    return folder


@pytest.mark.parametrize(
    "recipe, name, rounded",
    [
        ("pos_tagging", "tagger", {"loss": 2e-2}),
        ("spam", "classifier", {"loss": 2e-2, "ece": 2e-2, "average_precision": 2e-2, "auroc": 2e-2}),
        ("translation", "translator", {"loss": 2e-2, "perplexity": 2e-2}),
    ],
    ids=["tagging", "classification", "translation"],
)
def test_scores_are_those_of_one_process(runs, recipe, name, rounded):
    """Up to roundings: other batches round otherwise in bf16, which moves probabilities and hardly a decision."""
    facts = json.loads((runs / name / "metrics.json").read_text())
    assert facts["processes"] == 2
    one = json.loads(run(recipe, "test", "--model", name, HALF, cwd=runs).stdout)
    assert one.keys() == facts["scores"].keys()
    for score, value in one.items():
        tolerance = rounded.get(score.removeprefix("test/"), 1e-6) * max(1.0, abs(value))
        assert facts["scores"][score] == pytest.approx(value, abs=tolerance), score


def test_scores_in_fp32_are_exactly_those_of_one_process(runs):
    one = json.loads(run(*EXACT, cwd=runs).stdout)
    assert json.loads((runs / "exact.json").read_text()) == pytest.approx(one, abs=1e-6)


def ends(runs: Path, out: str) -> list[dict]:
    """How a training has ended early, on each process: its exit code, and the rows of its batches."""
    return [json.loads((runs / f"{out}-{rank}.json").read_text()) for rank in range(2)]


def test_a_training_that_one_process_is_asked_to_stop_resumes_exactly(runs):
    assert [end["code"] for end in ends(runs, STOPPED)] == [128 + signal.SIGTERM, 0]
    assert_same(runs / RESUMED, runs / WHOLE)


def test_a_training_that_goes_on_alone_trains_each_example_of_the_epoch_once(runs):
    with watching() as batches:
        done = run(
            "spam", "fit", f"--out={STOPPED}", "--resume", "--trainer.devices=1", "--trainer.strategy=auto", cwd=runs
        )
    assert "instead of 2 x 100: each example of the epoch is trained once" in done.stderr
    for end in ends(runs, STOPPED):
        assert len(end["rows"]) > STOP_AT
        batches += end["rows"]
    examples = ClassificationDataModule("sample-spam").training_examples
    assert sorted(chain.from_iterable(batches)) == list(range(examples))


def test_a_full_disk_ends_all_processes_and_leaves_the_last_checkpoint(runs):
    assert [end["code"] for end in ends(runs, FULL)] == [2, 2]
    messages = (runs / "messages").read_text()
    assert f"error: [Errno 27] File too large: '{FULL}/checkpoints/new.ckpt'" in messages
    assert "error: the connection to another process of this run is lost" in messages
    assert last_checkpoint(runs / FULL)["global_step"] == 1
    assert [path.name for path in (runs / FULL / "checkpoints").iterdir()] == ["last.ckpt"]


def test_outputs_of_all_processes_are_written_once(runs):
    assert len((runs / "translator/examples.jsonl").read_text("utf-8").splitlines()) == 20
    assert "nrefs:1|case:mixed" in (runs / "translator/scores.txt").read_text()
