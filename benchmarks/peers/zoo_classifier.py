"""The worker that trains and times `zoo.TextClassifier`, for `benchmarks/classification_peers.py`."""

from __future__ import annotations

from time import perf_counter

import torch
from turns import Message, Pace, Turns
from zoo_training import VERSIONS, take_settings, train

from datamodules.classification import ClassificationDataModule
from datamodules.examples import LabelledText
from recipes.runner.recipe import instance
from zoo.hub.pretrained import from_pretrained
from zoo.models.classifier import TextClassifier


class Thinned(ClassificationDataModule):
    """A corpus as the recipes read it. If there is a `limit`, each split has about so many texts, evenly spaced."""

    def __init__(self, dataset: str, root: str | None, tokenizer: str, max_length: int, limit: int | None):
        super().__init__(dataset, root=root, tokenizer=tokenizer, max_length=max_length)
        self.limit = limit

    def examples(self, split: str) -> list[LabelledText]:
        texts = super().examples(split)
        return texts[:: max(1, len(texts) // self.limit)] if self.limit else texts


def ids(data: ClassificationDataModule) -> Message:
    """The corpus of the other systems: the ids of each text's tokens and of its label. 0 is padding."""
    datasets = {"train": data.train_dataloader().dataset, "test": data.test_dataloader().dataset}
    return {
        split: {
            "texts": [dataset[[row]].inputs.word_ids[0].tolist() for row in range(len(dataset))],
            "labels": dataset[range(len(dataset))].gold.tolist(),
        }
        for split, dataset in datasets.items()
    }


def train_in_a_loop(
    turns: Turns, model: TextClassifier, data: Thinned, *, epochs: int, rounds: int, precision: str
) -> None:
    """Trains in a loop like the tutorial's, without a Trainer."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=model.learning_rate, fused=True)
    loader = data.train_dataloader()
    pace = Pace(turns, rounds, steps=epochs * len(loader))
    model.train()
    pace.begin()
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = model.loss(model(batch.inputs), batch.gold)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pace.step(len(batch.rows))
    turns.give(**pace.result)


def classify(texts: list[str], folder: str, precision: str) -> Message:
    """Times a freshly loaded classifier, including its tokenizer."""
    classifier = instance(from_pretrained(folder), TextClassifier)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        started = perf_counter()
        results = classifier.predict(texts)
        seconds = perf_counter() - started
    return {"seconds": {"": seconds}, "labels": classifier.codec.labels.ids(result["label"] for result in results)}


def main() -> None:
    turns = Turns()
    settings = take_settings(turns)
    data = Thinned(**settings["data"])
    data.setup("fit")
    data.setup("test")
    texts = [text.text for text in data.texts("test")]
    turns.give(
        lstm_zoo=VERSIONS,
        texts_per_step=len(data.texts("train")) / len(data.train_dataloader()),
        tokens_per_step=data.budget,
        words=len(data.codec.vocabulary),
        labels=len(data.codec.labels),
        corpus=ids(data),
    )
    model = TextClassifier(data.codec, **settings["training"].pop("sizes"))
    if settings["trainer"]:
        train(turns, model, data, lambda batch: len(batch.rows), **settings["training"])
    else:
        train_in_a_loop(turns, model, data, **settings["training"])
    while True:
        turns.give(**classify(texts, **turns.take()))


main()
