"""What a run may do, what it keeps, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from command_line import Process, start
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import Namespace

from recipes import pos_tagging, spam
from recipes.runner.callbacks import best_row
from recipes.runner.checkpoints import WholeCheckpoints
from recipes.runner.cli import main
from recipes.runner.flags import TrainingCLI
from recipes.runner.permissions import UNSAVED, permissions, without_permissions
from recipes.runner.run_folder import FILES
from recipes.runner.training import train
from recipes.runner.wandb_modes import MODES
from zoo import TextClassifier
from zoo.errors import ZooError

TINY = [
    "--model.hidden_size=8", "--model.embedding_size=8", "--data.tokenizer=words", "--trainer.precision=32-true",
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.limit_train_batches=2",
]  # fmt: skip
ONE = [*TINY, "--trainer.max_epochs=1"]


def config_of(path: Path, content: object) -> str:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def fit(folder: Path, *args: str) -> None:
    train(spam.RECIPE, [f"--out={folder}", *args, *ONE], test=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of one epoch that was allowed to delete an older one, and asked for a logger of its own."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints/last.ckpt").write_text("an older run")
    logger = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={folder.parent / 'logs'}"]
    fit(folder, "--overwrite", *logger)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Permissions


def test_a_config_says_what_a_run_is_and_allows_nothing(finished):
    settings = yaml.safe_load((finished / "config.yaml").read_text())
    assert settings["model"]["hidden_size"] == 8 and settings["trainer"]["max_epochs"] == 1
    assert not settings.keys() & set(UNSAVED)


def test_the_config_of_a_finished_run_makes_another_run(finished, tmp_path, monkeypatch):
    before = files_of(finished)
    monkeypatch.chdir(tmp_path)
    train(spam.RECIPE, ["--config", str(finished / "config.yaml"), "--seed_everything=5"], test=False)
    (again,) = (tmp_path / "runs/spam").iterdir()
    assert (again / "metrics.json").is_file() and files_of(finished) == before


@pytest.mark.parametrize(
    "content, flag",
    [
        ({"overwrite": True}, "--overwrite"),
        ({"resume": True}, "--resume"),
        ({"resume": True, "overwrite": True}, "--overwrite --resume"),
        ({"trust": "os.system"}, "--trust os.system"),
        *(({"wandb": mode}, "--wandb online") for mode in ("online", "run", "shared")),
    ],
    ids=str,
)
def test_no_file_allows_anything(tmp_path, content, flag):
    path = config_of(tmp_path / "shared.yaml", content)
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.json").write_text("mine")
    with pytest.raises(ZooError, match=f"shared.yaml: .* on the command line, never in a file: .* add {flag} to"):
        fit(run, "--config", path)
    assert (run / "metrics.json").read_text() == "mine"


def test_a_file_that_allows_nothing_is_read(tmp_path, capsys):
    with pytest.raises(SystemExit):
        TrainingCLI(spam.RECIPE, ["--print_config"], test=True)
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    fit(tmp_path / "run", "--config", str(tmp_path / "printed.yaml"))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "overwrite": st.booleans(),
            "resume": st.booleans(),
            "trust": st.none() | st.just("a.B"),
            "wandb": st.none() | st.sampled_from(sorted(MODES)),
            "out": st.none() | st.just("runs/x"),
            "ema": st.just(0.9),
        },
    )
)
def test_what_is_saved_of_settings_holds_no_permission_and_the_rest(settings):
    kept = without_permissions(Namespace(settings))
    assert permissions(kept) == [] and "out" not in kept
    assert kept.get("ema") == settings.get("ema")
    harmless = settings.get("wandb") in ("offline", "dryrun", "disabled")
    assert kept.get("wandb") == (settings["wandb"] if harmless else None)


# Code in a shared folder


# A class that is once imported stays known to the parser: each test that trusts one has a module of its own.
EVIL_MODULES = ("evil_module", "evil", "config", "trusted_module", "later_module")


@pytest.fixture
def evil(tmp_path, monkeypatch) -> Path:
    """A folder with modules that note when somebody imports them, as a shared folder may have them."""
    code = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
    code += "from pytorch_lightning.callbacks import Callback\nclass Evil(Callback): pass\n"
    for name in EVIL_MODULES:
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in EVIL_MODULES:
        sys.modules.pop(name, None)


CALLS_EVIL = {"class_path": "LambdaCallback", "init_args": {"on_fit_start": "evil_module.Evil"}}


@pytest.mark.parametrize(
    "trainer",
    [
        {"callbacks": [{"class_path": "evil_module.Evil"}]},
        {"callbacks": {"class_path": "evil_module.Evil"}},
        {"callbacks": ["evil_module.Evil"]},
        {"callbacks": "evil_module.Evil"},
        {"callbacks": CALLS_EVIL},
        {"callbacks": "nested.yaml"},
        {"callbacks": "evil.yaml"},
        {"callbacks": "config.yaml"},
        {"logger": "evil_module.Evil"},
        {"logger": [{"class_path": "evil_module.Evil"}]},
        {"strategy": {"class_path": "evil_module.Evil"}},
        {"accelerator": {"class_path": "evil_module.Evil"}},
        {"profiler": {"class_path": "evil_module.Evil"}},
        {"plugins": [{"class_path": "evil_module.Evil"}]},
        {"callbacks": [{"class_path": "pytorch_lightning.callbacks.callback.os.system"}]},
        {"callbacks": {"class_path": "LambdaCallback", "init_args": {"on_fit_start": "os.getcwd"}}},
    ],
    ids=str,
)
def test_a_config_runs_no_code_of_others(evil, trainer):
    config_of(evil / "nested.yaml", {"class_path": "evil_module.Evil"})
    config_of(evil / "evil.yaml", {"class_path": "evil.yaml"})
    path = config_of(evil / "config.yaml", {"trainer": trainer})
    assert_nothing_runs(evil, "--config", path)


@pytest.mark.parametrize("flag", ["--trainer.logger=config.yaml", "--data.train=evil_module.Evil"])
@pytest.mark.parametrize("trainer", [{"callbacks": "evil_module.Evil"}, {"logger": "evil_module.Evil"}], ids=str)
def test_flags_beside_a_config_run_no_code_of_others(evil, trainer, flag):
    path = config_of(evil / "config.yaml", {"trainer": trainer})
    assert_nothing_runs(evil, "--config", path, flag)


def assert_nothing_runs(evil: Path, *args: str) -> None:
    """The run is refused in one line, before it has a folder and before any module of others is imported."""
    with pytest.raises(ZooError) as raised:
        fit(evil / "run", *args)
    assert "\n" not in str(raised.value)
    assert not list(evil.glob("*.ran")) and not (evil / "run").exists()


@pytest.mark.parametrize("part", ["data", "model", "model.optimizer", "model.recurrent", "data.dataset"])
def test_a_config_replaces_neither_model_nor_data(evil, part):
    content: object = {"class_path": "evil_module.Evil"}
    for name in reversed(part.split(".")):
        content = {name: content}
    path = config_of(evil / "config.yaml", content)
    with pytest.raises(ZooError):
        fit(evil / "run", "--config", path)
    assert not list(evil.glob("*.ran"))


CALL = "!!python/object/apply:evil_module.Evil []"


@pytest.mark.parametrize("content", [CALL, f"trainer:\n  callbacks: {CALL}", "model: !!python/name:evil_module.Evil"])
def test_a_tag_of_yaml_makes_no_object(evil, content):
    (evil / "config.yaml").write_text(content)
    with pytest.raises(ZooError, match="could not determine a constructor for the tag"):
        fit(evil / "run", "--config=config.yaml")
    assert not list(evil.glob("*.ran"))


@pytest.mark.parametrize("path", [".", "/dev/null", "missing.yaml"])
def test_a_config_that_is_no_file_is_refused(evil, path):
    with pytest.raises(ZooError, match="--config: Path is not a file|--config: File does not exist"):
        fit(evil / "run", f"--config={path}")


def test_a_class_that_is_not_trusted_is_named_with_the_way_out(evil):
    path = config_of(evil / "config.yaml", {"trainer": {"callbacks": [{"class_path": "evil_module.Evil"}]}})
    with pytest.raises(ZooError, match="names evil_module.Evil, .*: if you trust it, add --trust evil_module.Evil$"):
        fit(evil / "run", "--config", path)


def test_a_class_that_the_command_names_is_trusted_and_must_be_named_again(evil):
    fit(evil / "run", "--trainer.callbacks=trusted_module.Evil")
    assert (evil / "trusted_module.ran").exists()
    path = str(evil / "run/config.yaml")
    cli = TrainingCLI(spam.RECIPE, ["--config", path, "--trust=trusted_module.Evil", "--out=other"], test=False)
    assert [type(callback).__name__ for callback in cli.trainer.callbacks].count("Evil") == 1
    assert shlex.split(cli.resume_command)[3:] == ["--out", "other", "--resume", "--trust", "trusted_module.Evil"]


def test_trust_holds_wherever_it_stands_and_is_not_abbreviated(evil):
    path = config_of(evil / "config.yaml", {"trainer": {"callbacks": ["later_module.Evil"]}})
    not_trusted = "names later_module.Evil"
    refused = [
        (["--config", path, "--trust=another.Class"], not_trusted),
        (["--config", path, "--trus=later_module.Evil"], not_trusted),
        (["--trust=later_module.Evil,nonsense"], "--trust: expected names of classes .* got 'later_module.Evil,"),
    ]
    for flags, message in refused:
        with pytest.raises(ZooError, match=message):
            TrainingCLI(spam.RECIPE, flags, test=False)
    assert not list(evil.glob("*.ran"))
    TrainingCLI(spam.RECIPE, ["--config", path, "--trust", "os.path,later_module.Evil", "--out=run"], test=False)


@pytest.mark.parametrize("name", ["resume", "overwrite"])
@pytest.mark.parametrize("flags, value", [([], False), ([""], True), (["=true"], True), (["=false"], False)])
def test_a_switch_needs_no_value(name, flags, value, monkeypatch):
    monkeypatch.setattr(TrainingCLI, "before_instantiate_classes", lambda cli: None)
    monkeypatch.setattr(TrainingCLI, "instantiate_classes", lambda cli: None)
    cli = TrainingCLI(spam.RECIPE, [*(f"--{name}{flag}" for flag in flags), "--ema=0.5"], test=False)
    assert cli.config[name] is value and cli.config.ema == 0.5


# How a run ends, and goes on


def started(cwd: Path, *args: str) -> Process:
    """A training without an end that has saved at least two checkpoints, one after each epoch."""
    process = start("spam", "--out=run", "--trainer.max_epochs=9999", *TINY, *args, cwd=cwd)
    while not list(cwd.glob("run/checkpoints/step-*.ckpt")) and process.poll() is None:
        time.sleep(0.02)
    return process


def test_a_run_that_is_killed_saves_and_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.json").write_text("an older run")
    process = started(tmp_path, "--overwrite", "--model.dropout=0.3")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, errors[-2000:]
    command = shlex.split(errors.splitlines()[-1])
    assert command[1:] == "-m recipes.spam --out run --resume".split()
    monkeypatch.chdir(tmp_path)
    done = torch.load("run/checkpoints/last.ckpt", weights_only=True)["recorder"]["epochs"]
    before = files_of(tmp_path)
    with pytest.raises(ZooError, match=f"max_epochs 1 is less than the {done:.3g} finished epochs of"):
        train(spam.RECIPE, [*command[3:], "--trainer.max_epochs=1"], test=True)
    assert files_of(tmp_path) == before
    # The settings are those of the run, the flags beside them win, and the older run is not asked after.
    train(spam.RECIPE, [*command[3:], f"--trainer.max_epochs={int(done) + 2}"], test=True)
    settings = yaml.safe_load(Path("run/config.yaml").read_text())
    assert settings["model"]["dropout"] == 0.3 and settings["trainer"]["max_epochs"] == int(done) + 2
    assert json.loads(Path("run/metrics.json").read_text())["epochs"] == int(done) + 2


def test_a_signal_after_the_last_batch_ends_the_run_too(tmp_path, monkeypatch, capsys):
    """Told to end while the last epoch is scored, a run saves that epoch, and a resume has only to report."""
    monkeypatch.setattr(spam.RECIPE.model, "on_validation_start", lambda _: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main(spam.RECIPE, ["fit", f"--out={tmp_path / 'run'}", *ONE])
    assert ended.value.code == 143 and "--resume" in capsys.readouterr().err.splitlines()[-1]
    assert signal.getsignal(signal.SIGTERM) == before
    monkeypatch.undo()
    train(spam.RECIPE, [f"--out={tmp_path / 'run'}", "--resume"], test=False)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 1


def test_a_run_that_is_killed_while_it_is_tested_does_not_end_well(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(spam.RECIPE.data, "evaluation_budget", 50)  # in several batches
    monkeypatch.setattr(spam.RECIPE.model, "on_test_start", lambda _: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        main(spam.RECIPE, [f"--out={tmp_path / 'run'}", *ONE])
    printed = capsys.readouterr()
    assert ended.value.code == 143 and "next:" not in printed.out and "--resume" in printed.err


def test_a_truncated_checkpoint_does_not_replace_a_complete_one(tmp_path):
    resource = pytest.importorskip("resource")
    path, writer = tmp_path / "last.ckpt", WholeCheckpoints()
    writer.save_checkpoint({"weights": torch.ones(10)}, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # as a full disk, from the middle on
        with pytest.raises(OSError, match=f"'{path}'"):
            writer.save_checkpoint({"weights": torch.ones(20_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert torch.load(path, weights_only=True)["weights"].numel() == 10
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_reported_in_one_line_and_keeps_the_previous_checkpoint(tmp_path, monkeypatch, capsys):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(module) -> None:  # the disk, before the second epoch ends
        if module.current_epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    monkeypatch.setattr(spam.RECIPE.model, "on_train_epoch_start", fill)
    out = tmp_path / "run"
    try:
        with pytest.raises(OSError, match=f"File too large: '{out}/checkpoints/.*.ckpt'"):
            train(spam.RECIPE, [f"--out={out}", *TINY, "--trainer.max_epochs=3"], test=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    resume = capsys.readouterr().err.splitlines()[-1]
    assert resume.endswith(f" -m recipes.spam --out {out} --resume")
    monkeypatch.undo()
    assert torch.load(out / "checkpoints/last.ckpt", weights_only=True)["recorder"]["epochs"] == 1
    train(spam.RECIPE, shlex.split(resume)[3:], test=False)
    assert json.loads((out / "metrics.json").read_text())["epochs"] == 3


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_name_that_the_output_cannot_encode_does_not_fail_the_run(tmp_path, monkeypatch, encoding):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    main(spam.RECIPE, ["fit", f"--out={tmp_path / '训练'}", *ONE])
    with pytest.raises(SystemExit):
        main(spam.RECIPE, ["test", f"--model={tmp_path / '没有'}"])
    for stream in streams.values():
        stream.flush()
    printed = {name: stream.buffer.getvalue() for name, stream in streams.items()}
    monkeypatch.undo()
    assert b"\\u8bad\\u7ec3" in printed["stdout"] and b"\\u6ca1" in printed["stderr"]


# What a run writes


def test_loggers_that_are_asked_for_work(finished):
    with (finished.parent / "logs/lightning_logs/version_0/metrics.csv").open() as file:
        assert any(row.get("val/macro_f1") for row in csv.DictReader(file))


def test_a_logger_without_a_place_writes_into_the_run(tmp_path):
    fit(tmp_path / "run", "--trainer.logger=true")
    assert any(path.is_file() for path in (tmp_path / "run/lightning_logs").rglob("*"))


def test_the_learning_curve_is_a_table(finished):
    assert "learning-curve.csv" in FILES
    with (finished / "learning-curve.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    best = json.loads((finished / "metrics.json").read_text())["best_dev"]
    assert {name: float(row[name]) for name in best} == best
    assert float(row["epochs"]) == 1 and float(row["train/loss"]) > 0 and float(row["seconds"]) > 0


def test_the_table_of_a_training_is_its_output_and_json_that_of_a_test(finished, tmp_path, capsys):
    train(spam.RECIPE, [f"--out={tmp_path / 'run'}", *ONE], test=True)
    assert "test/accuracy" in capsys.readouterr().out
    main(spam.RECIPE, ["test", f"--model={finished}"])
    printed = capsys.readouterr()
    assert json.loads(printed.out) and "test/accuracy" in printed.err


def test_a_score_that_is_better_when_lower_is_minimised_and_printed_as_a_plain_number(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(TextClassifier, "monitor", property(lambda _: "val/loss", lambda *_: None), raising=False)
    # A learning rate this high makes the losses of the epochs differ.
    args = [
        f"--out={tmp_path / 'run'}",
        *TINY,
        "--trainer.max_epochs=4",
        "--model.optimizer.learning_rate=2",
        "--ema=0",
    ]
    train(spam.RECIPE, args, test=False)
    printed = capsys.readouterr()
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    losses = [row["val/loss"] for row in last["recorder"]["rows"]]
    assert min(losses) < max(losses)
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    assert facts["best_dev"] == {"val/loss": min(losses)}
    assert facts["scores"]["val/loss"] == pytest.approx(min(losses), abs=1e-5)
    assert f"val/loss {losses[0]:.4f}  " in printed.err and f" {min(losses):.4f} │" in printed.out


@pytest.mark.parametrize("monitor, best", [("val/f1", 2), ("val/loss", 1)])
def test_the_best_row_is_the_first_of_the_best_score(monitor, best):
    rows = [{"epochs": epochs, monitor: value} for epochs, value in enumerate([math.nan, 0.1, 0.9, 0.9, 0.1])]
    assert best_row(rows, monitor)["epochs"] == best


# Flags that the Trainer has no use for


def test_a_typo_is_answered_in_two_lines(capsys):
    with pytest.raises(SystemExit) as ended:
        main(pos_tagging.RECIPE, ["--model.hiden_size=3"])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 2
    assert lines[0].startswith("error: ") and "--model.hiden_size" in lines[0]
    assert "--model.hidden_size" in lines[1] and "--help lists all" in lines[1]


@pytest.mark.parametrize(
    "flag, message",
    [
        ("devices=abc", "devices"),
        ("devices=0", "devices"),
        ("devices=[]", "devices"),
        ("num_nodes=0", "num_nodes"),
        ("accelerator=tpu", "torch_xla"),
        ("accelerator=abc", "abc"),
        ("accelerator=cuda", "CUDA|GPU|accelerator"),
        ("strategy=abc", "abc"),
        ("strategy=deepspeed", "deepspeed|DeepSpeed"),
        ("strategy=fsdp", "FSDP"),
        ("strategy=ddp_spawn", "trains in copies of this process, .* use ddp$"),
        ("strategy=ddp_notebook", "trains in copies of this process, .* use ddp$"),
        ("precision=abc", "expected one of .*16-mixed"),
        ("precision=transformer-engine", "transformer"),
        ("profiler=abc", "profiler"),
        ("plugins=abc", "abc"),
        ("logger=abc", "abc"),
        ("logger=MLFlowLogger", "mlflow"),
        ("callbacks=abc", "abc"),
        ("max_epochs=two", "expected int, got two"),
        ("max_time=abc", "abc|max_time"),
        ("max_steps=-5", "max_steps"),
        ("limit_train_batches=0.0001", "limit_train_batches 0.0001 of .* batches is less than one batch"),
        ("limit_train_batches=-1", "limit_train_batches|-1"),
        ("limit_train_batches=1.5", "1.5"),
        ("limit_val_batches=0.001", "limit_val_batches 0.001 of .* is less than one batch"),
        ("limit_test_batches=0.001", "limit_test_batches 0.001 of .* is less than one batch"),
        ("overfit_batches=0.0001", "is less than one batch"),
        ("val_check_interval=abc", "val_check_interval"),
        ("val_check_interval=-1", "val_check_interval|-1"),
        ("val_check_interval=1.5", "1.5"),
        ("check_val_every_n_epoch=abc", "expected int, got abc"),
        ("gradient_clip_algorithm=abc", "abc"),
        ("gradient_clip_val=abc", "abc"),
        ("accumulate_grad_batches=0", "accumulate_grad_batches|0"),
        ("reload_dataloaders_every_n_epochs=-1", "reload_dataloaders_every_n_epochs"),
        ("deterministic=abc", "abc"),
        ("log_every_n_steps=abc", "abc"),
    ],
)
def test_a_bad_value_of_a_trainer_flag_is_an_error_of_one_line(tmp_path, flag, message):
    with pytest.raises(ZooError, match=message) as raised:
        train(spam.RECIPE, [f"--out={tmp_path / 'run'}", *ONE, f"--trainer.{flag}"], test=True)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 700
    assert not (tmp_path / "run").exists()
