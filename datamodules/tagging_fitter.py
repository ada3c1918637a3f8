"""Fits the codec of a tagger on a training split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.errors import DataError
from datamodules.readers.vectors import VectorFile
from datamodules.tagging_encoder import TaggingCounts
from zoo.codecs import TaggingCodec
from zoo.text import Inventory, Vocabulary
from zoo.text.normalization import Normalizer

# Characters that occur less often count as unknown.
RARE_CHARACTER = 3


@dataclass(frozen=True)
class TaggingFitter:
    """Fits the codec of a tagger on a training split.

    The fields are the arguments of `TaggingDataModule` that the codec depends on, beside the scheme of the tags.
    """

    min_count: int
    lowercase: bool
    normalization: Sequence[str]

    def codec(self, counts: TaggingCounts, scheme: str | None, vectors: VectorFile, path: str | Path) -> TaggingCodec:
        """The codec.

        Args:
            counts: the forms and tags of the training split.
            scheme: how the tags mark spans; None if they do not.
            vectors: the imported vectors.
            path: the file of the training split, for messages.

        Raises:
            DataError: the training split has fewer than two tags.
        """
        tags = Inventory.fit(counts.tags)
        if len(tags) < 2:
            raise DataError(
                f"{path}: expected at least two different tags, got only {tags[0][:40]!r}. Is this the right column? "
                "Choose another one with --data.column"
            )
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        normalize = Normalizer(self.normalization).token
        # A form is normalized and taken apart once, however often it occurs.
        for spelled, count in counts.forms.items():
            form = normalize(spelled)
            words[form.lower() if self.lowercase else form] += count
            for character in form:
                characters[character] += count
        has_characters_only = all(len(form) == 1 for form in counts.forms)
        return TaggingCodec(
            Vocabulary.fit(words, min_count=self.min_count),
            Vocabulary.fit(characters, min_count=RARE_CHARACTER),
            tags,
            scheme=scheme,
            tokenizer="characters" if has_characters_only else "treebank",
            lowercase=self.lowercase,
            normalization=tuple(self.normalization),
            vector_words=vectors.words,
            vector_size=vectors.size,
        )
