"""A search tries settings of a recipe: killed trials are tried again, and the best settings give their score again."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import sqlite3
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import optuna
import pytest
import yaml
from command_line import _run_in_fork, parse_docstrings, run, settings_kept, start
from optuna.trial import TrialState
from PIL import Image
from small_runs import FAST_SPAM

from recipes.__main__ import known_recipes
from recipes.search import beginning, conductor
from recipes.search import run as run_module
from recipes.search.__main__ import main
from recipes.search.address import TrialAddress
from recipes.search.identity import Identity
from recipes.search.pruning import STARTUP_TRIALS, STOPPED, WARMUP_VALIDATIONS
from recipes.search.run import share_of_machine
from recipes.search.space import extremes, flag_of, read_space, starting_space
from recipes.search.study import DATABASE, NAME, Study, number_of, silence_optuna

SPACE = {"model.dropout": {"uniform": [0.0, 0.5]}, "model.optimizer.learning_rate": {"log": ["1e-3", 0.1]}}


def write_space(folder: Path, space: object = SPACE, recipe: str = "spam") -> Path:
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump({"recipe": recipe, "space": space}), encoding="utf-8")
    return path


class ForkedRun:
    """What a search knows of `subprocess.Popen`, for a fork of this process."""

    # The exit codes that the next runs pretend to have, instead of running.
    pretended: ClassVar[list[int]] = []

    def __init__(self, command, stdin, stdout, stderr, env, process_group):
        _, _, recipe, *arguments = command
        self.given = self.pretended.pop(0) if self.pretended else None
        target = (recipe.removeprefix("recipes."), arguments, Path.cwd(), env, [stdout.fileno(), stderr.fileno()])
        self.process = multiprocessing.get_context("fork").Process(target=_run_in_fork, args=target)
        if self.given is None:
            self.process.start()

    @property
    def pid(self):
        return self.process.pid

    def poll(self):
        return self.process.exitcode if self.given is None else self.given

    def wait(self, seconds=None):
        self.process.join(seconds)


@pytest.fixture
def forked(monkeypatch, tmp_path):
    """Lets a search run its trials in forks of this process, which spares them the seconds of a start."""
    parse_docstrings("spam")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_module.subprocess, "Popen", ForkedRun)
    monkeypatch.setattr(conductor, "PAUSE", 0.02)
    monkeypatch.setattr(ForkedRun, "pretended", [])


def search(*args: object) -> SimpleNamespace:
    """Runs `python -m recipes.search` in this process."""
    output, errors = StringIO(), StringIO()
    code = 0
    with redirect_stdout(output), redirect_stderr(errors), settings_kept():
        try:
            main([str(argument) for argument in args])
        except SystemExit as end:
            code = end.code
    return SimpleNamespace(code=code, stdout=output.getvalue(), stderr=errors.getvalue())


def test_a_search_tries_killed_trials_again_continues_and_its_best_settings_give_their_score(forked, tmp_path):
    space = write_space(tmp_path)
    command = ["spam", "--space", space, "--out", tmp_path / "search", *FAST_SPAM]
    # The first run is killed as if memory were full.
    ForkedRun.pretended.append(-signal.SIGKILL)
    done = search(*command, "--trials", 1)
    assert done.code == 0 and "trial 0 was killed (exit code -9): it is tried again" in done.stderr
    continued = search(*command, "--trials", 2, "--jobs", 2)
    assert continued.code == 0 and "1 of 2 trials are finished" in continued.stderr
    rows = list(csv.DictReader((tmp_path / "search/trials.csv").open(encoding="utf-8")))
    assert [row["state"] for row in rows] == ["complete"] * 2
    assert float(rows[0]["model.dropout"]) == 0.3, "the first trial has the defaults, here those of small corpora"
    scores = [float(row["val/macro_f1"]) for row in rows]
    best = scores.index(max(scores))
    assert f"trial {rows[best]['trial']} is the best of 2" in continued.stdout
    run("spam", "fit", "--config=search/best.yaml", "--out=again", cwd=tmp_path)
    again = json.loads((tmp_path / "again/metrics.json").read_text("utf-8"))
    assert again["best_dev"] == {"val/macro_f1": scores[best]}
    assert "--data.test" not in again["command"] and not [name for name in again["scores"] if "test" in name]
    with Image.open(tmp_path / "search/history.png") as picture:
        assert picture.width > 500


def test_a_search_is_not_continued_as_another_one(forked, tmp_path, monkeypatch):
    """What each process checks before it reads any data."""
    monkeypatch.setattr(beginning, "UntrainedCLI", lambda *args, **options: pytest.fail("it has read the data"))
    folder = tmp_path / "search"
    folder.mkdir()
    space = write_space(tmp_path)
    identity = Identity("spam", ("--ema=0",), read_space(space, "spam"))
    Study(folder, identity, pruning=True).begin({"model.dropout": 0.1}, higher_is_better=True)
    other = write_space(folder, {"model.dropout": {"uniform": [0.0, 0.4]}})
    sentiment = folder / "sentiment.yaml"
    sentiment.write_text(space.read_text("utf-8").replace("spam", "sentiment"), encoding="utf-8")
    for arguments, said in (
        (["spam", "--space", space], "other flags (it began with --ema=0)"),
        (["spam", "--space", other, "--ema=0"], "another space (model.dropout, model.optimizer.learning_rate)"),
        (["sentiment", "--space", sentiment, "--ema=0"], "another recipe (spam)"),
    ):
        done = search(*arguments, "--out", folder)
        assert done.code == 2 and said in done.stderr and "with --out" in done.stderr
    (folder / DATABASE).write_text("no database")
    assert "is no database of a search" in search("spam", "--space", space, "--out", folder).stderr


def test_a_search_in_which_all_trials_fail_says_why(forked, tmp_path):
    # The search does not check this flag; the runs do.
    done = search("spam", "--space", write_space(tmp_path), "--out=search", "--trials=1", "--checkpoints.keep=0")
    assert done.code == 2
    assert "1 of them, have failed" in done.stderr and "expected --checkpoints.keep of at least 1" in done.stderr
    assert "trials/0000.log" in done.stderr


def test_a_signal_ends_all_trials_and_they_wait_in_the_queue(monkeypatch, tmp_path):
    class Sleeper(run_module.subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(["sleep", "60"], **options)
            sleepers.append(self)
            if len(sleepers) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    sleepers: list[Sleeper] = []
    monkeypatch.setattr(run_module.subprocess, "Popen", Sleeper)
    monkeypatch.setattr(beginning, "begin", None)
    monkeypatch.setattr(
        "recipes.search.command.begin", lambda *_: beginning.Beginning({"model.dropout": 0.1}, "val/macro_f1")
    )
    space = write_space(tmp_path, {"model.dropout": {"uniform": [0.0, 0.4]}})
    done = search("spam", "--space", space, "--out", tmp_path / "search", "--jobs=2", "--trials=5")
    assert done.code == 130 and "the same command continues this search" in done.stderr
    assert [sleeper.returncode for sleeper in sleepers] == [-signal.SIGINT] * 2
    study = optuna.load_study(study_name=NAME, storage=f"sqlite:///{tmp_path / 'search' / DATABASE}")
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert sorted(map(number_of, waiting)) == [0, 1]


@pytest.fixture
def identity(tmp_path) -> Identity:
    silence_optuna()
    return Identity("spam", (), read_space(write_space(tmp_path), "spam"))


DEFAULTS = {"model.dropout": 0.3, "model.optimizer.learning_rate": 0.002}


def test_a_trial_whose_process_is_silent_is_tried_again_with_its_values(identity, tmp_path):
    study = Study(tmp_path, identity, pruning=True)
    study.begin(DEFAULTS, higher_is_better=True)
    first, second = study.claim(2), study.claim(2)
    assert first.params == DEFAULTS and study.claim(2) is None
    study.finish(first, 0.5, seconds=1.0)
    other = Study(tmp_path, identity, pruning=True)
    other.begin(DEFAULTS, higher_is_better=True)
    assert other.claim(2) is None, "it may still be running"
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 hour')")
    again = other.claim(2)
    assert again.params == second.params and other.number_of(again) == second.number == 1
    other.finish(again, 0.6, seconds=1.0)
    # The silent process was only suspended. What it finds does not count twice.
    study.finish(second, 0.1, seconds=1.0)
    assert [trial.values for trial in study.finished()] == [[0.5], [0.6]] and study.claim(2) is None


def test_a_trial_that_was_killed_before_its_first_sign_of_life_is_tried_again(identity, tmp_path, monkeypatch):
    study = Study(tmp_path, identity, pruning=True)
    study.begin(DEFAULTS, higher_is_better=True)
    with monkeypatch.context() as patch:
        patch.setattr(Study, "beat", lambda *_: None)
        patch.setattr(optuna.Trial, "set_user_attr", lambda *_: None)
        study.claim(1)
    again = study.claim(1)
    assert again.params == DEFAULTS and study.number_of(again) == 0


def test_a_trial_that_is_killed_again_and_again_fails(identity, tmp_path):
    study = Study(tmp_path, identity, pruning=True)
    study.begin(DEFAULTS, higher_is_better=True)
    assert [study.free_killed(study.claim(1), "killed") for _ in range(3)] == [True, True, False]
    (failed,) = study.finished()
    assert failed.user_attrs["reason"] == "killed, 3 times: perhaps the memory is full" and study.claim(1) is None


def test_trials_of_several_processes_have_different_values(identity, tmp_path):
    studies = [Study(tmp_path, identity, pruning=True) for _ in range(2)]
    for study in studies:
        study.begin(DEFAULTS, higher_is_better=True)
    values = [studies[i % 2].claim(4).params["model.dropout"] for i in range(4)]
    assert len(set(values)) == 4


def address_of_trial(folder: Path, identity: Identity, process: int) -> TrialAddress:
    """A trial after others that were much better at any age."""
    study = Study(folder, identity, pruning=True)
    study.begin(DEFAULTS, higher_is_better=True)
    for _ in range(STARTUP_TRIALS):
        good = study.claim(100)
        for age in range(1, 10):
            good.report(2.0, step=age)
        study.finish(good, 2.0, seconds=1.0)
    return study.address(study.claim(100), process)


def test_a_trial_that_is_worse_than_others_stops(identity, tmp_path, monkeypatch):
    address = address_of_trial(tmp_path, identity, os.getppid())
    for name, value in address.environment().items():
        monkeypatch.setenv(name, value)
    done = run("spam", "fit", *FAST_SPAM, "--out=run", "--trainer.max_epochs=9", cwd=tmp_path)
    assert "it stops" in done.stderr and (tmp_path / "run/metrics.json").exists()
    trial = optuna.load_study(study_name=NAME, storage=address.storage).trials[-1]
    assert list(trial.intermediate_values) == [*range(1, WARMUP_VALIDATIONS + 1)]
    assert trial.user_attrs[STOPPED] == WARMUP_VALIDATIONS


def test_a_trial_ends_with_its_search(identity, tmp_path):
    address = address_of_trial(tmp_path, identity, process=0)
    process = start("spam", "fit", *FAST_SPAM, "--trainer.max_epochs=1000", cwd=tmp_path, env=address.environment())
    _, errors = process.communicate()
    assert process.returncode in (143, -signal.SIGTERM) and "the search has ended" in errors


@pytest.mark.parametrize("recipe", known_recipes())
def test_the_space_of_a_recipe_has_its_defaults_and_no_wrong_value(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(beginning.UntrainedCLI, "instantiate_classes", lambda self: None)
    monkeypatch.setattr(beginning.UntrainedCLI, "monitor", "val/loss", raising=False)
    module = import_module(f"recipes.{recipe}").RECIPE
    space = read_space(starting_space(recipe), recipe)
    found = beginning.begin(module, [], space)
    assert set(found.defaults) == set(space)
    for name, value in module.small_corpus.items():
        beginning._check_default(name, value, {**space, name: space[name]})


@pytest.mark.parametrize(
    "space, said",
    [
        ({"model.hidden_sise": {"int": [1, 2]}}, "known flags like --model.hidden_sise: --model.hidden_size"),
        ({"model.dropout": {"choice": ["much", 0.1]}}, "--model.dropout: expected"),
        ({"model.dropout": {"uniform": [0.1, 0.4]}}, "model.dropout is 0.5 without a search"),
        ({"model.dropout": {"uniform": [0.6, 0.4]}}, "expected a smaller and a larger number"),
        ({"model.dropout": {"uniform": [0.4, 0.4]}}, "expected a smaller and a larger number"),
        ({"model.dropout": {"uniform": ["low", 0.4]}}, "expected a smaller and a larger number"),
        ({"model.dropout": {"log": [0, 0.4]}}, "a logarithmic scale begins above 0"),
        ({"model.dropout": {"normal": [0, 0.4]}}, "expected one of uniform, log, int, choice"),
        ({"model.dropout": [0, 0.4]}, "expected one of uniform, log, int, choice"),
        ({"model.hidden_size": {"int": [1, 2.5]}}, "expected two whole numbers"),
        ({"model.hidden_size": {"int": [64, 100, 32]}}, "steps of 32 from 64 do not reach 100"),
        ({"model.cell": {"choice": ["lstm"]}}, "expected two choices or more"),
        ({"model.cell": {"choice": ["lstm", "lstm"]}}, "expected different choices"),
        ({"data.dataset": {"choice": ["sst2", "shopping-zh"]}}, "data.dataset must be the same in all trials"),
        ({}, "expected flags below space"),
    ],
)
def test_a_wrong_space_is_refused(space, said, tmp_path, monkeypatch):
    monkeypatch.setattr(beginning.UntrainedCLI, "instantiate_classes", lambda self: None)
    monkeypatch.setattr(beginning.UntrainedCLI, "monitor", "val/loss", raising=False)
    done = search("spam", "--space", write_space(tmp_path, space), "--out", tmp_path / "search")
    assert done.code == 2 and said in done.stderr, done.stderr
    assert not (tmp_path / "search").exists()


def test_a_file_that_is_no_space_of_the_recipe_is_refused(tmp_path):
    path = write_space(tmp_path, recipe="topic")
    assert "expected a space of spam, got one of 'topic'" in search("spam", "--space", path).stderr
    path.write_text("{recipe: spam, space: !!python/object/apply:os.getpid []}", encoding="utf-8")
    assert "expected YAML" in search("spam", "--space", path).stderr
    path.write_text("- a\n- b\n", encoding="utf-8")
    assert "--print_space prints an example" in search("spam", "--space", path).stderr
    assert "expected a text file" in search("spam", "--space", tmp_path / "none.yaml").stderr


def test_the_command_line_refuses_what_a_search_does_itself(tmp_path):
    space = write_space(tmp_path)
    assert "--resume is no flag of a search" in search("spam", "--space", space, "--resume").stderr
    assert "expected a flag after the recipe, got 'fit'" in search("spam", "fit", "--space", space).stderr
    assert "unknown recipe 'spamm': did you mean 'spam'" in search("spamm").stderr
    assert search("spam", "--trials=0").code == 2
    assert search("spam", "--print_space").stdout == starting_space("spam").read_text("utf-8")


def test_all_bounds_and_choices_are_checked():
    space = read_space(starting_space("sentiment"), "sentiment")
    tried = extremes(space)
    assert {values["model.pooling"] for values in tried} == {"mean+max", "max", "attention", "max+attention"}
    assert {values["model.dropout"] for values in tried} == {0.1, 0.7}
    assert flag_of("model.dropout", tried[0]["model.dropout"]) == "--model.dropout=0.1"


def test_runs_at_once_share_processors_and_gpus(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert share_of_machine(0, 1, ["0", "1"]) == {}
    shares = [share_of_machine(slot, 3, ["0", "1"]) for slot in range(3)]
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0", "1", "0"]
    assert all(int(share["OMP_NUM_THREADS"]) == max(1, len(os.sched_getaffinity(0)) // 3) for share in shares)
