"""What a W&B run gets at its ends: the data that it reads, and at last its pictures, scores and model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from recipes.reports.examples import Content, ScoredExample, chosen, read_examples
from recipes.runner.run_folder import RunFolder
from recipes.runner.wandb_config import corpus_name
from recipes.runner.wandb_run import CountingLogger, harmless
from zoo.model_folder import CARD

if TYPE_CHECKING:
    from wandb import Artifact
    from wandb.sdk.wandb_run import Run

DATA_DIR = "WANDB_DATA_DIR"
# Of the tables of examples.
COLUMNS: list[str | int] = ["source", "gold", "predicted", "loss"]


def log_data(logger: CountingLogger | None, folder: RunFolder, config: Mapping[str, object]) -> None:
    """Names the data as an input of a run that is online. W&B gets the names and sums of the files, and no text.

    Args:
        logger: the logger of the run.
        folder: the folder of the run.
        config: the config of the run.
    """
    # W&B refuses inputs of an offline run.
    if logger is None or logger.experiment.offline:
        return
    run = logger.experiment
    with harmless("name the data of this run"), _kept_in(folder.path / "wandb"):
        artifact = data_artifact(config)

        def use() -> None:
            with harmless("name the data of this run"):
                run.use_artifact(artifact)

        # W&B waits for its server, however long that takes.
        Thread(target=use, daemon=True).start()


def data_artifact(config: Mapping[str, object]) -> Artifact:
    """The corpus of a run as an artifact, which has a new version if a file has another content.

    Args:
        config: the config of the run.
    """
    import wandb

    files = {name: value for name, value in config.items() if name.startswith("corpus.")}
    artifact = wandb.Artifact(artifact_name(corpus_name(config)), type="dataset", metadata=files)
    with artifact.new_file("files.json", encoding="utf-8") as file:
        json.dump(files, file, indent=2, ensure_ascii=False)
    return artifact


def log_results(
    logger: CountingLogger | None,
    folder: RunFolder,
    facts: Mapping[str, Any],
    best: Mapping[str, float],
    pictures: Sequence[Path],
) -> None:
    """Gives a W&B run its pictures, examples, summary and model, and ends it.

    The summary describes the model that is saved: its scores on dev, not those of the last epoch.

    Args:
        logger: the logger of the run.
        folder: the folder of the run, with the model.
        facts: the content of `metrics.json`.
        best: the row of the learning curve that the model is of.
        pictures: files of pictures.
    """
    if logger is None:
        return
    import wandb

    run = logger.experiment
    if logger.failed:
        # Otherwise W&B would try once more as Python ends, and print a traceback.
        with suppress(Exception):
            wandb.teardown()
        return
    with _kept_in(folder.path / "wandb"):
        with harmless("show the pictures of this run"):
            logger.log_media({picture.stem: wandb.Image(str(picture)) for picture in pictures})
        with harmless("show the examples of this run"):
            shown = chosen(read_examples(folder.examples))
            tables = {"worst-examples": shown.worst, "random-examples": shown.at_random}
            logger.log_media({name: wandb.Table(COLUMNS, cells(examples)) for name, examples in tables.items()})
        with harmless("keep the model of this run"):
            run.log_artifact(_model_artifact(run, folder, facts), aliases=["best", "latest"])
    with harmless("keep the scores of this run"):
        of_dev = {name: value for name, value in best.items() if name.startswith("val/")}
        costs = {name: facts[name] for name in ("epochs", "train_seconds", "train_tokens_per_second", "peak_memory_mb")}
        run.summary.update({**of_dev, **facts["scores"], "best_epoch": best["epochs"], **costs})
    with harmless("end this run"):
        run.finish()


def _model_artifact(run: Run, folder: RunFolder, facts: Mapping[str, Any]) -> Artifact:
    """The model folder of a run as an artifact, with its card."""
    import wandb

    card = json.loads((folder.model / CARD).read_text("utf-8"))
    metadata = {**card, "best_dev": facts["best_dev"], "scores": facts["scores"]}
    artifact = wandb.Artifact(artifact_name(f"model-{run.id}"), type="model", metadata=metadata)
    for path in sorted(folder.model.iterdir()):
        # W&B uploads the file from where it is. An offline run may be synced on a machine with the same path to it.
        artifact.add_file(str(path if run.offline else path.resolve()), policy="immutable")
    return artifact


def cells(examples: Iterable[ScoredExample]) -> list[list[str | float | None]]:
    """The cells of a table of examples, a row each."""
    return [[_text(one.source), _text(one.gold), _text(one.predicted), one.loss] for one in examples]


def _text(content: Content | None) -> str | None:
    if content is None:
        return None
    text = content if isinstance(content, str) else " ".join(content)
    # W&B stores UTF-8, which has no lone surrogates.
    return text.encode(errors="backslashreplace").decode()


def artifact_name(name: str) -> str:
    """A name without the characters that W&B refuses in a name.

    >>> artifact_name("hf:stanfordnlp/imdb")
    'hf-stanfordnlp-imdb'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:128]


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """A block in which W&B copies what it has yet to upload into a folder of the run, not into the user's home."""
    if os.environ.get(DATA_DIR):
        yield
        return
    os.environ[DATA_DIR] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ[DATA_DIR]
