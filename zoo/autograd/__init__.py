"""Gradients written by hand, where torch's own take more time or memory (`benchmarks/autograd.py` measures each).

Each function has a `setup_context`, so that `torch.func.grad` and `torch.func.jacrev` give its gradient too;
`torch.func.vmap` is not supported. A second derivative is either right or refused (see `first_derivative`).
"""

from zoo.autograd.first_derivative import first_derivative
from zoo.autograd.forward_algorithm import ForwardAlgorithm
from zoo.autograd.gru import GRUScan, gru_scan
from zoo.autograd.linear_scan import LinearScan
from zoo.autograd.log_probability import TokenLogProbability
from zoo.autograd.masking import ReverseRows, ZeroPadding, zeroed
from zoo.autograd.unrolled import HiddenStates, LoopInput, LoopOutput

__all__ = [
    "ForwardAlgorithm",
    "GRUScan",
    "HiddenStates",
    "LinearScan",
    "LoopInput",
    "LoopOutput",
    "ReverseRows",
    "TokenLogProbability",
    "ZeroPadding",
    "first_derivative",
    "gru_scan",
    "zeroed",
]
