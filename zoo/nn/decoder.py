"""A recurrent decoder that reads a source through attention.

Shapes: B rows, S source positions, T target positions, R rows of one step (several hypotheses to a source), K rows
to a source, Q of either, E features of an embedding, H of the decoder's cells, M of a source position, F = H + M.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, unknown_name
from zoo.nn.attention import AdditiveAttention, MultiplicativeAttention
from zoo.nn.backbone import BackboneOutput, RecurrentBackbone
from zoo.nn.cells import RecurrentOptions, State

ATTENTIONS = ("additive", "multiplicative", "none")
# A source position with less attention than this adds no more to a coverage penalty.
LEAST_ATTENTION = 1e-4


class Memory(NamedTuple):
    """What a decoder may read of each source, again and again."""

    sequence: Tensor  # (B, S, M)
    keys: Tensor  # (B, S, A) for the attention
    mask: Tensor  # (B, S), True at real positions
    copies: Tensor  # (B, S) ids in the extended vocabulary, for a pointer


class DecoderState(NamedTuple):
    """What a decoder hands from one step to the next."""

    cells: tuple[State, ...]
    output: Tensor  # (R, E), the last one, for input feeding
    coverage: Tensor  # (R, S), the sum of the attention so far


class Decoded(NamedTuple):
    """What a decoder says at each target position; a single step has R rows and no T."""

    output: Tensor  # (B, T, E)
    weights: Tensor  # (B, T, S), attention
    coverage: Tensor  # (B, T, S), the sum of the attention before
    features: Tensor  # (B, T, F), what the output was made of: hidden state and what was read


class AttentionDecoder(nn.Module):
    """Recurrent layers in one direction; after them attention, and both together as the output (Luong et al. 2015).

    Without input feeding no step waits for the attention of the last one: the recurrent layers scan a whole target
    at once, and attention follows for all its positions together.

    Args:
        embedding_size: E, also the size of the output.
        memory_size: M.
        cell: a key of `zoo.CELLS`.
        hidden_size: H.
        num_layers: of the decoder.
        dropout: probability of zeroing an output between two layers; with input feeding none is.
        recurrent: further options of the recurrent layers.
        attention: "additive", "multiplicative", or "none": then the source is only in the first state.
        attention_size: features of additive attention.
        coverage: whether attention sees where it was before (additive alone).
        input_feeding: whether the last output is an input of the next step.

    Raises:
        ValueError: an unknown attention, coverage without the additive one, or input feeding with regularisers
            that act over a whole sequence.
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
        if input_feeding and (lost := recurrent.regularisers):
            raise ZooError(f"input feeding goes step by step, where {', '.join(lost)} would do nothing: leave one out")
        self.input_feeding, self.covers = input_feeding, coverage
        self.backbone = RecurrentBackbone(
            embedding_size * (2 if input_feeding else 1),
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=False,
            dropout=dropout,
            options=recurrent,
        )
        size = self.backbone.output_size
        self.bridge = nn.ModuleList(
            nn.ModuleList(nn.Linear(memory_size, part.shape[-1]) for part in cell.initial_state(1)[: cell.free_states])
            for (cell,) in self.backbone.layers
        )
        self.attention = None
        if attention == "additive":
            self.attention = AdditiveAttention(size, memory_size, attention_size, coverage=coverage)
        elif attention == "multiplicative":
            self.attention = MultiplicativeAttention(size, memory_size)
        self.features_size = size + (memory_size if self.attention else 0)
        self.combine = nn.Linear(self.features_size, embedding_size)

    def remember(self, encoded: BackboneOutput, mask: Tensor, copies: Tensor) -> Memory:
        """An encoded source, its mask and its ids in the extended vocabulary, as a decoder reads them."""
        keys = self.attention.keys(encoded.sequence) if self.attention else encoded.sequence
        return Memory(encoded.sequence, keys, mask, copies)

    def start(self, encoded: BackboneOutput) -> DecoderState:
        """The state before the first step: each free part made from the encoder's final state by a layer of its own."""
        finals = encoded.final  # (N, B, M); a decoder with more layers reads the encoder's top one again
        rows, steps = encoded.sequence.shape[:2]
        cells = []
        for depth, (bridges, empty) in enumerate(zip(self.bridge, self.backbone.initial_state(rows), strict=True)):
            # Not the precision of `bridges`: quantized, they would not tell.
            final = finals[min(depth, len(finals) - 1)].to(empty[0].dtype)  # (B, M)
            cells.append((*(torch.tanh(bridge(final)) for bridge in bridges), *empty[len(bridges) :]))
        nothing = encoded.sequence.new_zeros
        return DecoderState(
            tuple(cells), nothing(rows, self.combine.out_features), nothing(rows, steps, dtype=torch.float32)
        )

    def forward(self, x: Tensor, lengths: Tensor, memory: Memory, state: DecoderState, *, covering: bool) -> Decoded:
        """All steps of known targets.

        Args:
            x: `(B, T, E)`, the embedded inputs.
            lengths: `(B,)`, of the targets.
            memory: of the sources.
            state: before the first step.
            covering: whether attention sees where it was before; when False it works as if it had been nowhere.
        """
        if self.input_feeding:
            return self._steps(x, memory, state, covering)
        h = self.backbone(x, lengths, state.cells).sequence  # (B, T, H)
        if not covering:
            coverage = state.coverage[:, None]  # (B, 1, S)
            weights = self._attend(h, memory, coverage)
            before = weights.cumsum(1) - weights
            return self._decoded(h, weights, memory, before)
        coverage, all_weights, before = state.coverage, [], []
        for t in range(x.shape[1]):
            before.append(coverage)
            all_weights.append(self._attend(h[:, t : t + 1], memory, coverage[:, None]))
            coverage = coverage + all_weights[-1].squeeze(1)
        return self._decoded(h, torch.cat(all_weights, dim=1), memory, torch.stack(before, dim=1))

    def step(self, x: Tensor, state: DecoderState, memory: Memory) -> tuple[Decoded, DecoderState]:
        """One step of K hypotheses for each source, side by side: `x (R, E)`, R = B * K; `Decoded` has no T."""
        inputs = torch.cat([x, state.output], dim=-1) if self.input_feeding else x
        h, cells = self.backbone.step(inputs, state.cells)  # (R, H)
        shape = (len(memory.mask), -1)  # K hypotheses are K questions to one source
        coverage = state.coverage.unflatten(0, shape)  # (B, K, S)
        h = h.unflatten(0, shape)
        weights = self._attend(h, memory, coverage)  # (B, K, S)
        decoded = Decoded(*(part.flatten(0, 1) for part in self._decoded(h, weights, memory, coverage)))
        return decoded, DecoderState(cells, decoded.output, state.coverage + decoded.weights)

    def _steps(self, x: Tensor, memory: Memory, state: DecoderState, covering: bool) -> Decoded:
        steps = []
        for now in x.unbind(1):
            seen = state if covering else state._replace(coverage=torch.zeros_like(state.coverage))
            decoded, after = self.step(now, seen, memory)
            steps.append(decoded._replace(coverage=state.coverage))
            state = after._replace(coverage=state.coverage + decoded.weights)
        return Decoded(*(torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)))

    def _attend(self, h: Tensor, memory: Memory, coverage: Tensor) -> Tensor:
        """`h (B, Q, H)` and `coverage (B, Q or 1, S)` -> weights `(B, Q, S)`."""
        if self.attention is None:
            return torch.zeros(*h.shape[:2], memory.mask.shape[1], device=h.device)
        seen = (coverage,) if self.covers else ()
        return self.attention(h, memory.keys, memory.mask, *seen)

    def _decoded(self, h: Tensor, weights: Tensor, memory: Memory, coverage: Tensor) -> Decoded:
        if self.attention is not None:
            h = torch.cat([h, weights.to(memory.sequence.dtype) @ memory.sequence], dim=-1)  # (B, Q, F)
        return Decoded(torch.tanh(self.combine(h)), weights, coverage, h)


def log_coverage(state: DecoderState, memory: Memory) -> Tensor:
    """The sum over a source of log min(1, attention to it so far) (Wu et al. 2016, equation 14): `(R,)`."""
    mask = memory.mask.repeat_interleave(len(state.coverage) // len(memory.mask), dim=0)  # (R, S)
    return state.coverage.clamp(LEAST_ATTENTION, 1.0).log().masked_fill(~mask, 0.0).sum(-1)
