"""The embedding of word forms: a trained embedding, a character encoding and imported vectors, concatenated.

Shapes: U distinct forms, E features of a part, X features of all parts together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.batches.indexers import Forms
from zoo.errors import ZooError, unknown_name
from zoo.memory import require_memory
from zoo.nn.cells import CELLS
from zoo.nn.characters import ConvolutionalCharacters, RecurrentCharacters
from zoo.nn.dropout import check_probability
from zoo.text import PAD_ID, UNKNOWN_ID


def new_embeddings(sizes: Sequence[int], features: int) -> list[nn.Embedding]:
    """Embeddings of `sizes` words each, normally distributed with variance 1 / `features`, and zero at padding.

    Raises:
        ZooError: there is less than 1 feature, or the embeddings are larger than this machine's memory.
    """
    if features < 1:
        raise ZooError(f"expected an embedding of at least 1 feature, got {features}")
    words = sum(sizes)
    require_memory(words * features, f"an embedding of {words:,} words and {features:,} features")
    embeddings = [nn.Embedding(size, features, padding_idx=PAD_ID) for size in sizes]
    for embedding in embeddings:
        nn.init.normal_(embedding.weight[1:].data, std=features**-0.5)
    return embeddings


class ImportedVectors(nn.Embedding):
    """A table of imported word vectors, which are zero until `import_table`. Row 0 is padding, row 1 the unknown word.

    Args:
        num_vectors: the number of rows, including these two.
        vector_size: the features of a vector.
        tune: whether training changes the vectors.

    Raises:
        ZooError: `vector_size` is below 1.
    """

    def __init__(self, num_vectors: int, vector_size: int, *, tune: bool):
        if vector_size < 1:
            raise ZooError(f"imported vectors have at least 1 feature, got vector_size={vector_size}")
        super().__init__(num_vectors, vector_size, padding_idx=PAD_ID)
        nn.init.zeros_(self.weight)
        self.weight.requires_grad_(tune)


def import_table(vectors: ImportedVectors | None, table: Tensor) -> None:
    """Copies vectors into a table, scaled to unit variance; the unknown word gets their mean.

    Args:
        vectors: the table of a model; None if it has none.
        table: `(num_vectors - 2, vector_size)`, the vectors of the known words.

    Raises:
        ZooError: the model has no imported vectors, or its table has another shape.
    """
    if vectors is None:
        raise ZooError("this model has no imported vectors: make it with vector_words=... and vector_size=...")
    weight = vectors.weight.data
    if table.shape != (len(weight) - 2, weight.shape[1]):
        raise ZooError(f"expected vectors of shape {(len(weight) - 2, weight.shape[1])}, got {tuple(table.shape)}")
    # The standard deviation of a single number is NaN.
    deviation = table.std()
    weight[2:] = table / deviation if deviation > 0 else table
    weight[UNKNOWN_ID] = weight[2:].mean(0)


class WordTables(nn.Module):
    """The tables in which a word is looked up: a trained embedding and, if there are any, imported vectors.

    Args:
        num_words: the size of the word vocabulary (0 is padding, 1 the unknown word).
        num_vectors: the rows of imported vectors; 0 for no imported vectors.
        word_size: the features of the trained embedding.
        vector_size: the features of an imported vector.
        tune_vectors: whether training changes the imported vectors.
        word_dropout: probability that a word is replaced by the unknown one in both tables (Gal & Ghahramani 2016).

    Raises:
        ZooError: a size below 1, an embedding larger than this machine's memory, or a probability outside [0, 1).
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
        (self.words,) = new_embeddings([num_words], word_size)
        self.vectors: ImportedVectors | None = None
        self.output_size = word_size
        if num_vectors:
            self.vectors = ImportedVectors(num_vectors, vector_size, tune=tune_vectors)
            self.output_size += vector_size
        self.word_dropout = word_dropout

    def look_up(self, word_ids: Tensor, vector_ids: Tensor) -> list[Tensor]:
        """The embedding and, if there are any, the imported vector of each word.

        Args:
            word_ids: `(*)`, in the word vocabulary.
            vector_ids: `(*)`, positions in the table of imported vectors.

        Returns:
            `(*, E)` from each table.
        """
        lookups = [(self.words, word_ids)]
        if self.vectors is not None:
            lookups.append((self.vectors, vector_ids))
        if self.training and self.word_dropout:
            drawn = torch.rand(word_ids.shape, device=word_ids.device) < self.word_dropout
            dropped = drawn & (word_ids != PAD_ID)
            lookups = [(table, ids.masked_fill(dropped, UNKNOWN_ID)) for table, ids in lookups]
        return [table(ids) for table, ids in lookups]

    def extra_repr(self) -> str:
        return f"word_dropout={self.word_dropout}, output_size={self.output_size}"


class WordEmbedding(WordTables):
    """The embedding of words: a trained embedding and, if there are any, imported vectors, concatenated."""

    def forward(self, word_ids: Tensor, vector_ids: Tensor) -> Tensor:
        """Ids `(*)` in the word vocabulary and `(*)` in the table of imported vectors -> `(*, X)`."""
        parts = self.look_up(word_ids, vector_ids)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


class FormEmbedding(WordTables):
    """The embedding of distinct forms: word embedding, character encoding and imported vectors, concatenated.

    Args:
        num_words: the size of the word vocabulary (0 is padding, 1 the unknown word).
        num_characters: the size of the character vocabulary.
        num_vectors: the rows of imported vectors; 0 for no imported vectors.
        word_size: the features of the trained word embedding.
        character_size: the features of a character embedding.
        character_output: the features that are computed from the characters; 0 leaves the character encoder out.
        character_encoder: a key of `zoo.CELLS`, or "cnn".
        vector_size: the features of an imported vector.
        tune_vectors: whether training changes the imported vectors.
        word_dropout: probability that the word of a form is replaced by the unknown one; its characters are kept.

    Raises:
        ZooError: as in `WordTables`, or an unknown character encoder (the known ones are listed).
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
        self.characters: RecurrentCharacters | ConvolutionalCharacters | None = None
        if not character_output:
            return
        if character_encoder == "cnn":
            self.characters = ConvolutionalCharacters(num_characters, character_size, character_output)
        elif character_encoder in CELLS:
            self.characters = RecurrentCharacters(num_characters, character_size, character_output, character_encoder)
        else:
            raise unknown_name("character encoder", character_encoder, ["cnn", *CELLS])
        self.output_size += self.characters.output_size

    def forward(self, forms: Forms) -> Tensor:
        """The embeddings of U forms, `(U, X)`."""
        composed = None
        if self.characters is not None:
            composed = self.characters(forms.character_ids, forms.lengths)  # (U, E)
        return self.join(forms.word_ids, forms.vector_ids, composed)

    def join(self, word_ids: Tensor, vector_ids: Tensor, composed: Tensor | None) -> Tensor:
        """Concatenates all parts.

        Args:
            word_ids: `(U,)`, in the word vocabulary.
            vector_ids: `(U,)`, positions in the table of imported vectors.
            composed: the character encoding, `(U, E)`; None without a character encoder.

        Returns:
            `(U, X)`.
        """
        embedded, *imported = self.look_up(word_ids, vector_ids)  # (U, E) each
        parts = [embedded]
        if composed is not None:
            parts.append(composed.to(embedded.dtype))
        return torch.cat([*parts, *imported], dim=-1)


def gather_forms(form_vectors: Tensor, form_ids: Tensor) -> Tensor:
    """Looks up the embedding of each token's form: `(U, X)` and `form_ids (B, T)` -> `(B, T, X)`."""
    return F.embedding(form_ids, form_vectors)
