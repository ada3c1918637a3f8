"""What several processes of a run agree on before they train, as torchrun starts them: on one machine or on two."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from string import Template

import pytest
from command_line import SECONDS, Process, run, start
from wandb_files import logged_in

from datamodules import ClassificationDataModule
from datamodules.sampler import BatchDataset
from recipes import spam
from recipes.runner import run_folder
from recipes.runner.claim import Claim
from zoo.errors import ZooError

TINY = [
    "--model.hidden_size=8", "--model.embedding_size=8", "--data.tokenizer=words", "--trainer.precision=32-true",
    "--trainer.max_epochs=1",
]  # fmt: skip
TAGGER = [
    "--model.hidden_size=8", "--model.embedding_size=8", "--model.num_layers=1", "--trainer.precision=32-true",
    "--trainer.limit_train_batches=2", "--trainer.max_epochs=1",
]  # fmt: skip
CPU = ["--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
OWN = ["--data.train=train.tsv", "--data.dev=dev.tsv", "--data.test=test.tsv"]
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launched(rank: int, port: int, nodes: int) -> dict[str, str]:
    """The environment that torchrun gives to one of two processes, on one machine or on a machine each."""
    node, local = divmod(rank, 2 // nodes)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    numbers = {"RANK": rank, "LOCAL_RANK": local, "GROUP_RANK": node, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2 // nodes}
    return {name: str(value) for name, value in {**address, **numbers, "TORCHELASTIC_RUN_ID": "none"}.items()}


def begun(folders: list[Path], *flags: str, command: tuple[str, ...] = ()) -> list[Process]:
    """Two processes of one command, each in a folder of its own or both in the same one; by default of a training."""
    nodes = len(set(folders))
    port = free_port()
    devices = [f"--trainer.devices={2 // nodes}", f"--trainer.num_nodes={nodes}", *CPU]
    return [
        start(
            "spam", *command, *devices, *(() if command else TINY), *flags, cwd=folder, env=launched(rank, port, nodes)
        )
        for rank, folder in enumerate(folders)
    ]


def ended(processes: list[Process]) -> list[tuple[int | None, str]]:
    """The exit status of each process, and what it printed to standard error."""
    errors = [process.communicate(timeout=SECONDS)[1] for process in processes]
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


@pytest.fixture
def machines(tmp_path) -> list[Path]:
    """Two folders with the same files, as on two machines without a shared one."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        for split in ("train", "dev", "test"):
            shutil.copy(ROOT / f"datamodules/samples/reviews/spam-{split}.tsv", folder / f"{split}.tsv")
    return folders


class Clock(datetime):
    """A clock that differs between the processes by a second."""

    @classmethod
    def now(cls) -> datetime:
        return datetime(2026, 1, 1, second=int(os.environ["RANK"]))


def test_the_folder_of_a_run_is_that_of_the_first_process(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "datetime", Clock)
    for code, errors in ended(begun([tmp_path, tmp_path])):
        assert code == 0, errors
    (folder,) = (tmp_path / "runs/spam").iterdir()
    assert folder.name.endswith("00")
    assert (folder / "metrics.json").is_file()


def test_two_nodes_of_torchrun_share_a_folder_and_a_wandb_run(tmp_path):
    environment = {
        "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NODES": "2", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    command = ["bash", ROOT / "docs/torchrun.sh", "--wandb=offline", CPU[0], *TAGGER]
    nodes = [
        subprocess.Popen(
            command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **environment, "NODE_RANK": str(node)},
        )
        for node in range(2)
    ]  # fmt: skip
    try:
        for code, errors in ended(nodes):
            assert code == 0, errors
    finally:
        for node in nodes:
            node.kill()
    (folder,) = (tmp_path / "runs/pos_tagging").iterdir()
    facts = json.loads((folder / "metrics.json").read_text())
    assert facts["processes"] == 2
    (records,) = tmp_path.rglob("*.wandb")
    assert records.is_relative_to(folder / "wandb")
    logged = logged_in(folder)
    assert logged.summary["test/accuracy"] == pytest.approx(facts["scores"]["test/accuracy"])
    assert logged.config["processes"] == 2 and logged.config["trainer.num_nodes"] == 2


def slurm(rank: int, job: int, restarts: int) -> dict[str, str]:
    """The environment that SLURM gives to one of two tasks on one machine."""
    numbers = {
        "SLURM_JOB_ID": job, "SLURM_JOBID": job, "SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 2, "SLURM_NNODES": 1,
        "SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NODEID": 0, "SLURM_RESTART_COUNT": restarts,
    }  # fmt: skip
    names = {"SLURM_JOB_NAME": "pos-tagging", "SLURM_NODELIST": "127.0.0.1", "SLURM_STEP_NODELIST": "127.0.0.1"}
    return {name: str(value) for name, value in {**numbers, **names}.items()}


def test_a_job_of_slurm_resumes_in_the_folder_of_its_number(tmp_path):
    script = (ROOT / "docs/slurm.sbatch").read_text("utf-8")
    command = script[script.index("srun ") :].replace("\\\n", "")
    job = random.randrange(10_000, 60_000)
    for restarts, epochs in ((0, 1), (1, 2)):
        tasks = []
        for rank in range(2):
            environment = slurm(rank, job, restarts)
            words = [Template(word).substitute(environment) for word in shlex.split(command)]
            assert words[:5] == ["srun", "--kill-on-bad-exit=1", "python", "-m", "recipes.pos_tagging"]
            flags = ["--data.dataset=sample-en", CPU[0], *TAGGER, f"--trainer.max_epochs={epochs}"]
            tasks.append(start("pos_tagging", *words[5:], *flags, cwd=tmp_path, env=environment))
        for code, errors in ended(tasks):
            assert code == 0, errors
        facts = json.loads((tmp_path / f"runs/pos_tagging/{job}/metrics.json").read_text())
        assert facts["epochs"] == epochs and facts["processes"] == 2


def test_equal_files_on_two_machines_are_the_same_data(machines):
    for code, errors in ended(begun(machines, *OWN, "--out=run")):
        assert code == 0, errors


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_other_files_on_another_machine_are_refused_on_both(machines, split):
    file = machines[1] / f"{split}.tsv"
    file.write_text(file.read_text("utf-8").replace("ham\t", "spam\t", 1))
    for code, errors in ended(begun(machines, *OWN)):
        assert code == 2 and f"process 1 on {socket.gethostname()} and process 0 " in errors, errors
        assert f"differ in the files of {split}: give all processes the same files" in errors
    assert not (machines[0] / "runs").exists()


def test_a_file_that_one_machine_lacks_is_an_error_on_both(machines):
    (machines[1] / "test.tsv").unlink()
    (first, told), (second, own) = ended(begun(machines, *OWN))
    assert first == second == 2
    assert "error: test.tsv: expected a file to read" in own
    assert f"error: process 1 on {socket.gethostname()}: test.tsv: expected a file to read" in told
    assert not (machines[0] / "runs").exists()


def test_a_trained_model_is_scored_on_equal_files_that_all_machines_have(machines):
    flags = ["--model=spam-en-sms", "--data.test=test.tsv"]
    for code, errors in ended(begun(machines, *flags, command=("test",))):
        assert code == 0, errors
    file = machines[1] / "test.tsv"
    file.write_text(file.read_text("utf-8").replace("ham\t", "spam\t", 1))
    for code, errors in ended(begun(machines, *flags, command=("test",))):
        assert code == 2 and "differ in the files of test: " in errors, errors
    file.unlink()
    for code, errors in ended(begun(machines, *flags, command=("test",))):
        assert code == 2 and "test.tsv: expected a file to read" in errors, errors


def test_a_folder_that_the_first_process_must_not_use_is_an_error_of_all(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.json").write_text("an older run")
    for code, errors in ended(begun([tmp_path, tmp_path], "--out=run")):
        assert code == 2 and "run has files that a run would replace (metrics.json)" in errors


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_split_with_fewer_rows_than_processes_is_refused_before_training(machines, split):
    for folder in machines:
        lines = (folder / f"{split}.tsv").read_text("utf-8").splitlines(keepends=True)
        (folder / f"{split}.tsv").write_text("".join(lines[:2]))
    for code, errors in ended(begun(machines, *OWN)):
        assert code == 2 and f"got 1 in {split}.tsv: use fewer devices" in errors, errors


def test_processes_that_do_not_fit_the_flags_are_refused(tmp_path):
    for code, errors in ended(begun([tmp_path, tmp_path], "--trainer.devices=2", "--trainer.num_nodes=2")):
        assert code == 2, errors


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_dies_ends_the_other_with_a_message(tmp_path, killed):
    processes = begun([tmp_path, tmp_path], "--out=run", "--trainer.max_epochs=200")
    while not (tmp_path / "run/checkpoints/last.ckpt").exists():
        assert processes[0].poll() is processes[1].poll() is None
        time.sleep(0.02)
    processes[killed].send_signal(signal.SIGKILL)
    begin = time.monotonic()
    code, errors = ended(processes)[1 - killed]
    assert code == 2 and time.monotonic() - begin < 30
    assert "error: the connection to another process of this run is lost" in errors and "Traceback" not in errors
    assert "-m recipes.spam --out run --resume" in errors


def die(rows: object) -> None:
    """Ends a process that loads data, as the system does where memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


class DiesAtOnce(ClassificationDataModule):
    num_workers = 1

    def _encode(self, split: str) -> BatchDataset[object]:
        dataset = super()._encode(split)
        dataset.batch = die
        return dataset


def test_a_process_that_loads_data_and_dies_ends_all(tmp_path, monkeypatch):
    monkeypatch.setattr(spam, "RECIPE", replace(spam.RECIPE, data=DiesAtOnce))
    for code, errors in ended(begun([tmp_path, tmp_path])):
        assert code == 2 and "error: a process that loads data has ended" in errors, errors


# Runs that meet in one folder


def test_of_two_runs_that_begin_at_once_one_gets_the_folder(tmp_path):
    runs = [start("spam", "fit", "--out=run", CPU[0], *TINY, cwd=tmp_path) for _ in range(2)]
    (code, _), (other, errors) = sorted(ended(runs))
    assert code == 0 and other == 2, errors
    assert "another run is writing into run: wait until it ends, or choose another folder" in errors
    assert (tmp_path / "run/metrics.json").is_file()


def test_a_folder_is_free_once_its_run_has_ended(tmp_path):
    claim = Claim(tmp_path)
    with pytest.raises(ZooError, match="another run is writing into"):
        Claim(tmp_path)
    claim.release()
    Claim(tmp_path).release()
    del claim


@pytest.mark.parametrize("out", ["/proc/run", "/dev/null/run"])
def test_a_folder_that_cannot_be_written_is_refused_before_training(out, tmp_path):
    done = run("spam", f"--out={out}", CPU[0], *TINY, cwd=tmp_path, fails=True)
    assert done.returncode == 2 and "expected a folder" in done.stderr and "epoch" not in done.stderr
