"""The worker that trains and times the classifier of the PyTorch tutorials, for `benchmarks/classification_peers.py`.

The model has an embedding, a packed LSTM, its last hidden states and a linear layer. Texts are shuffled, each batch is
padded to its longest text, and Adam has a constant learning rate. The time of our tokenizer, which makes the ids, is
not counted.
"""

from __future__ import annotations

from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader
from turns import Message, Pace, Turns

LEARNING_RATE = 1e-3
# The ids of each text, and its label.
Examples = list[tuple[list[int], int]]


class LSTMClassifier(nn.Module):
    """The tutorial's classifier, with a bidirectional LSTM."""

    def __init__(self, words: int, labels: int, sizes: Message):
        super().__init__()
        self.embedding = nn.Embedding(words, sizes["embedding_size"], padding_idx=0)
        self.lstm = nn.LSTM(
            sizes["embedding_size"], sizes["hidden_size"], sizes["num_layers"], batch_first=True, bidirectional=True
        )
        self.dropout = nn.Dropout(sizes["dropout"])
        self.fc = nn.Linear(2 * sizes["hidden_size"], labels)

    def forward(self, texts: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.dropout(self.embedding(texts))  # (B, T, E)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        scores: Tensor = self.fc(self.dropout(torch.cat([hidden[-2], hidden[-1]], dim=1)))  # (B, K)
        return scores


def collate(rows: Examples) -> tuple[Tensor, Tensor, Tensor]:
    texts = [torch.tensor(ids) for ids, _ in rows]
    return pad_sequence(texts, batch_first=True), torch.tensor([*map(len, texts)]), torch.tensor([y for _, y in rows])


def train(turns: Turns, model: nn.Module, rows: Examples, epochs: int, batch: int, rounds: int) -> None:
    """Runs the tutorial's training loop."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(rows, batch_size=batch, shuffle=True, collate_fn=collate)
    pace = Pace(turns, rounds, steps=epochs * len(loader))
    model.train()
    pace.begin()
    for _ in range(epochs):
        for texts, lengths, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(texts, lengths), labels).backward()
            optimizer.step()
            pace.step(len(labels))
    model.eval()
    turns.give(**pace.result)


@torch.inference_mode()
def classify(model: nn.Module, rows: Examples, batches: list[int]) -> Message:
    """Times predictions with several batch sizes. The benchmark reports the fastest."""
    seconds = {}
    for batch in batches:
        labels: list[int] = []
        started = perf_counter()
        for texts, lengths, _ in DataLoader(rows, batch_size=batch, collate_fn=collate):
            labels += model(texts, lengths).argmax(1).tolist()
        seconds[str(batch)] = perf_counter() - started
    return {"seconds": seconds, "labels": labels}


def main() -> None:
    turns = Turns()
    settings = turns.take()
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    corpus = {name: list(zip(s["texts"], s["labels"], strict=True)) for name, s in settings["corpus"].items()}
    model = LSTMClassifier(settings["words"], settings["labels"], settings["sizes"])
    turns.give(torch=f"plain PyTorch {torch.__version__}")
    train(turns, model, corpus["train"], **settings["training"])
    while True:
        turns.give(**classify(model, corpus["test"], **turns.take()))


main()
