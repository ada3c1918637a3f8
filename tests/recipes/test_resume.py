"""A run that is stopped or killed anywhere resumes as if it had never been interrupted, bit for bit."""

from __future__ import annotations

import csv
import os
import signal
import stat
from pathlib import Path

import pytest
import torch
import wandb
from small_runs import assert_same, last_checkpoint
from wandb_files import logged_in

from recipes import spam
from recipes.runner import training
from recipes.runner.checkpoints import CheckpointFiles, WholeCheckpoints, newest_checkpoint
from recipes.runner.cli import main
from recipes.runner.run_folder import RunFolder
from recipes.runner.training import train
from recipes.runner.whole_files import replacing
from zoo.errors import ZooError

# Some ten batches an epoch, dropout, an average of the weights, and a schedule of the learning rate.
TINY = [
    "--model.hidden_size=4", "--model.embedding_size=4", "--data.tokenizer=words", "--data.max_tokens=200",
    "--trainer.precision=32-true", "--trainer.accelerator=cpu", "--trainer.max_epochs=2", "--model.dropout=0.3",
]  # fmt: skip
ACCUMULATED = "--trainer.accumulate_grad_batches=3"
LIMITED = "--trainer.limit_train_batches=5"
OFTEN = "--trainer.val_check_interval=0.5"
ENDLESS = ["--trainer.max_steps=12", "--trainer.max_epochs=-1"]
WORKERS = "workers"
MODEL = spam.RECIPE.model


class Killed(BaseException):
    """What nothing catches: after it, only what is on the disk is left."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of a run with these flags that nothing interrupts."""
    folders: dict[tuple[str, ...], Path] = {}

    def run(flags: list[str]) -> Path:
        if tuple(flags) not in folders:
            folder = tmp_path_factory.mktemp("uninterrupted") / "run"
            train(spam.RECIPE, [f"--out={folder}", *TINY, *flags], test=False)
            folders[tuple(flags)] = folder
        return folders[tuple(flags)]

    return run


def interrupt(monkeypatch, folder: Path, flags: list[str], *, hook: str, call: int, way: object) -> None:
    """Runs until the given call of a hook of the model, which raises a signal or an exception."""
    original, calls = getattr(MODEL, hook), [0]

    def interrupted(self, *args):
        calls[0] += 1
        if calls[0] == call:
            if way is Killed:
                raise Killed
            signal.raise_signal(way)
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(MODEL, hook, interrupted)
        with pytest.raises(Killed if way is Killed else SystemExit) as ended:
            main(spam.RECIPE, ["fit", f"--out={folder}", *TINY, *flags])
    if way is not Killed:
        assert ended.value.code == 128 + way


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A run that draws no pictures, which take most of its time, and scores in several batches."""
    monkeypatch.setattr(spam.RECIPE.data, "evaluation_budget", 500)
    monkeypatch.setattr(training, "_report", lambda *_: None)
    # A busy disk takes long to flush, and no power is lost here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("way", [signal.SIGTERM, Killed], ids=["SIGTERM", "killed"])
@pytest.mark.parametrize(
    "flags, hook, call",
    [
        ([], "training_step", 4),
        ([WORKERS], "training_step", 13),
        ([LIMITED], "training_step", 5),
        ([LIMITED], "training_step", 6),
        ([ACCUMULATED], "training_step", 4),
        ([ACCUMULATED, OFTEN], "validation_step", 1),
        ([OFTEN], "on_validation_start", 2),
        ([], "validation_step", 2),
        (ENDLESS, "training_step", 10),
        (ENDLESS, "validation_step", 1),
    ],
    ids=str,
)
def test_a_run_that_is_interrupted_anywhere_resumes_exactly(
    flags, hook, call, way, tmp_path, monkeypatch, uninterrupted
):
    if WORKERS in flags:
        monkeypatch.setattr(spam.RECIPE.data, "num_workers", 2)
        flags = []
    flags = ["--checkpoints.every_steps=1", *flags]
    folder = tmp_path / "run"
    interrupt(monkeypatch, folder, flags, hook=hook, call=call, way=way)
    train(spam.RECIPE, [f"--out={folder}", "--resume"], test=False)
    assert_same(folder, uninterrupted(flags))


@pytest.mark.parametrize(
    "way, hook, call",
    [(signal.SIGINT, "training_step", 4), (signal.SIGUSR1, "training_step", 4), (signal.SIGTERM, "on_fit_start", 1)],
)
def test_each_signal_stops_a_run(way, hook, call, tmp_path, monkeypatch, uninterrupted):
    interrupt(monkeypatch, tmp_path / "run", [], hook=hook, call=call, way=way)
    train(spam.RECIPE, [f"--out={tmp_path / 'run'}", "--resume"], test=False)
    assert_same(tmp_path / "run", uninterrupted([]))


def test_a_run_killed_before_its_last_checkpoint_has_its_name_ends_with_it(tmp_path, monkeypatch, uninterrupted):
    folder = RunFolder(tmp_path / "run")
    last_step = last_checkpoint(uninterrupted([]))["global_step"]
    commit = CheckpointFiles.commit

    def killed(files, step):
        if step == last_step:
            raise Killed
        commit(files, step)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFiles, "commit", killed)
        with pytest.raises(Killed):
            main(spam.RECIPE, ["fit", f"--out={folder.path}", *TINY])
    assert folder.new.is_file()
    train(spam.RECIPE, [f"--out={folder.path}", "--resume"], test=False)
    assert_same(folder.path, uninterrupted([]))
    assert not folder.new.exists()


def test_a_run_resumes_again_and_again(tmp_path, monkeypatch, uninterrupted):
    folder = tmp_path / "run"
    flags = ["--checkpoints.every_steps=3", OFTEN]
    interrupt(monkeypatch, folder, flags, hook="validation_step", call=1, way=signal.SIGTERM)
    for call in (1, 2, 5, 3):
        interrupt(monkeypatch, folder, ["--resume"], hook="training_step", call=call, way=signal.SIGTERM)
    train(spam.RECIPE, [f"--out={folder}", "--resume"], test=False)
    assert_same(folder, uninterrupted(flags))


# Of a row that W&B gets: what depends on the machine.
MEASURED = ("_runtime", "_timestamp", "train/tokens_per_second", "train/peak_memory_mb")


def logged(folder: Path) -> list[dict[str, object]]:
    """The rows of all parts of a W&B run, in the order of their times."""
    rows = logged_in(folder).rows
    # W&B's own steps and the axis never go back.
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    axis = [row["trainer/global_step"] for row in rows]
    assert axis == sorted(axis)
    return [{name: value for name, value in row.items() if name not in MEASURED} for row in rows]


def test_a_run_goes_on_where_its_folder_has_moved_to(tmp_path, monkeypatch, uninterrupted):
    interrupt(monkeypatch, tmp_path / "run", [], hook="training_step", call=13, way=signal.SIGTERM)
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    train(spam.RECIPE, [f"--out={moved}", "--resume"], test=False)
    assert_same(moved, uninterrupted([]))
    # The second epoch is no better than the first one.
    steps = [torch.load(folder / "checkpoints/best.ckpt")["global_step"] for folder in (moved, uninterrupted([]))]
    assert steps[0] == steps[1] < last_checkpoint(moved)["global_step"]


@pytest.mark.parametrize("way", [signal.SIGTERM, Killed], ids=["SIGTERM", "killed"])
def test_a_wandb_run_goes_on_without_lost_or_doubled_rows(way, tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setattr(training, "_report", lambda *_: wandb.teardown())
    flags = ["--checkpoints.every_steps=3", "--wandb=offline", "--trainer.log_every_n_steps=1"]
    folder = tmp_path / "run"
    interrupt(monkeypatch, folder, flags, hook="training_step", call=6, way=way)
    wandb.teardown()
    rows = logged(uninterrupted(flags))
    # A signal waits for the end of its step. After a kill, the rows since the last checkpoint are there, too. There are
    # two rows of each step.
    assert logged(folder) == rows[: 10 if way is Killed else 12] and len(rows) > 20
    train(spam.RECIPE, [f"--out={folder}", "--resume"], test=False)
    assert logged(folder) == rows


# Files


def test_the_newest_checkpoints_are_kept(tmp_path):
    train(spam.RECIPE, [f"--out={tmp_path}", *TINY, "--checkpoints.every_steps=4", "--checkpoints.keep=3"], test=False)
    steps = {path.name: torch.load(path, weights_only=True)["global_step"] for path in tmp_path.glob("checkpoints/*")}
    batches = last_checkpoint(tmp_path)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"]
    steps.pop("best.ckpt")
    expected = [2 * batches, *(step for step in range(2 * batches - 1, 0, -1) if step % 4 == 0 or step == batches)]
    assert steps == {"last.ckpt": expected[0], **{f"step-{step}.ckpt": step for step in expected[1:3]}}


def test_a_checkpoint_is_due_after_some_minutes(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(CheckpointFiles, "commit", lambda self, step: saved.append(step))
    monkeypatch.setattr(CheckpointFiles, "copy_best", lambda self: None)
    train(spam.RECIPE, [f"--out={tmp_path}", *TINY, "--checkpoints.every_minutes=0"], test=False)
    assert saved[:3] == [0, 1, 2]


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(tmp_path, capsys, damage, uninterrupted, monkeypatch):
    folder = tmp_path / "run"
    flags = ["--checkpoints.every_steps=2"]
    interrupt(monkeypatch, folder, flags, hook="training_step", call=6, way=Killed)
    last = folder / "checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    # In the weights, which are most of the file.
    content[len(content) // 2] ^= 1
    last.write_bytes(content if damage == "flipped" else content[:5000])
    if damage == "missing":
        last.unlink()
    train(spam.RECIPE, [f"--out={folder}", "--resume"], test=False)
    told = f"{last}: expected a checkpoint of a run, got a damaged file or one of another kind. The run resumes from "
    assert (told in capsys.readouterr().err) == (damage != "missing")
    assert_same(folder, uninterrupted(flags))


@pytest.mark.parametrize("change, message", [(1, "a newer"), (-1, "an older")])
def test_a_checkpoint_of_another_version_is_refused(tmp_path, change, message, uninterrupted):
    last = uninterrupted([]) / "checkpoints/last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["format"] += change
    (tmp_path / "checkpoints").mkdir()
    torch.save(checkpoint, tmp_path / "checkpoints/last.ckpt")
    with pytest.raises(ZooError, match=f"last.ckpt was written by {message} version of lstm-zoo"):
        train(spam.RECIPE, [f"--out={tmp_path}", "--resume", *TINY], test=False)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """The file and then its folder are flushed, and no other file system takes part."""
    done = []
    replace = os.replace

    def synced(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def replaced(source, target):
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    WholeCheckpoints().save_checkpoint({"step": 1}, tmp_path / "new.ckpt")
    assert done == ["file", "name", "folder"]


@pytest.mark.parametrize("reason", [Killed(), OSError(28, "No space left on device")], ids=["killed", "full"])
def test_a_file_is_whole_when_its_writing_fails(tmp_path, reason):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as part:
            part.write_text("n")
            raise reason

    with pytest.raises(type(reason)) as ended:
        write()
    assert str(path) in str(ended.value) or reason.args == ()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_learning_curve_is_whole_at_any_moment(tmp_path, monkeypatch):
    def killed(table, rows):
        table.writerow(rows[0])
        if len(rows) > 1:
            raise Killed

    monkeypatch.setattr(csv.DictWriter, "writerows", killed)
    with pytest.raises(Killed):
        train(spam.RECIPE, [f"--out={tmp_path}", *TINY], test=False)
    (row,) = csv.DictReader((tmp_path / "learning-curve.csv").open())
    assert float(row["epochs"]) == 1


def test_a_process_that_does_not_see_the_checkpoints_cannot_resume(tmp_path):
    with pytest.raises(ZooError, match="last.ckpt: to resume, all processes must see the folder of the run"):
        newest_checkpoint(RunFolder(tmp_path))


def test_a_run_killed_while_names_change_can_resume(tmp_path):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    for path in (folder.new, folder.older(12), folder.older(9)):
        path.touch()
    assert folder.resumable() == [folder.new, folder.older(12), folder.older(9)]


@pytest.mark.parametrize("flag", ["every_steps=0", "every_minutes=-1", "keep=0"])
def test_an_impossible_option_is_refused(tmp_path, flag):
    with pytest.raises(ZooError, match=f"expected --checkpoints.{flag.split('=')[0]} of at least"):
        train(spam.RECIPE, [f"--out={tmp_path}/run", *TINY, f"--checkpoints.{flag}"], test=False)
    assert not (tmp_path / "run").exists()


# SLURM


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """A job of SLURM, whose `scontrol` writes down what it is asked for."""
    program = tmp_path / "bin/scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    program.chmod(0o755)
    for name, value in {
        "PATH": f"{program.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "17", "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return tmp_path


def test_a_job_whose_time_is_over_is_requeued_and_goes_on(slurm, monkeypatch, uninterrupted):
    monkeypatch.setattr(spam.RECIPE.data, "evaluation_budget", 500)
    folder = slurm / "run"
    interrupt(monkeypatch, folder, [], hook="training_step", call=4, way=signal.SIGUSR1)
    assert (slurm / "asked").read_text() == "requeue 17\n"
    assert not list(slurm.rglob("*hpc_ckpt*"))
    # SLURM runs the same command again.
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    train(spam.RECIPE, [f"--out={folder}", *TINY, "--overwrite"], test=False)
    for name in ("SLURM_NTASKS", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name)
    assert_same(folder, uninterrupted([]))


def test_a_job_that_was_stopped_before_its_first_checkpoint_begins_anew(slurm, monkeypatch):
    (slurm / "run").mkdir()
    (slurm / "run/config.yaml").write_text("ema: 0.5\n")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    train(spam.RECIPE, [f"--out={slurm}/run", *TINY, "--trainer.max_epochs=1"], test=False)
    assert last_checkpoint(slurm / "run")["recorder"]["epochs"] == 1


def test_a_checkpoint_that_another_program_has_left_is_not_loaded(slurm):
    (slurm / "hpc_ckpt_1.ckpt").touch()
    with pytest.raises(ZooError, match="Lightning would load .*hpc_ckpt_1.ckpt, which is no checkpoint of this run"):
        train(spam.RECIPE, [f"--out={slurm}/run", *TINY, f"--trainer.default_root_dir={slurm}"], test=False)
    with pytest.raises(SystemExit):
        main(spam.RECIPE, ["test", "--model=spam-en-sms", f"--trainer.default_root_dir={slurm}"])
