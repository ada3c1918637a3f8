"""The speed and the memory of training a language model, beside a plain PyTorch loop.

    python benchmarks/language_model_speed.py
    python benchmarks/language_model_speed.py --memory --lengths 1000000 10000000 100000000

The first command prints tokens a second: of a loop like PyTorch's example `word_language_model` (`nn.LSTM`, stochastic
gradient descent, written here), of our model with the same regularization, and of our model with its defaults. They
have the same sizes, streams and windows, and take turns; each of ours is trained by a Trainer. The text is synthetic:
words follow Zipf's law. On a busy machine, `--cpu-time` counts the time of this process alone.

The second command prints the largest resident memory of a training on corpora of these numbers of tokens, each in a
process of its own, which encodes its corpus first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from peers.plain_trainer import Precision, plain_trainer
from torch import Tensor, nn

import zoo
from datamodules import LanguageModelingDataModule

# Words of a line.
LINE = 24
# The first steps are not measured.
WARM_UP = 2
Clock = Callable[[], float]


class PlainModel(nn.Module):
    """An embedding, `nn.LSTM` and a softmax whose weights are the embedding."""

    def __init__(self, words: int, size: int, layers: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Embedding(words, size)
        self.lstm = nn.LSTM(size, size, layers, dropout=dropout)
        self.output = nn.Linear(size, words)
        self.output.weight = self.embedding.weight

    def forward(self, token_ids: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tokens `(T, B)` -> log-probabilities `(T * B, V)`, and the state."""
        outputs, state = self.lstm(self.dropout(self.embedding(token_ids)), state)
        scores = self.output(self.dropout(outputs)).flatten(0, 1)
        return F.log_softmax(scores, dim=1), state


def plain_rate(options: argparse.Namespace, ids: Tensor, words: int, clock: Clock) -> float:
    """Tokens a second of the plain loop."""
    torch.manual_seed(0)
    model = PlainModel(words, options.size, options.layers, options.dropout)
    streams = ids[: len(ids) // options.streams * options.streams].view(options.streams, -1).t().contiguous()
    state = None
    start = 0.0
    for step in range(WARM_UP + options.steps):
        if step == WARM_UP:
            start = clock()
        first = step * options.window
        inputs = streams[first : first + options.window]
        targets = streams[first + 1 : first + 1 + options.window]
        model.zero_grad()
        if state is not None:
            state = (state[0].detach(), state[1].detach())
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16-mixed"):
            log_probabilities, state = model(inputs, state)
        F.nll_loss(log_probabilities.float(), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.data.add_(parameter.grad, alpha=-1.0)
    tokens: int = options.steps * options.window * options.streams
    return tokens / (clock() - start)


class Timer(pl.Callback):
    """Counts the tokens of the steps after the first ones, and their time."""

    def __init__(self, clock: Clock):
        self.clock = clock
        self.tokens = 0
        self.start = 0.0
        self.end = 0.0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.end = self.clock()
        if batch_idx < WARM_UP:
            self.start = self.end
        else:
            self.tokens += batch.target_ids.numel()

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / (self.end - self.start)


class WithSGD(zoo.LanguageModel):
    """A language model that trains as the plain loop does."""

    # Lightning takes an optimizer alone, too.
    def configure_optimizers(self) -> torch.optim.SGD:  # type: ignore[override]
        return torch.optim.SGD(self.parameters(), lr=1.0, fused=True)


def our_rate(
    options: argparse.Namespace,
    data: LanguageModelingDataModule,
    clock: Clock,
    *,
    plain: bool,
    kind: type[zoo.LanguageModel] = zoo.LanguageModel,
) -> float:
    """Tokens a second of our model, with the regularization of the plain loop or with its own."""
    torch.manual_seed(0)
    none = zoo.LanguageModelRegularization(word_dropout=0.0, activation=0.0, temporal_activation=0.0)
    regularization = none if plain else zoo.LanguageModel.REGULARIZATION
    model = kind(
        data.codec,
        hidden_size=options.size,
        embedding_size=options.size,
        num_layers=options.layers,
        dropout=options.dropout,
        regularization=regularization,
    )
    timer = Timer(clock)
    precision: Precision = options.precision
    plain_trainer(timer, precision=precision, max_steps=WARM_UP + options.steps, clip=0.25).fit(model, data)
    return timer.rate


def write_corpus(path: Path, tokens: int, words: int) -> None:
    """Writes lines of words that follow Zipf's law; each of them occurs."""
    random = np.random.default_rng(0)
    names = np.array([f"w{rank}" for rank in range(words)])
    weights = 1 / np.arange(1, words + 1)
    cumulative = np.cumsum(weights / weights.sum())
    with path.open("w") as file:
        file.write(" ".join(names) + "\n")
        for _ in range(tokens // (1000 * LINE) + 1):
            drawn = names[np.searchsorted(cumulative, random.random((1000, LINE - 1)))]
            file.writelines(" ".join(line) + "\n" for line in drawn)


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Prints the table of speeds."""
    clock = time.process_time if options.cpu_time else time.perf_counter
    path = folder / "corpus.txt"
    steps = WARM_UP + options.steps + 1
    write_corpus(path, options.streams * options.window * steps * 2, options.words)
    data = LanguageModelingDataModule(train=str(path), dev=str(path), streams=options.streams, window=options.window)
    words = len(data.codec.vocabulary)
    ids = torch.from_numpy(np.asarray(data.stream("train").lines.values).astype(np.int64))
    systems: dict[str, Callable[[], float]] = {
        "plain loop, nn.LSTM and SGD": lambda: plain_rate(options, ids, words, clock),
        "zoo, the same regularization, SGD": lambda: our_rate(options, data, clock, plain=True, kind=WithSGD),
        "zoo, the same regularization, AdamW": lambda: our_rate(options, data, clock, plain=True),
        "zoo, its defaults": lambda: our_rate(options, data, clock, plain=False),
    }
    rates: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(options.rounds):
        for name, measure in systems.items():
            rates[name].append(measure())
    base = rates["plain loop, nn.LSTM and SGD"]
    unit = "CPU second" if options.cpu_time else "second"
    print(f"\n| {options.precision}, {options.layers} layers of {options.size}, {words:,} words, ", end="")
    print(f"{options.streams} x {options.window} | tokens a {unit} | ratio |\n|---|---|---|")
    for name, found in rates.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(found, base, strict=True))
        print(f"| {name} | {statistics.median(found):,.0f} | {ratio:.2f} |")


def measure_memory(options: argparse.Namespace, path: Path) -> None:
    """Trains on a corpus for some steps, and prints the memory in MB, in this process."""
    dev = path.with_name("dev.txt")
    write_corpus(dev, 1000, 100)
    data = LanguageModelingDataModule(train=str(path), dev=str(dev), store=True, streams=20, window=35)
    model = zoo.LanguageModel(data.codec, hidden_size=64, embedding_size=64)
    began = time.perf_counter()
    tokens = len(data.stream("train"))
    encoded = time.perf_counter() - began
    plain_trainer(Timer(time.perf_counter), precision="32-true", max_steps=options.steps).fit(model, data)
    memory = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmHWM", "RssAnon"):
            memory[name] = int(value.split()[0]) // 1024
    print(json.dumps({"tokens": tokens, "seconds": encoded, **memory}))


def compare_memory(options: argparse.Namespace, folder: Path) -> None:
    """Prints the table of memory."""
    print("\n| tokens | file, MB | peak resident, MB | private at the end, MB |\n|---|---|---|---|")
    for length in options.lengths:
        path = folder / "corpus.txt"
        write_corpus(path, length, options.words)
        command = [sys.executable, __file__, "--measure", str(path), "--steps", str(options.steps)]
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        size = path.stat().st_size // 1_000_000
        print(f"| {found['tokens']:,} | {size:,} | {found['VmHWM']:,} | {found['RssAnon']:,} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=650)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--words", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--window", type=int, default=35)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    if options.measure is not None:
        measure_memory(options, options.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.memory:
            compare_memory(options, Path(folder))
        else:
            compare(options, Path(folder))


if __name__ == "__main__":
    main()
