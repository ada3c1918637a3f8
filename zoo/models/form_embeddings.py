"""Embeds the distinct forms of sentences to tag. The encodings of their characters are kept for later calls."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from zoo.batches.bucketing import group_by_length
from zoo.batches.indexers import FormIndexer
from zoo.models.out_of_memory import splitting
from zoo.nn.embeddings import FormEmbedding
from zoo.nn.form_cache import FormCache
from zoo.threads import map_in_threads

# The largest number of characters that are encoded at once, padding included.
CHARACTERS = 16_384


def embed_forms(
    embedding: FormEmbedding, forms: list[str], indexer: FormIndexer, cache: FormCache, device: torch.device
) -> Tensor:
    """The embeddings of U distinct forms, `(U, X)`.

    Args:
        embedding: the embedding of a tagger, in evaluation mode.
        forms: the forms.
        indexer: turns them into ids.
        cache: the encodings of the characters of earlier forms.
        device: the device of the embedding.
    """
    composed = None
    if embedding.characters is not None:

        def compose(encoder: nn.Module, new_forms: list[str]) -> Tensor:
            return _encode_characters(encoder, new_forms, indexer, device)

        composed = cache.vectors(embedding.characters, forms, compose)  # (U, E)
    words, vectors = indexer.ids(forms)
    return embedding.join(words.to(device), vectors.to(device), composed)


def _encode_characters(encoder: nn.Module, forms: list[str], indexer: FormIndexer, device: torch.device) -> Tensor:
    """The encodings of the characters of U distinct forms, `(U, E)`."""
    batches = group_by_length([len(form) for form in forms], max_tokens=CHARACTERS)

    def encode(rows: list[int]) -> Tensor:
        characters, lengths = indexer.spell([forms[row] for row in rows])
        encoded: Tensor = encoder(characters.to(device), lengths.to(device))
        return encoded

    parts = chain.from_iterable(map_in_threads(splitting(encode), batches, device))
    order = torch.tensor([row for rows in batches for row in rows], device=device)  # (U,)
    return torch.cat(list(parts))[order.argsort()]
