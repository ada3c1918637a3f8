"""The codec of sequence tagging: it turns sentences into ids, and ids into tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

from zoo.batches.context import SentenceReader
from zoo.batches.indexers import FormIndexer
from zoo.batches.ragged import Ragged
from zoo.batches.tagging import Sentences, TaggingDataset
from zoo.codecs.base import Codec
from zoo.codecs.language_modeling import END_ID, LanguageModelingCodec
from zoo.errors import ZooError, unknown_name
from zoo.text import TOKENIZERS, Inventory, Token, Vocabulary, place_tokens, read_document
from zoo.text.tag_schemes import SCHEMES, detect_scheme, strange_tags

# Of these tokenizers, a character has tokens of its own wherever it stands.
SPELLING = ("characters", "bytes")


@dataclass(frozen=True)
class TaggingCodec(Codec):
    """Turns sentences into ids, and ids into tags.

    >>> codec = TaggingCodec(["<pad>", "<unk>", "dogs"], ["<pad>", "<unk>", "d"], ["NOUN", "VERB"])
    >>> codec.tokenize("dogs bark")
    ['dogs', 'bark']

    Raises:
        ZooError: a tokenizer or scheme is unknown (the known ones are listed), or a vocabulary does not begin with
            `<pad>` and `<unk>`.
    """

    ANSWERS: ClassVar[frozenset[str]] = frozenset({"tags", "scheme"})

    words: Vocabulary
    """The known words, after `<pad>` and `<unk>`."""
    characters: Vocabulary
    """The known characters, after `<pad>` and `<unk>`."""
    tags: Inventory
    """The K tags; the id of a tag is its position."""
    scheme: str | None = None
    """How tags mark spans: "BIO", "IOB1", "BIOES", "BMES" or "BILOU"; None if they do not mark spans."""
    tokenizer: str = "treebank"
    """How a raw text is split into tokens: a key of `zoo.text.TOKENIZERS`. With "whitespace", a text is one sentence
    whose tokens are separated already; otherwise a text may have several sentences."""
    lowercase: bool = True
    """Whether words are looked up in lower case. Characters keep their case."""
    max_characters: int = 24
    """The number of characters of a word that are read. From a longer word, half of them are its first ones and half
    its last ones."""
    context: tuple[LanguageModelingCodec, ...] = ()
    """The codecs of the language models whose states are features of the tokens."""

    def __post_init__(self) -> None:
        self._convert(Vocabulary, "words", "characters", "vector_words")
        self._convert(Inventory, "tags")
        self._convert(tuple, "normalization")
        object.__setattr__(self, "context", tuple(LanguageModelingCodec.of(codec) for codec in self.context))
        for codec in self.context:
            if self.tokenizer == "characters" and codec.tokenizer not in SPELLING:
                raise ZooError(
                    f"expected language models of {' or '.join(SPELLING)}, as the tokens to tag are single characters, "
                    f"got one with the tokenizer {codec.tokenizer}: choose another one"
                )
        if self.tokenizer not in TOKENIZERS:
            raise unknown_name("tokenizer", self.tokenizer, TOKENIZERS)
        if self.scheme not in (None, *SCHEMES):
            raise unknown_name("tag scheme", self.scheme, SCHEMES)
        # Its constructor checks the vocabularies.
        self.indexer  # noqa: B018

    def with_labels(self, labels: Sequence[str]) -> Self:
        """This codec with other tags. They are in the scheme of this codec if it allows them all."""
        keeps_scheme = self.scheme is not None and not strange_tags(labels, self.scheme)
        return replace(self, tags=Inventory(labels), scheme=self.scheme if keeps_scheme else detect_scheme(labels))

    def based_on(self, codec: LanguageModelingCodec) -> Self:
        """See `Codec.based_on`. The tokens of the language model must be of the kind that this codec tags."""
        expected = "characters" if self.tokenizer == "characters" else "whitespace"
        if codec.tokenizer != expected:
            raise ZooError(
                f"expected a language model whose tokens are those to tag (tokenizer {expected}), got one with the "
                f"tokenizer {codec.tokenizer}: choose another one"
            )
        return replace(self, words=codec.vocabulary.extended(self.words))

    @cached_property
    def indexer(self) -> FormIndexer:
        """Turns words and their characters into ids."""
        return FormIndexer(
            self.words,
            self.characters,
            self.vector_words,
            lowercase=self.lowercase,
            max_characters=self.max_characters,
            normalization=self.normalization,
            readers=[self._reader(codec) for codec in self.context],
        )

    def _reader(self, codec: LanguageModelingCodec) -> SentenceReader:
        spaced = self.tokenizer != "characters"
        return SentenceReader(
            codec.spell,
            space_ids=codec.space_ids if spaced else [],
            begin_id=END_ID,
            backward=codec.backward,
        )

    def read(self, item: str | Sequence[str]) -> list[list[Token]]:
        """The sentences of a raw text, and their tokens with their places in the text.

        A list of tokens is one sentence. Its tokens have the places that they would have with one space between them.
        """
        if isinstance(item, str):
            return read_document(item, self.tokenizer)
        return [place_tokens(item)] if item else []

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a raw text."""
        return [token.text for sentence in self.read(text) for token in sentence]

    def tag_ids(self, tags: Sequence[str]) -> list[int]:
        """The id of each tag; K for a tag that is not one of this codec's."""
        return [self.tags.get(tag, len(self.tags)) for tag in tags]

    def dataset(self, sentences: Iterable[Sequence[str]], tags: Iterable[Sequence[str]]) -> TaggingDataset:
        """The dataset of sentences, given as tokens, and of their tags."""
        return TaggingDataset(Sentences.of(sentences, self.indexer), Ragged.of(map(self.tag_ids, tags)))
