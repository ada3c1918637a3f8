"""A recurrent decoder that reads a source through attention.

Shapes: B rows, S source positions, T target positions, K hypotheses per source, R = B * K rows of one step, Q queries
per source, E features of an embedding, H hidden units of the decoder, M features of a source position, F = H + M
(H without attention).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, unknown_name
from zoo.nn.attention import AdditiveAttention, MultiplicativeAttention
from zoo.nn.backbone import BackboneOutput, RecurrentBackbone
from zoo.nn.cells import RecurrentOptions, State

ATTENTIONS = ("additive", "multiplicative", "none")
# The lower clamp of attention before the logarithm in a coverage penalty.
LEAST_ATTENTION = 1e-4


class Memory(NamedTuple):
    """The encoded sources, as a decoder reads them at every step."""

    sequence: Tensor  # (B, S, M)
    keys: Tensor  # (B, S, A) of the attention
    mask: Tensor  # (B, S), True at real positions
    copies: Tensor  # (B, S) ids in the extended vocabulary, for a pointer


class DecoderState(NamedTuple):
    """The state of a decoder between two steps."""

    cells: tuple[State, ...]
    output: Tensor  # (R, E), the previous output, for input feeding
    coverage: Tensor  # (R, S), the sum of the attention weights so far


class Decoded(NamedTuple):
    """The results of a decoder at each target position; those of a single step are `(R, *)`, without T."""

    output: Tensor  # (B, T, E)
    weights: Tensor  # (B, T, S), the attention weights
    coverage: Tensor  # (B, T, S), the sum of the earlier weights
    features: Tensor  # (B, T, F), the input of the output layer: hidden state and attended source


class Bridge(nn.ModuleList):
    """Makes the first state of a decoder layer from the encoder's final state, one linear layer for each free tensor.

    Args:
        memory_size: M.
        free: the tensors `(*, H)` of the layer's initial state that may have any value.
    """

    def __init__(self, memory_size: int, free: Sequence[Tensor]):
        super().__init__(nn.Linear(memory_size, part.shape[-1]) for part in free)

    def forward(self, final: Tensor, initial: State) -> State:
        """The encoder's final state `(B, M)` and the layer's initial state `(B, *)` -> the layer's first state."""
        # The precision is that of the initial state, because quantized linear layers have no weights to ask.
        final = final.to(initial[0].dtype)
        free = [torch.tanh(linear(final)) for linear in self]
        return (*free, *initial[len(free) :])


class AttentionDecoder(nn.Module):
    """Recurrent layers in one direction, then attention, and both together as the output (Luong et al. 2015).

    Without input feeding, no step needs the attention of an earlier one: the recurrent layers scan the whole target at
    once, and attention follows for all positions together.

    Args:
        embedding_size: E, also the size of the output.
        memory_size: M.
        cell: a key of `zoo.CELLS`.
        hidden_size: H.
        num_layers: of the decoder.
        dropout: probability of zeroing an output between two layers; with input feeding it does nothing.
        recurrent: further options of the recurrent layers.
        attention: "additive", "multiplicative", or "none": then only the first state depends on the source.
        attention_size: A, features of additive attention.
        coverage: whether attention sees how much it attended to each position before (additive attention only).
        input_feeding: whether the previous output is an input of the next step.

    Raises:
        ZooError: an unknown attention, coverage without additive attention, or input feeding with regularisers that act
            over a whole sequence.
    """

    def __init__(
        self,
        embedding_size: int,
        memory_size: int,
        *,
        cell: str,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        recurrent: RecurrentOptions,
        attention: str,
        attention_size: int,
        coverage: bool,
        input_feeding: bool,
    ):
        super().__init__()
        if attention not in ATTENTIONS:
            raise unknown_name("attention", attention, ATTENTIONS)
        if coverage and attention != "additive":
            raise ZooError(f"coverage is an input of additive attention: use the kind 'additive', not {attention!r}")
        if input_feeding and recurrent.regularisers:
            lost = ", ".join(recurrent.regularisers)
            raise ZooError(f"input feeding goes step by step, where {lost} would do nothing: leave one out")
        self.input_feeding = input_feeding
        self.covers = coverage
        self.backbone = RecurrentBackbone(
            2 * embedding_size if input_feeding else embedding_size,
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=False,
            dropout=dropout,
            options=recurrent,
        )
        size = self.backbone.output_size
        self.bridge = nn.ModuleList(
            Bridge(memory_size, layer.initial_state(1)[: layer.free_states]) for layer in self.backbone.cells
        )
        self.attention: AdditiveAttention | MultiplicativeAttention | None = None
        self.features_size = size
        if attention != "none":
            self.features_size += memory_size
        if attention == "additive":
            self.attention = AdditiveAttention(size, memory_size, attention_size, coverage=coverage)
        elif attention == "multiplicative":
            self.attention = MultiplicativeAttention(size, memory_size)
        self.combine = nn.Linear(self.features_size, embedding_size)

    def extra_repr(self) -> str:
        return f"input_feeding={self.input_feeding}"

    def remember(self, encoded: BackboneOutput, mask: Tensor, copies: Tensor) -> Memory:
        """The memory of encoded sources, with their `mask (B, S)` and their ids in the extended vocabulary `(B, S)`."""
        keys = encoded.sequence if self.attention is None else self.attention.keys(encoded.sequence)
        return Memory(encoded.sequence, keys, mask, copies)

    def start(self, encoded: BackboneOutput) -> DecoderState:
        """The state before the first step, from the final states of an encoder.

        Where the decoder has more layers than the encoder, the upper ones start from the encoder's top layer.
        """
        rows, steps = encoded.sequence.shape[:2]
        top = len(encoded.final) - 1
        cells: list[State] = []
        for depth, initial in enumerate(self.backbone.initial_state(rows)):
            cells.append(self.bridge[depth](encoded.final[min(depth, top)], initial))
        output = encoded.sequence.new_zeros(rows, self.combine.out_features)
        coverage = encoded.sequence.new_zeros(rows, steps, dtype=torch.float32)
        return DecoderState(tuple(cells), output, coverage)

    def forward(self, x: Tensor, lengths: Tensor, memory: Memory, state: DecoderState, *, covering: bool) -> Decoded:
        """All steps of known targets.

        Args:
            x: `(B, T, E)`, the embedded inputs.
            lengths: `(B,)`, of the targets.
            memory: of the sources.
            state: before the first step.
            covering: whether attention sees its coverage; if False, it works as if it had attended to nothing before.
        """
        if self.input_feeding:
            return self._feed_inputs(x, memory, state, covering)
        h = self.backbone(x, lengths, state.cells).sequence  # (B, T, H)
        if not covering:
            weights = self._attend(h, memory, state.coverage[:, None])  # (B, T, S)
            return self._combine(h, weights, memory, weights.cumsum(1) - weights)
        coverage = state.coverage  # (B, S)
        coverages: list[Tensor] = []  # (B, S) each
        all_weights: list[Tensor] = []  # (B, 1, S) each
        for t in range(x.shape[1]):
            coverages.append(coverage)
            all_weights.append(self._attend(h[:, t : t + 1], memory, coverage[:, None]))
            coverage = coverage + all_weights[-1].squeeze(1)
        return self._combine(h, torch.cat(all_weights, dim=1), memory, torch.stack(coverages, dim=1))

    def step(self, x: Tensor, state: DecoderState, memory: Memory) -> tuple[Decoded, DecoderState]:
        """One step of K hypotheses for each source.

        Args:
            x: `(R, E)`, the hypotheses of a source side by side.
            state: of R rows.
            memory: of B sources.
        """
        inputs = torch.cat([x, state.output], dim=-1) if self.input_feeding else x
        h, cells = self.backbone.step(inputs, state.cells)  # (R, H)
        # The K hypotheses of a source are its queries.
        shape = (len(memory.mask), -1)
        coverage = state.coverage.unflatten(0, shape)  # (B, K, S)
        h = h.unflatten(0, shape)  # (B, K, H)
        weights = self._attend(h, memory, coverage)  # (B, K, S)
        decoded = Decoded(*(part.flatten(0, 1) for part in self._combine(h, weights, memory, coverage)))
        return decoded, DecoderState(cells, decoded.output, state.coverage + decoded.weights)

    def _feed_inputs(self, x: Tensor, memory: Memory, state: DecoderState, covering: bool) -> Decoded:
        """All steps of known targets, one after the other."""
        steps = []
        for x_now in x.unbind(1):
            seen = state if covering else state._replace(coverage=torch.zeros_like(state.coverage))
            decoded, after = self.step(x_now, seen, memory)
            steps.append(decoded._replace(coverage=state.coverage))
            state = after._replace(coverage=state.coverage + decoded.weights)
        return Decoded(*(torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)))

    def _attend(self, h: Tensor, memory: Memory, coverage: Tensor) -> Tensor:
        """The attention weights: `h (B, Q, H)` and `coverage (B, Q or 1, S)` -> `(B, Q, S)`."""
        if self.attention is None:
            return torch.zeros(*h.shape[:2], memory.mask.shape[1], device=h.device)
        seen = (coverage,) if self.covers else ()
        weights: Tensor = self.attention(h, memory.keys, memory.mask, *seen)
        return weights

    def _combine(self, h: Tensor, weights: Tensor, memory: Memory, coverage: Tensor) -> Decoded:
        """The outputs, from hidden states `(B, Q, H)` and attention weights `(B, Q, S)`."""
        features = h
        if self.attention is not None:
            attended = weights.to(memory.sequence.dtype) @ memory.sequence  # (B, Q, M)
            features = torch.cat([h, attended], dim=-1)  # (B, Q, F)
        return Decoded(torch.tanh(self.combine(features)), weights, coverage, features)


def log_coverage(state: DecoderState, memory: Memory) -> Tensor:
    """The sum over a source of log min(1, attention to it so far) (Wu et al. 2016, equation 14): `(R,)`."""
    mask = memory.mask.repeat_interleave(len(state.coverage) // len(memory.mask), dim=0)  # (R, S)
    return state.coverage.clamp(LEAST_ATTENTION, 1.0).log().masked_fill(~mask, 0.0).sum(-1)
