"""Speed of the recurrent backbone compared with torch's packed layers, of each cell, and its growth with T and H.

    python benchmarks/backbone.py > table.md          well over half an hour on two cores
    ZOO_DATA=... python benchmarks/backbone.py --parts tagger       the POS tagger on EWT
    python benchmarks/backbone.py --device cuda --precisions fp16 bf16

Lengths are between 0.9 T and T, as in a bucketed batch. Both systems are bidirectional, start from the padded batch
and end with the padded outputs. A training pass is forward, sum, backward. The systems alternate, and a ratio is that
of their median times. "Of at most" is the ratio that we would reach in the shorter of two times: that of torch's fused
kernel alone on the padded batch, and that of the smallest set of torch's operations that can make up a pass over the
unpadded positions. Both are measured in the same rounds. For a GRU on a CPU, torch has no fused kernel. A pass that
takes over eight seconds, as packed layers over long sequences do, is timed once. Memory is the growth of the resident
set.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import matplotlib
import pytorch_lightning as pl
import torch
from peers.plain_trainer import Precision, plain_trainer
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from datamodules import TaggingDataModule
from zoo import CELLS, RecurrentBackbone, SequenceTagger
from zoo.models.options import RegularizationOptions
from zoo.nn.cells import choose_kernel
from zoo.nn.cells.base import Cell

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LIGHTNING: dict[str, Precision] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
# Rows and steps.
BATCHES = [(16, 24), (128, 24), (32, 100), (128, 100), (16, 400), (64, 400)]
# Hidden units and layers.
SIZES = [(128, 1), (256, 1), (512, 1), (256, 2)]
# A pass that takes more seconds is timed once.
SLOW = 8.0
PARTS = ("grid", "cells", "growth", "tagger")
STATUS = Console(stderr=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32", "bf16"])
    parser.add_argument("--seconds", type=float, default=0.6, help="time for each system in each cell of a table")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:3])
    parser.add_argument("--picture", default=str(Path(__file__).parent / "backbone-growth.png"))
    options = parser.parse_args()
    bench = Bench(options.device, options.seconds, options.precisions)
    print(f"{date.today()}, {bench.hardware()}, Python {platform.python_version()}, torch {torch.__version__}.")
    if "grid" in options.parts:
        grid(bench)
    if "cells" in options.parts:
        cells(bench)
    if "growth" in options.parts:
        growth(bench, options.picture)
    if "tagger" in options.parts:
        tagger(bench)


class Bench:
    """Times passes on one device."""

    def __init__(self, device: str, seconds: float, precisions: Sequence[str]):
        self.device, self.seconds, self.precisions = torch.device(device), seconds, precisions
        torch.manual_seed(0)

    def hardware(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
        return f"{name}, {torch.get_num_threads()} threads"

    def batch(self, rows: int, steps: int, features: int) -> tuple[Tensor, Tensor]:
        lengths = torch.randint(int(0.9 * steps), steps + 1, (rows,))
        lengths[0] = steps
        return torch.randn(rows, steps, features, device=self.device), lengths

    def ours(self, cell: str, size: int, layers: int = 1) -> Callable[[Tensor, Tensor], Tensor]:
        backbone = RecurrentBackbone(size, size, cell=cell, num_layers=layers).to(self.device)
        return lambda x, lengths: backbone(x, lengths.to(x.device)).sequence

    def packed(self, cell: str, size: int, layers: int = 1) -> Callable[[Tensor, Tensor], Tensor]:
        rnn = TORCH[cell](size, size, layers, batch_first=True, bidirectional=True).to(self.device)

        def run(x: Tensor, lengths: Tensor) -> Tensor:
            packed, _ = rnn(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
            return pad_packed_sequence(packed, batch_first=True)[0]

        return run

    def times(self, passes: Sequence[Callable[[], None]]) -> list[float]:
        """The median seconds of each pass. They alternate after a warm-up. If that is slow, its times are returned."""
        first = [self._seconds(one) for one in passes]
        if max(first) > SLOW:
            return first
        took: list[list[float]] = [[] for _ in passes]
        end = perf_counter() + self.seconds * len(passes)
        while perf_counter() < end or len(took[0]) < 3:
            for one, seconds in zip(passes, took, strict=True):
                seconds.append(self._seconds(one))
        return [median(seconds) for seconds in took]

    def _seconds(self, one: Callable[[], None]) -> float:
        start = perf_counter()
        one()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return perf_counter() - start

    def memory(self, run: Callable[..., Any], x: Tensor, lengths: Tensor, precision: str) -> float:
        """Megabytes by which the process grows during a training pass, at its peak."""
        one = self.layers(run, x, lengths, precision, train=True)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            one()
            return (torch.cuda.max_memory_allocated() - before) / 2**20
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        # This resets the peak of the resident set.
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        one()
        return (_status("VmHWM") - before) / 1024

    def layers(
        self, run: Callable[..., Any], x: Tensor, lengths: Tensor, precision: str, train: bool
    ) -> Callable[[], None]:
        """A pass of recurrent layers: forward, and backward too in training."""
        dtype = PRECISIONS[precision]

        def one() -> None:
            with (
                torch.set_grad_enabled(train),
                torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32),
            ):
                inputs = x.detach().requires_grad_(train)
                outputs = run(inputs, lengths)
                if train:
                    outputs.float().sum().backward()

        return one

    def kernel(self, cell: str, size: int, layers: int = 1) -> Callable[[Tensor, Tensor], Tensor]:
        """torch's layers alone on the padded batch. Their outputs are wrong at padding."""
        rnn = TORCH[cell](size, size, layers, batch_first=True, bidirectional=True).to(self.device)
        return lambda x, lengths: rnn(x)[0]

    def fewest(  # noqa: C901, as both cells and both passes are one story
        self, cell: str, rows: int, steps: int, size: int, layers: int, precision: str, train: bool, *, batched: bool
    ) -> Callable[[], None]:
        """The smallest set of torch's operations that can make up such a pass, on random numbers.

        Operations that can run once for all steps are left out, except matrix products.

        Args:
            batched: whether one batched product serves both directions.
        """
        gates, dtype = {"lstm": 4, "gru": 3}[cell] * size, PRECISIONS[precision]

        def numbers(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.rand(*shape, dtype=dtype)

        def multiply(addend: Tensor, a: Tensor, b: Tensor, out: Tensor) -> None:
            if batched:
                torch.baddbmm(addend, a, b, out=out)
            else:
                for d in range(2):
                    torch.addmm(addend[d], a[d], b[d], out=out[d])

        inputs = [numbers(rows * steps, features) for features in [size] + [2 * size] * (layers - 1)]
        weights_ih = [numbers(x.shape[1], 2 * gates) for x in inputs]
        all_h, all_gates = numbers(2, size, rows * steps), numbers(2, rows * steps, gates)
        weight, addend, to_h = numbers(2, size, gates), numbers(2, rows, gates), numbers(2, rows, size)
        h, c, r, s, n, z = numbers(6, 2, rows, size, dtype=torch.float32)
        rz, ifog = numbers(2, rows, 2 * size, dtype=torch.float32), numbers(2, rows, 4 * size, dtype=torch.float32)
        i, f, o, g = ifog.chunk(4, dim=-1)
        factors = numbers(2, rows, 4, size, dtype=torch.float32)
        owed, rounded = torch.empty_like(factors), numbers(2, rows, gates)
        product, to_weight = torch.empty_like(addend), torch.empty_like(weight)

        def forward() -> None:
            multiply(addend, h.to(dtype), weight, product)
            if cell == "gru":
                rz.sigmoid_()
                # The limit has a sigmoid for tanh: it takes half the time.
                torch.addcmul(c, r, s, out=n).sigmoid_()
                torch.lerp(n, h, z, out=h)
            else:
                ifog.sigmoid_()
                torch.sigmoid(c.mul_(f).addcmul_(i, g), out=n)
                torch.mul(o, n, out=h)

        def backward() -> None:
            torch.mul(h.add_(n)[:, :, None], factors, out=owed)
            if dtype != torch.float32:
                rounded.copy_(owed.flatten(2)[..., :gates])
            h.mul_(z)
            multiply(to_h, rounded, weight.transpose(1, 2), to_h)

        @torch.no_grad()
        def one() -> None:
            for x, weight_ih in zip(inputs, weights_ih, strict=True):
                projected = x @ weight_ih
                for _ in range(steps):
                    forward()
                if train:
                    for _ in range(steps):
                        backward()
                    torch.bmm(all_h, all_gates, out=to_weight)
                    x.T @ projected
                    projected @ weight_ih.T

        return one


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def grid(bench: Bench) -> None:
    modes = [(mode, precision) for mode in ("training", "inference") for precision in bench.precisions]
    print("\n| cell | rows | T | H | layers |", end="")
    print("".join(f" {mode} {p}, tokens/s | x packed (of at most) |" for mode, p in modes), end="")
    elsewhere = "" if bench.device.type == "cuda" else " not measured |"
    print(f" MB, {bench.precisions[0]} | MB, packed |" + (" on a GPU |" if elsewhere else ""))
    print("|---|" + "---:|" * (6 + 2 * len(modes) + bool(elsewhere)))
    points = [(cell, *batch, *size) for cell in TORCH for batch in BATCHES for size in SIZES]
    for cell, rows, steps, size, layers in track(points, "grid", console=STATUS):
        x, lengths = bench.batch(rows, steps, size)
        tokens = int(lengths.sum())
        runs = [bench.ours(cell, size, layers), bench.packed(cell, size, layers)]
        kernel = bench.kernel(cell, size, layers)
        shape = cell, rows, round(tokens / rows), size, layers
        line = f"| {cell} | {rows} | {steps} | {size} | {layers} |"
        for mode, precision in modes:
            train = mode == "training"
            passes = [bench.layers(run, x, lengths, precision, train) for run in runs]
            if cell == "lstm" or bench.device.type == "cuda":
                passes.append(bench.layers(kernel, x, lengths, precision, train))
            if bench.device.type == "cpu":
                passes += [bench.fewest(*shape, precision, train, batched=batched) for batched in (False, True)]
            ours, packed, *least = bench.times(passes)
            line += f" {tokens / ours:,.0f} | {packed / ours:.2f} ({packed / min(least):.1f}) |"
        megabytes = [bench.memory(run, x, lengths, bench.precisions[0]) for run in runs]
        print(line + "".join(f" {value:,.0f} |" for value in megabytes) + elsewhere, flush=True)


def cells(bench: Bench) -> None:
    size = 256
    modes = [(mode, p, t) for mode in ("training", "inference") for p in bench.precisions for t in (24, 200)]
    print(f"\nRelative to `lstm`: bidirectional, one layer, 32 rows, H = {size}.\n")
    print("| cell | kernel | parameters |", end="")
    print("".join(f" {mode} {p}, T = {t}: tokens/s | x time of lstm |" for mode, p, t in modes), end="")
    print(" MB, training, T = 200 |")
    print("|---|---|" + "---:|" * (2 + 2 * len(modes)))
    batches = {steps: bench.batch(32, steps, size) for steps in (24, 200)}
    for cell in track(CELLS, "cells", console=STATUS):
        backbone = RecurrentBackbone(size, size, cell=cell)
        parameters = sum(p.numel() for p in backbone.parameters())
        line = f"| {cell} | {choose_kernel(backbone.cells[0]).name} | {parameters:,} |"
        run, lstm = bench.ours(cell, size), bench.ours("lstm", size)
        for mode, precision, steps in modes:
            x, lengths = batches[steps]
            ours, fused = bench.times([bench.layers(r, x, lengths, precision, mode == "training") for r in (run, lstm)])
            line += f" {int(lengths.sum()) / ours:,.0f} | {ours / fused:.2f} |"
        print(f"{line} {bench.memory(run, *batches[200], bench.precisions[0]):,.0f} |", flush=True)


def growth(bench: Bench, picture: str) -> None:
    """Prints and plots the microseconds per token of a training pass, by T and by H."""
    precision = bench.precisions[0]
    systems = {"lstm": bench.ours, "gru": bench.ours, "min_gru": bench.ours, "cifg_lstm": bench.ours}
    by_steps = {"sizes": [128], "steps": [20, 50, 100, 200, 500, 1000, 2000]}
    by_size = {"sizes": [64, 128, 256, 512, 1024], "steps": [50]}
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    print(f"\nMicroseconds a token of a training pass in {precision}, bidirectional, one layer.")
    for axis, plan, name, rows in ((axes[0], by_steps, "steps", 16), (axes[1], by_size, "sizes", 32)):
        fixed = f"{rows} rows, " + (f"H = {plan['sizes'][0]}" if name == "steps" else f"T = {plan['steps'][0]}")
        label = "T" if name == "steps" else "H"
        print(f"\n| {fixed}; {label} = |" + "".join(f" {value:,} |" for value in plan[name]))
        print("|---|" + "---:|" * len(plan[name]))
        lines: dict[str, list[float]] = {cell: [] for cell in [*systems, "packed lstm"]}
        for size in plan["sizes"]:
            for steps in track(plan["steps"], f"growth with {label}", console=STATUS):
                x, lengths = bench.batch(rows, steps, size)
                runs = [make(cell, size) for cell, make in systems.items()] + [bench.packed("lstm", size)]
                took = bench.times([bench.layers(run, x, lengths, precision, train=True) for run in runs])
                for seconds, values in zip(took, lines.values(), strict=True):
                    values.append(1e6 * seconds / int(lengths.sum()))
        for cell, values in lines.items():
            print(f"| {cell} |" + "".join(f" {value:,.1f} |" for value in values), flush=True)
            axis.plot(plan[name], values, marker="o", label=cell, linestyle="--" if "packed" in cell else "-")
        axis.set(xscale="log", yscale="log", xlabel=f"{label} ({fixed})")
        axis.set_xticks(plan[name], [str(value) for value in plan[name]])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("microseconds a token, training")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def tagger(bench: Bench, rounds: int = 2) -> None:
    """Trains the POS recipe's tagger for an epoch of EWT with its default kernels and, in turns, with packed layers."""
    data = TaggingDataModule("ud-en-ewt")
    data.setup("fit")
    print("\n| the POS tagger, training | tokens/s | packed, tokens/s | x packed | dev accuracy | packed |")
    print("|---|---:|---:|---:|---:|---:|")
    for precision in bench.precisions:
        seconds: dict[str, list[float]] = {"auto": [], "packed": []}
        accuracy = {}
        for _, kernel in track(list(product(range(rounds), seconds)), precision, console=STATUS):
            pl.seed_everything(0, verbose=False)
            model = SequenceTagger(
                data.codec, regularization=RegularizationOptions(token_dropout=0.2, label_smoothing=0.1)
            )
            for cell in model.modules():
                if isinstance(cell, Cell):
                    cell.options = replace(cell.options, kernel=kernel)
            trainer = plain_trainer(pl.Callback(), precision=LIGHTNING[precision], max_epochs=1, clip=1.0)
            start = perf_counter()
            trainer.fit(model, data)
            seconds[kernel].append(perf_counter() - start)
            trainer.limit_val_batches = 1.0
            accuracy[kernel] = trainer.validate(model, data, verbose=False)[0]["val/accuracy"]
        ours, packed = (median(values) for values in seconds.values())
        print(f"| {precision} | {data.training_tokens / ours:,.0f} | {data.training_tokens / packed:,.0f} |", end="")
        print(f" {packed / ours:.2f} | {accuracy['auto']:.2%} | {accuracy['packed']:.2%} |", flush=True)


if __name__ == "__main__":
    main()
