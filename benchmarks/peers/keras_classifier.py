"""The worker that trains and times Keras on torch, for `benchmarks/classification_peers.py`.

The layers are those of Keras's tutorials, with masking, so that outputs do not depend on padding. All choices favour
Keras: a batch is padded to its own longest text, not to that of the corpus, and the time of our tokenizer, which makes
the ids, is not counted.
"""

from __future__ import annotations

import os
import random
from itertools import cycle
from time import perf_counter

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from keras import layers
from turns import Message, Pace, Turns


def build(words: int, labels: int, sizes: Message) -> keras.Model:
    """An embedding, bidirectional LSTMs and a dense layer."""
    embedding = layers.Embedding(words, sizes["embedding_size"], mask_zero=True)
    stack = [keras.Input((None,), dtype="int32"), embedding, layers.Dropout(sizes["dropout"])]
    for layer in range(1, sizes["num_layers"] + 1):
        is_last = layer == sizes["num_layers"]
        stack.append(layers.Bidirectional(layers.LSTM(sizes["hidden_size"], return_sequences=not is_last)))
    stack += [layers.Dropout(sizes["dropout"]), layers.Dense(labels, activation="softmax")]
    model = keras.Sequential(stack)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def padded(texts: list[list[int]]) -> np.ndarray:
    return keras.utils.pad_sequences(texts, padding="post")


def train(
    turns: Turns, model: keras.Model, corpus: Message, epochs: int, seconds: float | None, batch: int, rounds: int
) -> None:
    """Trains for `epochs`, as the other systems do, or for so many `seconds` if they are given."""
    texts, labels = corpus["texts"], np.array(corpus["labels"])
    order = list(range(len(texts)))
    starts = range(0, len(texts), batch)
    pace = Pace(turns, rounds, steps=None if seconds else epochs * len(starts), seconds=seconds)
    pace.begin()
    for start in cycle(starts):
        if start == 0:
            random.shuffle(order)
        rows = order[start : start + batch]
        model.train_on_batch(padded([texts[row] for row in rows]), labels[rows])
        if pace.step(len(rows)):
            break
    turns.give(**pace.result)


def classify(model: keras.Model, texts: list[list[int]], batches: list[int]) -> Message:
    """Times `predict_on_batch` with several batch sizes. The benchmark reports the fastest."""
    seconds = {}
    for batch in batches:
        labels: list[int] = []
        started = perf_counter()
        for start in range(0, len(texts), batch):
            labels += model.predict_on_batch(padded(texts[start : start + batch])).argmax(1).tolist()
        seconds[str(batch)] = perf_counter() - started
    return {"seconds": seconds, "labels": labels}


def main() -> None:
    turns = Turns()
    settings = turns.take()
    torch.set_num_threads(settings["threads"])
    keras.utils.set_random_seed(0)
    model = build(settings["words"], settings["labels"], settings["sizes"])
    turns.give(keras=f"Keras {keras.__version__} on torch {torch.__version__}")
    train(turns, model, settings["corpus"]["train"], **settings["training"])
    while True:
        turns.give(**classify(model, settings["corpus"]["test"]["texts"], **turns.take()))


main()
