"""The worker that times torch's LSTM alone on padded batches like ours, for `benchmarks/classification_peers.py`.

No embedding, no loss, no optimizer, no tokenizer: what is left is a limit for whatever uses that layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from time import perf_counter

import torch
from torch import Tensor, nn
from turns import Pace, Turns

from zoo.batching import SPARE_ROWS, group_by_length

PREDICTION_TOKENS = 4096  # a batch of `TextClassifier.predict`


def batches(lengths: Sequence[int], budget: int, features: int, max_padding: float = inf) -> list[Tensor]:
    """Random inputs `(B, T, E)` in the shapes of bucketed batches."""
    groups = group_by_length(lengths, budget, max_padding=max_padding)
    return [torch.randn(len(rows), max(lengths[row] for row in rows), features) for rows in groups]


def train(turns: Turns, lstm: nn.LSTM, inputs: list[Tensor], autocast: dict, epochs: int, rounds: int) -> None:
    """Forward and backward."""
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
def infer(lstm: nn.LSTM, inputs: list[Tensor], autocast: dict) -> float:
    """Seconds of one pass."""
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
    training = batches(lengths["train"], settings["tokens_per_step"], sizes["embedding_size"])
    inference = batches(lengths["test"], PREDICTION_TOKENS, sizes["embedding_size"], SPARE_ROWS)
    turns.give()
    train(turns, lstm, training, autocast, settings["epochs"], settings["rounds"])
    while True:
        turns.take()
        turns.give(seconds={"": infer(lstm, inference, autocast)}, labels=None)


main()
