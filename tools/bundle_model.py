"""Adds the model of a finished run to the bundled models, with fp16 weights and a card.

python tools/bundle_model.py runs/pos_tagging/TIME pos-en-ewt
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

import zoo
from datamodules import CATALOG, ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from zoo.errors import ZooError
from zoo.hub.sources import BUNDLED
from zoo.metrics.generation import MONITORS, SCORES
from zoo.model_card import model_card
from zoo.model_folder import CARD, README, read_json
from zoo.models.base import ZooModule

# The argument of a task's datamodule that says where the tags, labels or targets are.
GOLD = {"tagging": "column", "classification": "label_column", "seq2seq": "target"}
# A test computes the score of a bundled model on the first rows of dev again: on so many texts or sentences,
SLICE = 400
# and on fewer pairs, because decoding takes longer.
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
        name, language = model.hparams["metric"], model.codec.language
        return SCORES[name](outputs, [pair.target for pair in pairs], language)[MONITORS[name]]
    if isinstance(model, zoo.TextClassifier):
        texts = ClassificationDataModule(**data).texts("dev")[:SLICE]
        results = model.predict([text.text for text in texts])
        gold_labels = [text.labels[0] for text in texts]
        return _accuracy(gold_labels, [result["label"] for result in results])
    if isinstance(model, zoo.SequenceTagger):
        sentences = TaggingDataModule(**data).sentences("dev")[:SLICE]
        tags = model.predict([sentence.tokens for sentence in sentences])
        gold_tags = [sentence.tags for sentence in sentences]
        return _accuracy(list(chain.from_iterable(gold_tags)), list(chain.from_iterable(tags)))
    raise ZooError(f"expected a tagger, a classifier or a sequence-to-sequence model, got {type(model).__name__}")


def _accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(gold, predicted, strict=True)) / len(gold)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--commit", required=True, help="the commit of the code that trained the model")
    parser.add_argument(
        "--test", type=Path, help="a file with the output of `test --model RUN`, if the run itself has no test scores"
    )
    options = parser.parse_args()

    facts = json.loads((options.run / "metrics.json").read_text("utf-8"))
    if options.test:
        facts["scores"] |= json.loads(options.test.read_text("utf-8"))
    data = yaml.safe_load((options.run / "config.yaml").read_text("utf-8"))["data"]
    corpus = CATALOG[data["dataset"]]
    model = zoo.from_pretrained(options.run / "model")
    folder = model.save_pretrained(BUNDLED / options.name, half=True)

    gold = GOLD[corpus.task]
    trained_on = {"dataset": corpus.name, gold: str(corpus.column if data.get(gold) is None else data[gold])}
    card = {
        "name": options.name,
        # The card of the saved folder has the sums of its files.
        **read_json(folder / CARD),
        "language": corpus.language,
        "unit": zoo.from_pretrained(folder).unit,
        "task": corpus.task,
        "data": trained_on,
        "source": corpus.source,
        "licence": corpus.licence,
        "scores": facts["scores"],
        "best_dev": facts["best_dev"],
        "dev_slice_score": slice_score(zoo.from_pretrained(folder), trained_on),
        "command": re.sub(r" --out \S+| --overwrite", "", facts["command"]),
        "commit": options.commit,
        "seed": facts["seed"],
        "hardware": facts["hardware"],
        "minutes": round(facts["total_seconds"] / 60, 1),
        "versions": facts["versions"],
    }
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / README).write_text(model_card(card, type(model).__name__), encoding="utf-8")
    print(json.dumps(card, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
