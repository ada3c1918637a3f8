"""Character encoders: they compute features of a word from its characters.

Shapes: U distinct forms, L characters of the longest, E features of a word.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.masks import max_over_time, padding_mask, zero_padding
from zoo.nn.backbone import RecurrentBackbone
from zoo.text import PAD_ID

# The number of groups of similar lengths in which the forms of a batch are encoded.
GROUPS = 4
# The widths of the convolutions, in characters.
WIDTHS = (2, 3, 4, 5)


class RecurrentCharacters(nn.Module):
    """The final states of a bidirectional recurrent layer over the characters of a word (Ling et al. 2015).

    Args:
        num_characters: the size of the character vocabulary.
        embedding_size: the features of a character embedding.
        output_size: E, an even number. Each direction has half of the features.
        cell: a key of `zoo.CELLS`.
    """

    def __init__(self, num_characters: int, embedding_size: int, output_size: int, cell: str):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=PAD_ID)
        self.backbone = RecurrentBackbone(embedding_size, output_size // 2, cell=cell)
        self.output_size = self.backbone.output_size

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Character ids `(U, L)` and `lengths (U,)` in characters -> `(U, E)`."""
        # Most words are short, so groups of similar lengths have less padding.
        order = lengths.argsort()
        finals = []
        for rows in order.chunk(GROUPS):
            longest = int(lengths[rows[-1]])
            encoded = self.backbone(self.embedding(characters[rows, :longest]), lengths[rows])
            finals.append(encoded.final[-1])  # (U / GROUPS, E)
        return torch.cat(finals)[order.argsort()]


class ConvolutionalCharacters(nn.Module):
    """The maximum over time of convolutions of several widths over the characters of a word (Kim et al. 2016).

    Args:
        num_characters: the size of the character vocabulary.
        embedding_size: the features of a character embedding.
        output_size: E. The convolutions have about the same number of features each.
    """

    def __init__(self, num_characters: int, embedding_size: int, output_size: int):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=PAD_ID)
        self.convolutions = nn.ModuleList()
        size, left_over = divmod(output_size, len(WIDTHS))
        for index, width in enumerate(WIDTHS):
            channels = size + 1 if index < left_over else size
            self.convolutions.append(nn.Conv1d(embedding_size, channels, width))
        self.output_size = output_size

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Character ids `(U, L)` and `lengths (U,)` in characters -> `(U, E)`."""
        x = zero_padding(self.embedding(characters), padding_mask(lengths, characters.shape[1]))  # (U, L, E)
        x = x.transpose(1, 2)  # (U, E, L)
        pooled = []
        for width, convolution in zip(WIDTHS, self.convolutions, strict=True):
            # Zeros around a word show where it begins and ends. Windows beyond its end do not count.
            margin = width - 1
            y = convolution(F.pad(x, (margin, margin)))  # (U, E, L + margin)
            pooled.append(max_over_time(y.transpose(1, 2), lengths + margin))
        return torch.cat(pooled, dim=-1).tanh()
