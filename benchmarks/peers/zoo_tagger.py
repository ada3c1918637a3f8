"""The worker that trains and times `zoo.SequenceTagger`, for `benchmarks/tagging_peers.py`."""

from __future__ import annotations

from time import perf_counter

import torch
from turns import Message, Turns
from zoo_training import VERSIONS, take_settings, train

from datamodules.examples import TaggedSentence
from datamodules.tagging import TaggingDataModule
from recipes.runner.recipe import instance
from zoo.hub.pretrained import from_pretrained
from zoo.models.options import CharacterOptions
from zoo.models.tagger import SequenceTagger

# The largest norm of the gradients, as in flair's trainer.
CLIP = 5.0


class EnglishWebTreebank(TaggingDataModule):
    """The corpus as the recipes read it. If there is a `limit`, each split has only its first sentences."""

    def __init__(self, root: str | None, limit: int | None):
        super().__init__("ud-en-ewt", root=root)
        self.limit = limit

    def examples(self, split: str) -> list[TaggedSentence]:
        return super().examples(split)[: self.limit]


def tag(sentences: list[list[str]], folder: str, precision: str, threads: int) -> Message:
    """Times two calls of a freshly loaded tagger: words are new to the first, and cached for the second."""
    torch.set_num_threads(threads)
    tagger = instance(from_pretrained(folder), SequenceTagger)
    seconds = {}
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        for words in ("new", "known"):
            started = perf_counter()
            tags = tagger.predict(sentences)
            seconds[words] = perf_counter() - started
    return {"seconds": seconds, "tags": tags}


def main() -> None:
    turns = Turns()
    settings = take_settings(turns)
    data = EnglishWebTreebank(**settings["data"])
    data.setup("fit")
    sentences = [list(sentence.tokens) for sentence in data.sentences("test")]
    turns.give(lstm_zoo=VERSIONS, sentences_per_step=len(data.sentences("train")) / len(data.train_dataloader()))
    sizes = settings["training"].pop("sizes")
    characters = CharacterOptions(
        sizes.pop("character_size"), sizes.pop("character_output"), sizes.pop("character_encoder")
    )
    model = SequenceTagger(data.codec, embedding_size=sizes.pop("word_size"), characters=characters, **sizes)
    train(turns, model, data, lambda batch: int(batch.num_tokens), clip=CLIP, **settings["training"])
    while True:
        turns.give(**tag(sentences, **turns.take()))


main()
