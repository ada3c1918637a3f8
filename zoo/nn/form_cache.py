"""What is composed of characters, kept between predictions: each spelling is composed once.

Shapes: U distinct forms, E features composed from characters.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

CAPACITY = 32_768  # forms; at 200 features of fp32 they take 26 MB

Compose = Callable[[nn.Module, list[str]], Tensor]  # an encoder and forms -> their vectors (U, E)


class FormCache:
    """Vectors that an encoder composed of the characters of forms, right whatever happens to the encoder.

    The vectors come from a private copy of the encoder. Before each use the copy's weights are compared with the
    encoder's own, number by number: that takes microseconds, and no counter or hook can forget a change. Where they
    differ, a new copy takes the old one's place, with its vectors, in a single assignment.

    Threads may use it at once: a vector that is kept never changes, and its place is published after it is written. So
    an exception or an interrupt at any point loses work at most.
    """

    def __init__(self):
        self._composed: _Composed | None = None

    def __reduce__(self) -> tuple:
        # A copied or unpickled model makes its own.
        return FormCache, ()

    def vectors(self, encoder: nn.Module, forms: Sequence[str], compose: Compose) -> Tensor:
        """The vectors `(U, E)` of distinct `forms`, composed by the encoder as it is now, in evaluation mode."""
        composed = self._composed
        if composed is None or not composed.is_of(encoder):
            composed = self._composed = _Composed(encoder)
        elif composed.is_full:
            # Starting over costs a request its own forms again. Copying or sorting out old ones would cost a stall.
            composed = self._composed = _Composed(composed.encoder)
        return composed.vectors(forms, compose)


class _Composed:
    """What one copy of an encoder composed. Vectors are added and never changed."""

    def __init__(self, encoder: nn.Module):
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self._setting = _setting(self.encoder)
        self._weights = {name: bytearray(_bits(weight)) for name, weight in _named_weights(self.encoder)}
        self._rows: dict[str, int] = {}
        self._table: Tensor | None = None  # (CAPACITY, E)
        self._used = 0
        self._growing = threading.Lock()

    @property
    def is_full(self) -> bool:
        return self._used == CAPACITY

    def is_of(self, encoder: nn.Module) -> bool:
        """Whether the copy composes what the encoder would."""
        if self._setting != _setting(encoder):
            return False
        # A bytearray compares itself with any memory at the speed of memcmp, a tenth of the time of torch.equal.
        return all(self._weights[name] == _bits(weight) for name, weight in _named_weights(encoder))

    def vectors(self, forms: Sequence[str], compose: Compose) -> Tensor:
        """The vectors `(U, E)` of distinct `forms`."""
        rows = [self._rows.get(form, -1) for form in forms]
        new = [place for place, row in enumerate(rows) if row < 0]
        if not new:
            return self._table[torch.tensor(rows, device=self._table.device)]
        made = compose(self.encoder, [forms[place] for place in new])  # (those that are new, E)
        self._keep([forms[place] for place in new], made)
        if len(new) == len(forms):
            return made
        vectors = made.new_empty(len(forms), made.shape[1])
        vectors[torch.tensor(new, device=made.device)] = made
        old = [place for place, row in enumerate(rows) if row >= 0]
        found = torch.tensor([rows[place] for place in old], device=made.device)
        vectors[torch.tensor(old, device=made.device)] = self._table[found]
        return vectors

    def _keep(self, forms: Sequence[str], vectors: Tensor) -> None:
        if not self._growing.acquire(blocking=False):
            return  # another thread is at it: these forms are composed again when they come again
        try:
            if self._table is None:
                # Memory that is not written yet is not taken yet, on a CPU.
                self._table = vectors.new_empty(CAPACITY, vectors.shape[1])
            start = self._used
            end = min(start + len(forms), CAPACITY)
            self._table[start:end] = vectors[: end - start]
            self._used = end
            self._rows.update(zip(forms, range(start, end)))  # noqa: B905 (those beyond the capacity are not kept)
        finally:
            self._growing.release()


def _named_weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(module.named_parameters(), module.named_buffers())


def _bits(weight: Tensor) -> np.ndarray:
    return weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()


def _setting(module: nn.Module) -> tuple:
    """What decides beside the numbers: kinds of parts and weights, the autocast in force, on a GPU the stream."""
    parts = [type(part) for part in module.modules()]
    weights = [(name, weight.dtype, weight.shape, weight.device) for name, weight in _named_weights(module)]
    device = weights[0][-1]
    autocast = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
    return parts, weights, autocast, stream
