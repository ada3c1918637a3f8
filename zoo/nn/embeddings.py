"""Word forms to vectors: a trained embedding, composed characters, and imported vectors, side by side.

Shapes: U distinct forms, L characters, E features of a part, X features of all parts together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.batches.indexers import Forms
from zoo.errors import ZooError, unknown_name
from zoo.masks import max_over_time, padding_mask, zero_padding
from zoo.memory import require_memory
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import CELLS
from zoo.nn.dropout import check_probability
from zoo.text import PAD_ID, UNKNOWN_ID

GROUPS = 4  # in which a batch's forms are composed
WIDTHS = (2, 3, 4, 5)  # characters that a convolution sees


class RecurrentCharacters(nn.Module):
    """The final states of a bidirectional recurrent layer over a word's characters (Ling et al. 2015)."""

    def __init__(self, num_characters: int, embedding_size: int, output_size: int, cell: str):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=PAD_ID)
        self.backbone = RecurrentBackbone(embedding_size, output_size // 2, cell=cell)
        self.output_size = self.backbone.output_size

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        # Most words are short: in groups of like lengths, little is padding.
        order = lengths.argsort()
        finals = []
        for rows in order.chunk(GROUPS):
            longest = int(lengths[rows[-1]])
            encoded = self.backbone(self.embedding(characters[rows, :longest]), lengths[rows])
            finals.append(encoded.final[-1])  # (U / GROUPS, E)
        return torch.cat(finals)[order.argsort()]  # (U, E)


class ConvolutionalCharacters(nn.Module):
    """The maximum over time of convolutions of several widths over a word's characters (Kim et al. 2016)."""

    def __init__(self, num_characters: int, embedding_size: int, output_size: int):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=PAD_ID)
        sizes = [output_size // len(WIDTHS) + (i < output_size % len(WIDTHS)) for i in range(len(WIDTHS))]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_size, size, width) for size, width in zip(sizes, WIDTHS, strict=True)
        )
        self.output_size = output_size

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        x = zero_padding(self.embedding(characters), padding_mask(lengths, characters.shape[1]))  # (U, L, E)
        x = x.transpose(1, 2)  # (U, E, L)
        pooled = []
        for convolution in self.convolutions:
            # Zeros around a word show where it begins and ends; windows beyond its end do not count.
            margin = convolution.kernel_size[0] - 1
            y = convolution(F.pad(x, (margin, margin)))  # (U, E, L + margin)
            pooled.append(max_over_time(y.transpose(1, 2), lengths + margin))
        return torch.cat(pooled, dim=-1).tanh()  # (U, E)


class ImportedVectors(nn.Embedding):
    """A table of imported vectors: row 0 is padding, 1 the unknown word.

    Args:
        num_vectors: its rows, these two included.
        vector_size: features of a vector.
        tune: whether training may change them.
    """

    def __init__(self, num_vectors: int, vector_size: int, *, tune: bool):
        if vector_size < 1:
            raise ZooError(f"imported vectors have at least 1 feature, got vector_size={vector_size}")
        super().__init__(num_vectors, vector_size, padding_idx=PAD_ID)
        nn.init.zeros_(self.weight)  # until they are imported
        self.weight.requires_grad_(tune)


def import_table(vectors: ImportedVectors | None, table: Tensor) -> None:
    """Copies `table (num_vectors - 2, vector_size)`, scaled to unit variance; unknown words get the mean.

    Raises:
        ZooError: a model has no vectors, or others.
    """
    if vectors is None:
        raise ZooError("this model has no imported vectors: make it with vector_words=... and vector_size=...")
    weight = vectors.weight.data
    if table.shape != (len(weight) - 2, weight.shape[1]):
        raise ZooError(f"expected vectors of shape {(len(weight) - 2, weight.shape[1])}, got {tuple(table.shape)}")
    deviation = table.std()
    weight[2:] = table / deviation if deviation > 0 else table  # of a single number it is NaN
    weight[UNKNOWN_ID] = weight[2:].mean(0)


class WordEmbedding(nn.Module):
    """Words to vectors: a trained embedding and, where there are some, imported vectors, side by side.

    Args:
        num_words: size of the word vocabulary (0 is padding, 1 the unknown word).
        num_vectors: rows of imported vectors; 0 for none.
        word_size: features of the trained embedding.
        vector_size: features of an imported vector.
        tune_vectors: whether training may change them.
        word_dropout: probability that a word is not known (Gal & Ghahramani 2016): its embedding and its
            imported vector are those of an unknown word.
    """

    def __init__(
        self,
        num_words: int,
        *,
        num_vectors: int,
        word_size: int,
        vector_size: int,
        tune_vectors: bool,
        word_dropout: float,
    ):
        super().__init__()
        check_probability("word_dropout", word_dropout)
        if word_size < 1:
            raise ZooError(f"expected an embedding of at least 1 feature, got {word_size}")
        require_memory(num_words * word_size, f"an embedding of {num_words:,} words and {word_size:,} features")
        self.words = nn.Embedding(num_words, word_size, padding_idx=PAD_ID)
        nn.init.normal_(self.words.weight[1:].data, std=word_size**-0.5)
        self.vectors = None
        if num_vectors:
            self.vectors = ImportedVectors(num_vectors, vector_size, tune=tune_vectors)
        self.word_dropout = word_dropout
        self.output_size = word_size + (vector_size if num_vectors else 0)

    def import_vectors(self, table: Tensor) -> None:
        """Copies imported vectors; see `import_table`."""
        import_table(self.vectors, table)

    def look_up(self, words: Tensor, vectors: Tensor) -> list[Tensor]:
        """The embedding and the imported vector of each word: ids of any one shape `(*)` -> each `(*, E)`."""
        tables = [(self.words, words)] if self.vectors is None else [(self.words, words), (self.vectors, vectors)]
        if self.training and self.word_dropout:
            forgotten = (torch.rand(words.shape, device=words.device) < self.word_dropout) & (words != PAD_ID)
            tables = [(table, ids.masked_fill(forgotten, UNKNOWN_ID)) for table, ids in tables]
        return [table(ids) for table, ids in tables]

    def forward(self, words: Tensor, vectors: Tensor) -> Tensor:
        """Ids `(*)` in the word vocabulary and in the table of imported vectors -> `(*, X)`."""
        parts = self.look_up(words, vectors)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


class FormEmbedding(WordEmbedding):
    """Forms to vectors: what is known of each distinct spelling, side by side; characters are never forgotten.

    Args:
        num_words: size of the word vocabulary (0 is padding, 1 the unknown word).
        num_characters: size of the character vocabulary.
        num_vectors: rows of imported vectors; 0 for none.
        word_size: features of the trained word embedding.
        character_size: features of a character's embedding.
        character_output: features composed from characters; 0 leaves characters out.
        character_encoder: a key of `zoo.CELLS`, or "cnn".
        vector_size: features of an imported vector.
        tune_vectors: whether training may change them.
        word_dropout: probability that a batch does not know a form's word.

    Raises:
        ValueError: an unknown character encoder (the known ones are listed).
    """

    def __init__(
        self,
        num_words: int,
        num_characters: int,
        *,
        num_vectors: int,
        word_size: int,
        character_size: int,
        character_output: int,
        character_encoder: str,
        vector_size: int,
        tune_vectors: bool,
        word_dropout: float,
    ):
        super().__init__(
            num_words,
            num_vectors=num_vectors,
            word_size=word_size,
            vector_size=vector_size,
            tune_vectors=tune_vectors,
            word_dropout=word_dropout,
        )
        self.characters = None
        if character_output:
            if character_encoder == "cnn":
                self.characters = ConvolutionalCharacters(num_characters, character_size, character_output)
            elif character_encoder in CELLS:
                self.characters = RecurrentCharacters(
                    num_characters, character_size, character_output, character_encoder
                )
            else:
                raise unknown_name("character encoder", character_encoder, ["cnn", *CELLS])
            self.output_size += self.characters.output_size

    def forward(self, forms: Forms) -> Tensor:
        """`Forms` of U spellings -> `(U, X)`."""
        composed = None
        if self.characters is not None:
            composed = self.characters(forms.character_ids, forms.lengths)  # (U, E)
        return self.join(forms.word_ids, forms.vector_ids, composed)

    def join(self, words: Tensor, vectors: Tensor, composed: Tensor | None) -> Tensor:
        """Ids `(U,)` of words and of imported vectors, and what is composed of characters `(U, E)` -> `(U, X)`."""
        embedded, *imported = self.look_up(words, vectors)  # (U, E) each
        parts = [] if composed is None else [composed.to(embedded.dtype)]
        return torch.cat([embedded, *parts, *imported], dim=-1)


def gather_forms(vectors: Tensor, tokens: Tensor) -> Tensor:
    """Puts each token's vector in its place: `(U, X)` and `tokens (B, T)` -> `(B, T, X)`."""
    return F.embedding(tokens, vectors)
