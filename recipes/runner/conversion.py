"""Stores a trained model in fewer bits, and tells what that costs: the answers and scores on dev, before and after."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from recipes.reports.json_text import json_text
from recipes.reports.tables import print_scores
from recipes.runner.evaluation import configured, evaluation_parser, load_model
from recipes.runner.parser import one_of
from recipes.runner.recipe import Recipe
from zoo.errors import ZooError
from zoo.hub.sources import local_folder
from zoo.model_card import publish_card
from zoo.model_folder import ModelFolder
from zoo.models.base import ZooModule
from zoo.storage import DTYPES

# What a card says of files and scores that are not those of the converted model.
REPLACED = ("sha256", "parameters", "dtype", "bytes", "scores", "best_dev", "dev_slice_score", "speed")


class Outcome(NamedTuple):
    """What a model makes of dev."""

    answers: list[Any]
    scores: dict[str, float]


def convert(recipe: Recipe, args: Sequence[str]) -> None:
    """Runs `convert`: writes a model folder, prints tables of scores to standard error and JSON to standard output."""
    parser = evaluation_parser(recipe, "convert")
    parser.add_argument("--out", type=str, required=True, help="The folder to write, which must not exist.")
    parser.add_argument("--dtype", type=one_of(DTYPES), default="int8", help="How the weights are stored.")
    config = configured(parser, args, recipe, "dev")
    out = Path(config.out)
    if out.exists():
        raise ZooError(f"--out {out} exists: name a new folder, or remove this one")
    if config.trainer.world_size > 1:
        raise ZooError("convert runs on one process: leave --trainer.devices out")
    model = load_model(config.model, recipe)
    before = _outcome(recipe, config, model)
    model.save_pretrained(out, dtype=config.dtype)
    after = _outcome(recipe, config, load_model(str(out), recipe))
    conversion = {
        "same_answers": same_answers(before.answers, after.answers),
        "before": before.scores,
        "after": after.scores,
    }
    kept = {name: value for name, value in _card_of(config.model).items() if name not in REPLACED}
    publish_card(out, {**kept, "name": out.name, "conversion": conversion})
    print_scores(f"{config.model} on dev", before.scores, file=sys.stderr)
    print_scores(f"{out} ({config.dtype}) on dev", after.scores, file=sys.stderr)
    print(json_text(conversion))


def same_answers(before: Sequence[Any], after: Sequence[Any]) -> float:
    """The fraction of equal decisions: tags of tokens, labels of texts, or whole output texts.

    >>> same_answers([["A", "B"], ["A", "A"]], [["A", "B"], ["A", "C"]])
    0.75
    """
    first = [decision for answer in before for decision in _decisions(answer)]
    second = [decision for answer in after for decision in _decisions(answer)]
    equal = [one for one, other in zip(first, second, strict=True) if one == other]
    return len(equal) / max(1, len(first))


def _decisions(answer: Any) -> list[Any]:
    """The decisions in an answer. Probabilities are none."""
    if isinstance(answer, dict):
        return [answer["label"] if "label" in answer else answer["labels"]]
    return list(answer) if isinstance(answer, list) else [answer]


def _outcome(recipe: Recipe, config: Any, model: ZooModule) -> Outcome:
    trainer: pl.Trainer = config.trainer
    data = recipe.data(**config.data, codec=model.codec)
    scores = trainer.validate(model, data, verbose=False)[0]
    answers: dict[int, Any] = {}
    # The Trainer has moved the model back to the CPU.
    with torch.inference_mode():
        for number, batch in enumerate(data.val_dataloader()):
            predictions = model.predict_step(batch, number)
            answers.update(zip(predictions.rows, predictions.answers, strict=True))
    return Outcome([answers[row] for row in sorted(answers)], dict(scores))


def _card_of(reference: str) -> dict[str, Any]:
    """The card of a model; empty for a checkpoint, which has none."""
    if Path(reference).is_file():
        return {}
    return ModelFolder(local_folder(reference)).card
