"""The codec of sequence tagging: sentences to ids, and ids to tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from zoo.batches.indexers import FormIndexer
from zoo.batches.tagging import TaggingDataset
from zoo.codecs.base import Codec
from zoo.errors import unknown_name
from zoo.text import TOKENIZERS, Inventory, Vocabulary
from zoo.text.tag_schemes import SCHEMES


@dataclass(frozen=True)
class TaggingCodec(Codec):
    """How sentences become ids, and ids become tags.

    >>> codec = TaggingCodec(["<pad>", "<unk>", "dogs"], ["<pad>", "<unk>", "d"], ["NOUN", "VERB"])
    >>> codec.tokenize("dogs bark")
    ['dogs', 'bark']

    Raises:
        ZooError: an unknown tokenizer or scheme (the known ones are listed), or a vocabulary that does not begin with
            `<pad>` and `<unk>`.
    """

    words: Vocabulary
    """The word vocabulary, `<pad>` and `<unk>` first."""
    characters: Vocabulary
    """The character vocabulary, likewise."""
    tags: Inventory
    """The K tags; the id of a tag is its position."""
    scheme: str | None = None
    """How tags mark spans: "BIO", "IOB1", "BIOES", "BMES" or "BILOU"; None where each tag stands for itself."""
    tokenizer: str = "whitespace"
    """How a string is split into tokens: a key of `zoo.text.TOKENIZERS`."""
    lowercase: bool = True
    """Whether words are looked up in lower case; characters always keep theirs."""
    max_characters: int = 24
    """Of a longer word, the first and the last half of so many characters are read."""

    def __post_init__(self) -> None:
        self._convert(Vocabulary, "words", "characters", "vector_words")
        self._convert(Inventory, "tags")
        if self.tokenizer not in TOKENIZERS:
            raise unknown_name("tokenizer", self.tokenizer, TOKENIZERS)
        if self.scheme not in (None, *SCHEMES):
            raise unknown_name("tag scheme", self.scheme, SCHEMES)
        self.indexer  # noqa: B018  it checks the vocabularies

    @cached_property
    def indexer(self) -> FormIndexer:
        """Makes the ids of words and of their characters."""
        return FormIndexer(
            self.words,
            self.characters,
            self.vector_words,
            lowercase=self.lowercase,
            max_characters=self.max_characters,
        )

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text."""
        return TOKENIZERS[self.tokenizer](text)

    def tag_ids(self, tags: Sequence[str]) -> list[int]:
        """The id of each tag; K for one that training never had."""
        return [self.tags.get(tag, len(self.tags)) for tag in tags]

    def dataset(self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> TaggingDataset:
        """Sentences of tokens and their tags, as tensors."""
        return TaggingDataset(sentences, self.indexer, [self.tag_ids(one) for one in tags])
