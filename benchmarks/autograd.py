"""How much faster each handwritten gradient of `zoo.autograd` is than the same formula in torch's autograd.

    python benchmarks/autograd.py > table.md          about a minute

A pass is forward, sum, backward. The two passes alternate, and the ratio is that of their median times. The sizes are
those of the POS tagger, of the NER tagger's CRF, and of a translator's softmax.

Shapes: B rows, T time steps, H hidden units and inputs, K tags, N tokens, V words.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from datetime import date
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from zoo import RecurrentBackbone
from zoo.autograd import ForwardAlgorithm, LinearScan, ReverseRows, TokenLogProbability, ZeroPadding

B, T, H, K, N, V = 32, 40, 256, 28, 1000, 8000
Pass = Callable[[], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each row of the table")
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"{date.today()}, {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, ", end="")
    print(f"torch {torch.__version__}\n")
    print("| gradient | by hand, ms | autograd, ms | times as fast |")
    print("|---|---:|---:|---:|")
    for name, (ours, plain) in rows().items():
        by_hand, left_to_torch = in_turns(ours, plain, options.seconds)
        ratio = left_to_torch / by_hand
        print(f"| {name} | {1000 * by_hand:.2f} | {1000 * left_to_torch:.2f} | {ratio:.2f} |", flush=True)


def rows() -> dict[str, tuple[Pass, Pass]]:
    """By name, a pass with the handwritten gradient and the same pass with torch's gradient."""
    x = torch.randn(B, T, H, requires_grad=True)
    lengths = torch.randint(T // 2, T + 1, (B,))
    time = torch.arange(T).expand(B, T)  # (B, T)
    mask = time < lengths[:, None]  # (B, T)
    source = torch.where(mask, lengths[:, None] - 1 - time, time)[..., None].expand(B, T, H)
    unary, pairwise = torch.randn(B, T, K, requires_grad=True), torch.randn(K, K, requires_grad=True)
    scores, target = torch.randn(N, V, requires_grad=True), torch.randint(V, (N,))
    take, candidate = torch.rand(B, T, H, requires_grad=True), torch.randn(B, T, H, requires_grad=True)
    start = torch.zeros(B, H, requires_grad=True)
    return {
        "zero_padding": (
            lambda: ZeroPadding.apply(x, mask).sum(),
            lambda: torch.where(mask[..., None], x, 0.0).sum(),
        ),
        "reverse": (lambda: ReverseRows.apply(x, lengths).sum(), lambda: x.gather(1, source).sum()),
        "forward algorithm of the CRF": (
            lambda: ForwardAlgorithm.apply(unary, pairwise)[0].sum(),
            lambda: plain_forward_algorithm(unary, pairwise).sum(),
        ),
        "log-probability of tokens": (
            lambda: -TokenLogProbability.apply(scores, target)[0].sum(),
            lambda: -scores.log_softmax(-1).gather(1, target[:, None]).sum(),
        ),
        "linear scan of the minimal cells": (
            lambda: LinearScan.apply(take, candidate, start).sum(),
            lambda: plain_linear_scan(take, candidate, start).sum(),
        ),
        "GRU, beside torch's fused function": backbones("gru", "by_hand", "fused", lengths),
        "GRU, beside a loop over steps": backbones("gru", "by_hand", "steps", lengths),
    }


def backbones(cell: str, ours: str, other: str, lengths: Tensor) -> tuple[Pass, Pass]:
    """Passes of the same layer with two kernels."""
    x = torch.randn(B, T, H)

    def passing(kernel: str) -> Pass:
        backbone = RecurrentBackbone(H, H, cell=cell, options={"kernel": kernel})
        return lambda: backbone(x, lengths).sequence.sum()

    return passing(ours), passing(other)


def plain_forward_algorithm(unary: Tensor, pairwise: Tensor) -> Tensor:
    """`(B, T, K)` and `(K, K)` -> alpha `(B, T, K)`."""
    alphas = [unary[:, 0]]
    for emitted in unary.unbind(1)[1:]:
        alphas.append((alphas[-1][:, :, None] + pairwise).logsumexp(1) + emitted)
    return torch.stack(alphas, 1)


def plain_linear_scan(take: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
    """`(B, T, H)` each and `(B, H)` -> states `(B, T, H)`."""
    states, h = [], start
    for take_now, candidate_now in zip(take.unbind(1), candidate.unbind(1), strict=True):
        h = torch.lerp(h, candidate_now, take_now)
        states.append(h)
    return torch.stack(states, 1)


def in_turns(ours: Pass, plain: Pass, seconds: float) -> tuple[float, float]:
    """The median seconds of each pass. The passes alternate, and the first two of each are not counted."""
    taken: dict[Pass, list[float]] = {ours: [], plain: []}
    end = perf_counter() + seconds
    while perf_counter() < end or len(taken[plain]) < 5:
        for work, times in taken.items():
            begin = perf_counter()
            work().backward()
            times.append(perf_counter() - begin)
    return median(taken[ours][2:]), median(taken[plain][2:])


if __name__ == "__main__":
    main()
