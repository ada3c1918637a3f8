"""Computes the states of language models at all tokens of a split once, so that a training need not.

Shapes: B sentences, T tokens, M tokens of a split, F features of all language models.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
import torch
from lightning_fabric.utilities import move_data_to_device
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_info

from zoo.batches.bucketing import group_for_prediction
from zoo.batches.context import ContextStates
from zoo.batches.ragged import offsets_of
from zoo.batches.tagging import Sentences
from zoo.download import user_cache
from zoo.models.out_of_memory import splitting
from zoo.nn.context import ContextualFeatures
from zoo.threads import map_in_threads

# The largest number of tokens that are read at once, padding included.
TOKENS = 8192
# States of more bytes are kept in a file in the user's cache folder, where a later training finds them.
LARGE = 1 << 28


def states_of(features: ContextualFeatures, sentences: Sentences, device: torch.device) -> ContextStates:
    """The states at all tokens of a split, in memory or, if they are many, memory-mapped.

    They depend on the split and not on the batches of a training, which therefore resumes exactly.

    Args:
        features: the language models.
        sentences: the split.
        device: of the language models.
    """
    lengths = sentences.lengths
    shape = (int(lengths.sum()), features.output_size)
    rank_zero_info(f"computing the states of language models at {shape[0]:,} tokens")
    if shape[0] * shape[1] * np.dtype(np.float16).itemsize <= LARGE:
        values = np.empty(shape, dtype=np.float16)
        _fill(values, features, sentences, device)
        return ContextStates(values, lengths)
    path = user_cache() / "states" / f"{_key(features, sentences)}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        _fill(np.lib.format.open_memmap(part, "w+", np.float16, shape), features, sentences, device)
        os.replace(part, path)
    return ContextStates(np.load(path, mmap_mode="r"), lengths)


@torch.inference_mode()
def _fill(
    values: NDArray[np.float16], features: ContextualFeatures, sentences: Sentences, device: torch.device
) -> None:
    """Computes the states `values (M, F)`."""
    lengths = sentences.lengths.tolist()
    offsets = offsets_of(sentences.lengths)

    def work(rows: list[int]) -> None:
        context = move_data_to_device(sentences.context(rows), device)
        states = features(context).cpu().numpy()  # (B, T, F)
        for row, of_sentence in zip(rows, states, strict=True):
            values[offsets[row] : offsets[row + 1]] = of_sentence[: lengths[row]]

    map_in_threads(splitting(work), group_for_prediction(lengths, TOKENS, device), device)


def _key(features: ContextualFeatures, sentences: Sentences) -> str:
    """What identifies the states of a split: the language models, and what they read."""
    found = hashlib.sha256()
    for name, weight in features.state_dict().items():
        found.update(f"{name} {tuple(weight.shape)} ".encode())
        found.update(weight.cpu().contiguous().numpy().tobytes())
    for reader in sentences.readers:
        found.update(f"{reader.begin_id} {reader.space_ids} {reader.backward} ".encode())
    for pieces in sentences.forms.pieces:
        found.update(pieces.values.tobytes() + pieces.offsets.tobytes())
    for row, length in enumerate(sentences.lengths.tolist()):
        found.update(f"{length} ".encode() + sentences.form_ids[row].astype(np.int64).tobytes())
    return found.hexdigest()
