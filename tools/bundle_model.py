"""Puts the model of a finished run among the bundled ones: fp16 weights and a card.

python tools/bundle_model.py runs/pos_tagging/TIME pos-en-ewt
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from pathlib import Path

import yaml

import zoo
from datamodules import CATALOG, ClassificationDataModule, TaggingDataModule
from zoo.base import WEIGHTS
from zoo.pretrained import BUNDLED

SLICE = 400  # rows of dev that a test scores again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--commit", required=True, help="of the code that trained it")
    options = parser.parse_args()

    facts = json.loads((options.run / "metrics.json").read_text("utf-8"))
    data = yaml.safe_load((options.run / "config.yaml").read_text("utf-8"))["data"]
    corpus = CATALOG[data["dataset"]]
    folder = zoo.from_pretrained(options.run / "model").save_pretrained(BUNDLED / options.name, half=True)
    (folder / "card.json").unlink(missing_ok=True)  # of the model that this one replaces

    model = zoo.from_pretrained(folder)
    if corpus.task == "classification":
        texts = ClassificationDataModule(**data).texts("dev")[:SLICE]
        found = model.predict([text.text for text in texts])
        pairs = [(text.labels[0], result["label"]) for text, result in zip(texts, found, strict=True)]
    else:
        sentences = TaggingDataModule(**data).sentences("dev")[:SLICE]
        found = model.predict([s.tokens for s in sentences])
        pairs = [(a, b) for s, tags in zip(sentences, found, strict=True) for a, b in zip(s.tags, tags, strict=True)]
    card = {
        "name": options.name,
        "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        "language": corpus.language,
        "task": corpus.task,
        "data": corpus.name,
        "column": data.get("label_column") or data.get("column") or corpus.column,
        "source": corpus.source,
        "licence": corpus.licence,
        "scores": facts["scores"],
        "best_dev": facts["best_dev"],
        "dev_slice_accuracy": sum(a == b for a, b in pairs) / len(pairs),
        "command": re.sub(r" --out \S+", "", facts["command"]),
        "commit": options.commit,
        "seed": facts["seed"],
        "hardware": facts["hardware"],
        "minutes": round(facts["total_seconds"] / 60, 1),
        "versions": facts["versions"],
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
