"""The speed of the backbone beside torch's packed layers, and of each kernel at several amounts of padding."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tools.device_check.setting import PRECISIONS, Setting, some_lengths, table
from zoo import RecurrentBackbone, RecurrentOptions
from zoo.nn.cells import choose_kernel, kernel_names

TORCH: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}
# T and the rows of a batch.
ROWS = {24: 64, 100: 32, 400: 16}
SIZES = (256, 768)
# Lengths are drawn from these fractions of T on.
SHORTEST = (0.0, 0.3, 0.5, 0.7, 0.9)
Layers = Callable[[Tensor, Tensor], Tensor]


def compare_with_packed(setting: Setting) -> str:
    """Ours beside packed `nn.LSTM` and `nn.GRU`: training and inference in all precisions."""
    steps_and_rows = {6: 3} if setting.tiny else ROWS
    sizes = (8,) if setting.tiny else SIZES
    modes = [(mode, precision) for mode in ("training", "inference") for precision in PRECISIONS]
    points = [(cell, steps, size) for cell, size, steps in product(("lstm", "gru"), sizes, steps_and_rows)]
    lines = []
    for index in setting.points(points):
        cell, steps, size = points[index]
        x, lengths = _batch(setting, steps_and_rows[steps], steps, size)
        ours = _ours(setting, cell, size)
        packed = _packed(setting, cell, size)
        line = [cell, str(steps_and_rows[steps]), str(steps), str(size)]
        for mode, precision in modes:
            passes = [_pass(setting, layers, x, lengths, precision, mode) for layers in (ours, packed)]
            seconds, of_packed = setting.times(passes)
            line.append(f"{int(lengths.sum()) / seconds:,.0f} ({of_packed / seconds:.2f})")
        training = [_pass(setting, layers, x, lengths, "fp32", "training") for layers in (ours, packed)]
        line += [setting.peak_memory(one) for one in training]
        line.append(setting.synchronisations(_pass(setting, ours, x.clone(), lengths.clone(), "fp32", "training")))
        lines.append(line)
    columns = ["cell", "rows", "T", "H", *(f"{mode} {precision}" for mode, precision in modes)]
    columns += ["MB, training", "MB, packed", "synchronisations"]
    text = table(columns, lines, len(points) - len(lines))
    return f"Tokens/s, and in brackets times as fast as packed; bidirectional, one layer.\n\n{text}"


def compare_kernels(setting: Setting) -> str:
    """All kernels of the cells that torch has, at several amounts of padding: what `PACKING` is corrected by."""
    shapes = [(3, 6, 8)] if setting.tiny else [(64, 30, 256), (32, 24, 512), (16, 24, 128), (32, 100, 256)]
    precisions = ("fp32", "fp16") if setting.on_gpu else ("fp32",)
    modes = ("training", "inference")
    points = [(*point, shape) for point in product(precisions, modes, ("lstm", "gru"), SHORTEST) for shape in shapes]
    lines = []
    for index in setting.points(points):
        precision, mode, cell, shortest, (rows, steps, size) = points[index]
        x, lengths = _batch(setting, rows, steps, size, shortest)
        names = [name for name in kernel_names(cell) if name != "steps"]
        runs = [_ours(setting, cell, size, kernel) for kernel in names]
        passes = [_pass(setting, layers, x, lengths, precision, mode) for layers in runs]
        of_packed, *seconds = setting.times(
            [_pass(setting, _packed(setting, cell, size), x, lengths, precision, mode), *passes]
        )
        chosen = _chosen(setting, cell, size, x, lengths, precision, mode)
        best = min(zip(seconds, names, strict=True))[1]
        full = int(lengths.sum()) / (rows * steps)
        speeds = ", ".join(f"{name} {of_packed / took:.2f}" for name, took in zip(names, seconds, strict=True))
        lines.append([cell, mode, precision, f"{rows} x {steps}, {size}", f"{full:.2f}", speeds, best, chosen])
    columns = ["cell", "pass", "precision", "rows x T, H", "unpadded", "x torch packed", "fastest", "chosen"]
    return table(columns, lines, len(points) - len(lines))


def _batch(setting: Setting, rows: int, steps: int, size: int, shortest: float = 0.9) -> tuple[Tensor, Tensor]:
    """Inputs `(B, T, H)` and lengths `(B,)`, both on the device."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, steps, size, generator=generator)
    return x.to(setting.device), some_lengths(rows, steps, shortest).to(setting.device)


def _ours(setting: Setting, cell: str, size: int, kernel: str = "auto") -> Layers:
    backbone = RecurrentBackbone(size, size, cell=cell, options=RecurrentOptions(kernel=kernel)).to(setting.device)

    def run(x: Tensor, lengths: Tensor) -> Tensor:
        sequence: Tensor = backbone(x, lengths).sequence
        return sequence

    return run


def _packed(setting: Setting, cell: str, size: int) -> Layers:
    layers = TORCH[cell](size, size, batch_first=True, bidirectional=True).to(setting.device)

    def run(x: Tensor, lengths: Tensor) -> Tensor:
        packed, _ = layers(pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False))
        return pad_packed_sequence(packed, batch_first=True)[0]

    return run


def _pass(
    setting: Setting, layers: Layers, x: Tensor, lengths: Tensor, precision: str, mode: str
) -> Callable[[], None]:
    """A forward pass, and in training a backward pass."""
    training = mode == "training"

    def one() -> None:
        with torch.set_grad_enabled(training), setting.autocast(precision):
            inputs = x.detach().requires_grad_(training)
            outputs = layers(inputs, lengths)
        if training:
            outputs.float().sum().backward()

    return one


def _chosen(setting: Setting, cell: str, size: int, x: Tensor, lengths: Tensor, precision: str, mode: str) -> str:
    """The kernel that `kernel="auto"` chooses for a pass."""
    layer = RecurrentBackbone(size, size, cell=cell).to(setting.device).cells[0]
    with torch.set_grad_enabled(mode == "training"), setting.autocast(precision):
        return choose_kernel(layer, lengths, x.shape[1]).name
