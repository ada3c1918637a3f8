"""Adds the model of a finished run to the bundled models, with weights in fp16 or int8 and a card.

python tools/bundle_model.py runs/pos_tagging/TIME pos-en-ewt --commit 75553ec --prose prose.yaml
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import yaml

import zoo
from datamodules import CATALOG, ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.base import CorpusDataModule
from datamodules.corpus_files import SPLITS
from recipes.runner.evaluation import scored
from recipes.runner.hardware import hardware
from recipes.runner.verification import recipe_of
from zoo.errors import ZooError
from zoo.hub.sources import BUNDLED
from zoo.metrics.generation import MONITORS, SCORES
from zoo.model_card import publish_card
from zoo.model_folder import CARD
from zoo.models.base import ZooModule
from zoo.storage import DTYPES

# The argument of a task's datamodule that says where the tags, labels or targets are.
GOLD = {"tagging": "column", "classification": "label_column", "seq2seq": "target"}
# The number of texts or sentences of dev on which a test computes the score of a bundled model again.
SLICE = 400
# The number of pairs for the same test. They are fewer, because decoding takes longer.
PAIRS = 40


def slice_score(model: ZooModule, data: Mapping[str, Any]) -> float:
    """The accuracy of a model, or its BLEU or ROUGE-L, on the first rows of dev.

    `data` holds the arguments of the datamodule, as the card has them.

    Raises:
        ZooError: there are no bundled models of this kind.
    """
    if isinstance(model, zoo.Seq2Seq):
        pairs = Seq2SeqDataModule(**data).pairs("dev")[:PAIRS]
        # Without `n_best`, each output is a string already.
        outputs = [str(output) for output in model.predict([pair.source for pair in pairs])]
        name = model.hparams["metric"]
        language = model.codec.language
        return SCORES[name](outputs, [pair.target for pair in pairs], language)[MONITORS[name]]
    if isinstance(model, zoo.TextClassifier):
        texts = ClassificationDataModule(**data).texts("dev")[:SLICE]
        results = model.predict([text.text for text in texts])
        gold_labels = [text.labels[0] for text in texts]
        return _accuracy(gold_labels, [result["label"] for result in results])
    if isinstance(model, zoo.SequenceTagger):
        # With the model's codec, the gold tags are in its scheme, which the training may have converted to.
        sentences = TaggingDataModule(**data, codec=model.codec).sentences("dev")[:SLICE]
        tags = model.predict([sentence.tokens for sentence in sentences])
        gold_tags = [sentence.tags for sentence in sentences]
        return _accuracy(list(chain.from_iterable(gold_tags)), list(chain.from_iterable(tags)))
    raise ZooError(f"expected a tagger, a classifier or a sequence-to-sequence model, got {type(model).__name__}")


def inputs(model: ZooModule, data: Mapping[str, Any], split: str) -> list[Any]:
    """What a model reads of a split, as `predict` takes it."""
    if isinstance(model, zoo.Seq2Seq):
        return [pair.source for pair in Seq2SeqDataModule(**data).pairs(split)]
    if isinstance(model, zoo.TextClassifier):
        return [text.text for text in ClassificationDataModule(**data).texts(split)]
    return [sentence.tokens for sentence in TaggingDataModule(**data).sentences(split)]


def predict(model: ZooModule, texts: Sequence[Any]) -> list[Any]:
    """What a model predicts. Each class of models has a `predict` with arguments of its own."""
    if isinstance(model, zoo.Seq2Seq | zoo.TextClassifier | zoo.SequenceTagger):
        return list(model.predict(texts))
    raise ZooError(f"expected a tagger, a classifier or a sequence-to-sequence model, got {type(model).__name__}")


def shown_answer(answer: Any) -> Any:
    """The answer of `predict` to one input, as a card shows it: for a classifier, only the label."""
    return answer["label"] if isinstance(answer, dict) else answer


def rows_of_splits(data: CorpusDataModule[Any, Any]) -> dict[str, int]:
    """The number of rows of each split, as the datamodule encodes it."""
    for stage in ("fit", "test"):
        data.setup(stage)
    return {split: len(data._encoded[split].lengths) for split in SPLITS}


def measured_speed(model: ZooModule, data: Mapping[str, Any], *, threads: int = 2, rows: int = 500) -> dict[str, Any]:
    """How many sentences or texts of test a model predicts in a second on a CPU; the best of three trials."""
    texts = inputs(model, data, "test")[:rows]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = []
        for _ in range(3):
            # The tagger keeps the vectors of words that it has read, so each trial begins with a new copy.
            fresh = copy.deepcopy(model)
            start = time.perf_counter()
            predict(fresh, texts)
            seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    unit = "sentences" if model.unit == "sentence" else "texts"
    name = hardware().rpartition(",")[0]
    return {"per_second": round(len(texts) / min(seconds)), "unit": unit, "threads": threads, "hardware": name}


def _accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(gold, predicted, strict=True)) / len(gold)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--commit", required=True, help="the commit of the code that trained the model")
    parser.add_argument("--dtype", choices=DTYPES, default="float16", help="how the weights are stored (%(default)s)")
    parser.add_argument(
        "--prose",
        type=Path,
        required=True,
        help="a YAML file with intended_use, not_for, weaknesses, out_of_domain, and the input of an example",
    )
    options = parser.parse_args()

    facts = json.loads((options.run / "metrics.json").read_text("utf-8"))
    prose = yaml.safe_load(options.prose.read_text("utf-8"))
    data = yaml.safe_load((options.run / "config.yaml").read_text("utf-8"))["data"]
    corpus = CATALOG[data["dataset"]]
    folder = zoo.from_pretrained(options.run / "model").save_pretrained(BUNDLED / options.name, dtype=options.dtype)
    model = zoo.from_pretrained(folder)

    gold = GOLD[corpus.task]
    trained_on: dict[str, Any] = {
        "dataset": corpus.name,
        gold: str(corpus.column if data.get(gold) is None else data[gold]),
    }
    recipe = recipe_of(options.name, facts)
    flags = ["--model", str(folder), "--trainer.precision", "32-true"]
    flags += chain.from_iterable((f"--data.{key}", value) for key, value in trained_on.items())
    (answer,) = predict(model, [prose["example"]])
    card = {
        "name": options.name,
        **prose,
        "example": {"input": prose["example"], "output": shown_answer(answer)},
        "language": corpus.language,
        "unit": model.unit,
        "task": corpus.task,
        "data": trained_on,
        "source": corpus.source,
        "licence": corpus.licence,
        "splits": rows_of_splits(recipe.data(**trained_on)),
        # The scores of the stored weights in fp32, not those of the run, which may have computed in bf16.
        "scores": scored(recipe, flags, "test"),
        "best_dev": facts["best_dev"],
        "dev_slice_score": slice_score(model, trained_on),
        "command": re.sub(r" --out \S+| --overwrite", "", facts["command"]),
        "commit": options.commit,
        "seed": facts["seed"],
        "hardware": facts["hardware"],
        "minutes": round(facts["total_seconds"] / 60, 1),
        "versions": facts["versions"],
        "speed": measured_speed(model, trained_on),
    }
    publish_card(folder, card)
    print((folder / CARD).read_text("utf-8"))


if __name__ == "__main__":
    main()
