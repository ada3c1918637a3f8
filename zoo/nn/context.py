"""The states of trained language models at the tokens of sentences (Peters et al. 2017, Akbik et al. 2018).

Shapes: B sentences, T tokens, P pieces that a language model reads, O outputs of its backbone, F outputs of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from zoo.batches.context import Context, ContextInputs
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.embeddings import new_embeddings


class FrozenReader(nn.Module):
    """The embedding and the backbone of a language model, which are not trained, and always in evaluation mode.

    Args:
        num_words: the size of its vocabulary.
        embedding_size: the features of a token embedding.
        hidden_size, cell, num_layers, options: of its backbone.
    """

    def __init__(
        self,
        num_words: int,
        *,
        embedding_size: int,
        hidden_size: int,
        cell: str,
        num_layers: int,
        options: RecurrentOptions | Mapping[str, Any],
    ):
        super().__init__()
        (self.embedding,) = new_embeddings([num_words], embedding_size)
        self.backbone = RecurrentBackbone(
            embedding_size, hidden_size, cell=cell, num_layers=num_layers, bidirectional=False, options=options
        )
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, inputs: ContextInputs) -> Tensor:
        """The outputs at each token, `(B, T, O)`."""
        outputs: Tensor = self.backbone(self.embedding(inputs.token_ids), inputs.lengths).sequence  # (B, P, O)
        places = inputs.places[..., None].expand(-1, -1, outputs.shape[2])
        return outputs.gather(1, places)


class ContextualFeatures(nn.Module):
    """The outputs of several language models at each token, side by side.

    Args:
        readers: the language models.
    """

    def __init__(self, readers: Sequence[FrozenReader]):
        super().__init__()
        self.readers = nn.ModuleList(readers)
        self.output_size = sum(reader.backbone.output_size for reader in readers)

    def forward(self, context: Context) -> Tensor:
        """The features of each token in fp16, `(B, T, F)`.

        Args:
            context: what each language model reads, or these features themselves if they were computed before.
        """
        if isinstance(context, Tensor):
            return context
        outputs = [reader(inputs) for reader, inputs in zip(self.readers, context, strict=True)]
        # A training may keep them, so they are rounded in the same way at any time.
        return torch.cat(outputs, dim=-1).half()
