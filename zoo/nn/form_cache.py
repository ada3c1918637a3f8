"""A cache of the character features of word forms: predictions encode each form once.

Shapes: U distinct forms, E character features.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# The largest number of forms. With 200 features in fp32, they take 26 MB.
CAPACITY = 32_768

# An encoder and forms -> their vectors (U, E).
Compose = Callable[[nn.Module, list[str]], Tensor]


class FormCache:
    """The character features of forms, which stay right if the weights of the encoder change.

    The vectors are those of a private copy of the encoder. Before each use, all weights of the copy are compared with
    those of the encoder. This takes microseconds and detects every change, which a counter or a hook would not. If a
    weight differs, a new copy without vectors replaces the old one in one assignment.

    Several threads may use the cache at once: a stored vector never changes, and its position is published after it is
    written. An exception or an interrupt at any point therefore loses some work, but leaves no wrong vector.
    """

    def __init__(self) -> None:
        self._composed: _Composed | None = None

    def __reduce__(self) -> tuple[type[FormCache], tuple[()]]:
        # A copied or unpickled model starts with an empty cache of its own.
        return FormCache, ()

    def vectors(self, encoder: nn.Module, forms: Sequence[str], compose: Compose) -> Tensor:
        """The vectors of distinct forms, as the encoder composes them now, in evaluation mode.

        Args:
            encoder: with parameters.
            forms: U distinct ones, at least one.
            compose: how an encoder composes the vectors `(U, E)` of forms.

        Returns:
            `(U, E)`.
        """
        composed = self._composed
        if composed is None or not composed.is_of(encoder):
            composed = self._composed = _Composed(encoder)
        elif composed.is_full:
            # Starting over costs this request some forms. Copying or sorting out old ones would cost a stall.
            composed = self._composed = _Composed(composed.encoder)
        return composed.vectors(forms, compose)


class _Composed:
    """The vectors that one copy of an encoder has composed. Vectors are added and never changed."""

    def __init__(self, encoder: nn.Module):
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self._setting = _setting(self.encoder)
        self._weights = {name: bytearray(_bits(weight)) for name, weight in _named_weights(self.encoder)}
        # The row of each form in the table, which is (CAPACITY, E) once the first vectors are there.
        self._rows: dict[str, int] = {}
        self._table = torch.empty(0)
        self._used = 0
        self._growing = threading.Lock()

    @property
    def is_full(self) -> bool:
        return self._used == CAPACITY

    def is_of(self, encoder: nn.Module) -> bool:
        """Whether the copy composes the same vectors as the encoder."""
        if self._setting != _setting(encoder):
            return False
        # A bytearray compares itself with any memory by memcmp, in a tenth of the time of torch.equal.
        return all(self._weights[name] == _bits(weight) for name, weight in _named_weights(encoder))

    def vectors(self, forms: Sequence[str], compose: Compose) -> Tensor:
        """The vectors `(U, E)` of U distinct forms."""
        rows = [self._rows.get(form, -1) for form in forms]
        new = [place for place, row in enumerate(rows) if row < 0]
        if not new:
            return self._table[torch.tensor(rows, device=self._table.device)]
        new_forms = [forms[place] for place in new]
        new_vectors = compose(self.encoder, new_forms)  # (U of the new, E)
        self._keep(new_forms, new_vectors)
        if len(new) == len(forms):
            return new_vectors
        device = new_vectors.device
        vectors = new_vectors.new_empty(len(forms), new_vectors.shape[1])
        vectors[torch.tensor(new, device=device)] = new_vectors
        known = [place for place, row in enumerate(rows) if row >= 0]
        known_rows = torch.tensor([rows[place] for place in known], device=device)
        vectors[torch.tensor(known, device=device)] = self._table[known_rows]
        return vectors

    def _keep(self, forms: Sequence[str], vectors: Tensor) -> None:
        """Stores vectors `(U, E)`, as many as there is room for."""
        if not self._growing.acquire(blocking=False):
            # Another thread is storing its own. These forms are composed again when they come again.
            return
        try:
            if not len(self._table):
                # On a CPU, memory is not taken until it is written.
                self._table = vectors.new_empty(CAPACITY, vectors.shape[1])
            start = self._used
            end = min(start + len(forms), CAPACITY)
            self._table[start:end] = vectors[: end - start]
            self._used = end
            self._rows.update(zip(forms[: end - start], range(start, end), strict=True))
        finally:
            self._growing.release()


def _named_weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(module.named_parameters(), module.named_buffers())


def _bits(weight: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()


def _setting(module: nn.Module) -> tuple[object, ...]:
    """What decides about the vectors besides the weights' numbers.

    That is the types of modules and weights, the autocast in force, and on a GPU the stream.
    """
    modules = [type(part) for part in module.modules()]
    weights = [(name, weight.dtype, weight.shape, weight.device) for name, weight in _named_weights(module)]
    device = weights[0][-1]
    autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
    return modules, weights, autocast, stream
