"""The worker that trains and times flair's `SequenceTagger`, for `tagging_peers.py` and `inference_peers.py`.

The tagger starts from random weights. All choices favour flair: its training steps run without its trainer, so there
is no evaluation, logging or checkpoint, and the time to make `Sentence` objects for tagging is not counted.
"""

from __future__ import annotations

import logging
from time import perf_counter

import flair
import torch
from flair.data import Corpus, Dictionary, Sentence
from flair.datasets import DataLoader, FlairDatapointDataset
from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
from flair.models import SequenceTagger
from flair.training_utils import store_embeddings
from turns import Message, Pace, Turns

LEARNING_RATE = 3e-3
MAX_GRADIENT_NORM = 5.0


def labelled(tokens: list[str], tags: list[str]) -> Sentence:
    """A sentence with gold tags."""
    sentence = Sentence(tokens)
    for token, tag in zip(sentence, tags, strict=True):
        token.add_label("upos", tag)
    return sentence


def build(train: FlairDatapointDataset, sizes: Message) -> SequenceTagger:
    """The untrained tagger. Its vocabulary has the words that occur at least three times, flair's default."""
    tags, characters = Dictionary(add_unk=False), Dictionary()
    for sentence in train:
        for token in sentence:
            tags.add_item(token.get_label("upos").value)
            for character in token.text:
                characters.add_item(character)
    words = OneHotEmbeddings.from_corpus(
        Corpus(train, sample_missing_splits=False), embedding_length=sizes["word_size"]
    )
    composed = CharacterEmbeddings(
        characters,
        char_embedding_dim=sizes["character_size"],
        hidden_size_char=sizes["character_output"] // 2,
    )
    return SequenceTagger(
        embeddings=StackedEmbeddings([words, composed]),
        tag_dictionary=tags,
        tag_type="upos",
        hidden_size=sizes["hidden_size"],
        rnn_layers=sizes["num_layers"],
        use_crf=False,
        # Our tagger has no such projection.
        reproject_embeddings=False,
    )


def train(
    turns: Turns, tagger: SequenceTagger, dataset: FlairDatapointDataset, epochs: int, batch: int, rounds: int
) -> None:
    """Runs the training steps of flair's trainer, with AdamW and a constant learning rate."""
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(dataset, batch_size=batch, shuffle=True)
    pace = Pace(turns, rounds, steps=epochs * len(loader))
    tagger.train()
    pace.begin()
    for _ in range(epochs):
        for sentences in loader:
            optimizer.zero_grad()
            loss, _ = tagger.forward_loss(sentences)
            loss.backward()
            store_embeddings(sentences, "none")
            torch.nn.utils.clip_grad_norm_(tagger.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            pace.step(sum(len(sentence) for sentence in sentences))
    tagger.eval()
    turns.give(**pace.result)


def tag(tagger: SequenceTagger, sentences: list[list[str]], batches: list[int]) -> Message:
    """Times `predict` with several batch sizes. The benchmark reports the fastest."""
    seconds = {}
    for batch in batches:
        made = [Sentence(tokens) for tokens in sentences]
        started = perf_counter()
        tagger.predict(made, mini_batch_size=batch)
        seconds[str(batch)] = perf_counter() - started
    return {
        "seconds": seconds,
        "tags": [[token.get_label("upos").value for token in sentence] for sentence in made],
    }


def main() -> None:
    turns = Turns()
    logging.getLogger("flair").setLevel(logging.ERROR)
    settings = turns.take()
    flair.device = torch.device("cpu")
    flair.set_seed(0)
    torch.set_num_threads(settings["threads"])
    corpus = settings["corpus"]
    dataset = FlairDatapointDataset([labelled(tokens, tags) for tokens, tags in corpus["train"]])
    tagger = build(dataset, settings["sizes"])
    sentences = [tokens for tokens, _ in corpus["test"]]
    turns.give(flair=f"flair {flair.__version__} on torch {torch.__version__}")
    train(turns, tagger, dataset, **settings["training"])
    while True:
        command = turns.take()
        if "save" in command:
            tagger.save(command["save"])
            turns.give()
        else:
            turns.give(**tag(tagger, sentences, **command))


main()
