"""The worker that times torch's LSTM alone on padded batches like ours, for `benchmarks/classification_peers.py`.

There is no embedding, loss, optimizer or tokenizer: no model with this layer can be faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import torch
from torch import Tensor, nn
from turns import Message, Pace, Turns

from zoo.batches.bucketing import group_by_length, group_for_prediction

# The largest number of tokens in a batch of `TextClassifier.predict`.
PREDICTION_TOKENS = 4096


def inputs_of(groups: list[list[int]], lengths: Sequence[int], features: int) -> list[Tensor]:
    """Random inputs `(B, T, E)`, one for each group of rows, with the shape of its batch."""
    return [torch.randn(len(rows), max(lengths[row] for row in rows), features) for rows in groups]


def train(turns: Turns, lstm: nn.LSTM, inputs: list[Tensor], autocast: Message, epochs: int, rounds: int) -> None:
    """Runs the forward and backward pass of each batch, in random order."""
    pace = Pace(turns, rounds, steps=epochs * len(inputs))
    pace.begin()
    order = torch.randperm(epochs * len(inputs)) % len(inputs)
    for place in order.tolist():
        with torch.autocast("cpu", **autocast):
            outputs, _ = lstm(inputs[place].requires_grad_())
        outputs.float().sum().backward()
        pace.step(len(inputs[place]))
    turns.give(**pace.result)


@torch.inference_mode()
def infer(lstm: nn.LSTM, inputs: list[Tensor], autocast: Message) -> float:
    """The seconds of a forward pass over all batches."""
    started = perf_counter()
    for x in inputs:
        with torch.autocast("cpu", **autocast):
            lstm(x)
    return perf_counter() - started


def main() -> None:
    turns = Turns()
    settings = turns.take()
    torch.set_num_threads(settings["threads"])
    sizes, corpus = settings["sizes"], settings["corpus"]
    lengths = {name: [len(ids) for ids in split["texts"]] for name, split in corpus.items()}
    lstm = nn.LSTM(
        sizes["embedding_size"], sizes["hidden_size"], sizes["num_layers"], batch_first=True, bidirectional=True
    )
    autocast = {"dtype": torch.bfloat16, "enabled": settings["precision"] == "bf16-mixed"}
    groups = group_by_length(lengths["train"], settings["tokens_per_step"])
    training = inputs_of(groups, lengths["train"], sizes["embedding_size"])
    groups = group_for_prediction(lengths["test"], PREDICTION_TOKENS, torch.device("cpu"))
    inference = inputs_of(groups, lengths["test"], sizes["embedding_size"])
    turns.give()
    train(turns, lstm, training, autocast, settings["epochs"], settings["rounds"])
    while True:
        turns.take()
        turns.give(seconds={"": infer(lstm, inference, autocast)}, labels=None)


main()
