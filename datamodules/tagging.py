"""Sentences with a tag for each token, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.base import CorpusDataModule
from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.tagged_files import FORMATS, read_tagged
from datamodules.span_tags import check_tags, convert_all, scheme_of, without_key_outside
from zoo.batches.tagging import TaggingDataset
from zoo.codecs import TaggingCodec
from zoo.text import Inventory, Vocabulary
from zoo.text.tag_schemes import is_legal

# Characters that occur less often count as unknown.
RARE_CHARACTER = 3
# The scheme that a user names if each tag stands for itself.
NO_SCHEME = "none"


class TaggingDataModule(CorpusDataModule[TaggingCodec]):
    """Reads, encodes and batches a tagging corpus; vocabularies come from its training split alone.

    >>> data = TaggingDataModule("sample-en")
    >>> model = zoo.SequenceTagger(data.codec)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(model, data)

    A batch has sentences of similar lengths. Under DDP each process gets its own part of every epoch, and all processes
    have the same number of steps, also with `use_distributed_sampler=True`.

    Args:
        dataset: a name of the catalog (`datamodules.CATALOG`); ignored if one of `train`, `dev` and `test` is given.
        column: where the tags are: in CoNLL-U "upos", "xpos" or any other column, or a key inside one such as
            "misc:NER"; in column files a number, 0 the first and -1 the last; in JSON Lines a key. By default the
            corpus's own, or "upos", -1 and "tags".
        word_column: where the words are, likewise; by default "form", the first column that does not count the words
            of a sentence, and "tokens".
        root: the folder of the corpora; by default $ZOO_DATA, else the user's cache folder.
        train: the user's own file to train on; then `dataset` is not read.
        dev: the user's own file to choose the best checkpoint on.
        test: the user's own file to score once at the end.
        format: "conllu", "columns" or "jsonl", for the user's own files; by default what their ending or
            first line says.
        scheme: how the tags mark spans: "BIO", "IOB1", "BIOES", "BMES", "BILOU", or "none", each tag for itself; by
            default what most of them look like.
        convert_to: a scheme to convert them to.
        vectors: a text file of word vectors (word2vec, GloVe or fastText; plain or .gz).
        max_vectors: the number of vectors that are read, from the top.
        max_tokens: the token budget of a training batch, padding included, for each process; by default an
            epoch has about 170 steps, with a budget of 100 at least and 1,200 at most.
        min_count: rarer words of the training split count as unknown.
        lowercase: whether words are looked up in lower case.
        seed: seeds the order of the batches.
        codec: the codec of a trained model, to evaluate or to fine-tune it; then no codec is fitted, and `vectors`,
            `max_vectors`, `min_count`, `lowercase` and `convert_to` are not read. Tags of spans are converted to its
            scheme; for a model without a scheme they are tags as any other.

    Raises:
        DataError: a file that cannot be read or is malformed (file, line and what was expected), or names that
            are not known (the known ones are listed).
    """

    task = "tagging"
    fitting = CorpusDataModule.fitting | {"convert_to"}
    largest_budget = 1200

    def __init__(
        self,
        dataset: str = "sample-en",
        *,
        column: str | None = None,
        word_column: str | None = None,
        root: str | None = None,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        format: str | None = None,
        scheme: str | None = None,
        convert_to: str | None = None,
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_tokens: int | None = None,
        min_count: int = 1,
        lowercase: bool = True,
        seed: int = 0,
        codec: TaggingCodec | None = None,
    ):
        super().__init__(
            dataset,
            root=root,
            train=train,
            dev=dev,
            test=test,
            vectors=vectors,
            max_vectors=max_vectors,
            max_tokens=max_tokens,
            seed=seed,
            codec=codec,
        )
        if format not in (None, *FORMATS):
            raise DataError(f"unknown format {format!r}: known are {', '.join(FORMATS)}")
        self.column, self.word_column, self.format = column, word_column, format
        self._source_scheme = scheme
        self.convert_to = convert_to
        if codec is not None:
            self.convert_to = codec.scheme
            if codec.scheme is None:
                self._source_scheme = NO_SCHEME
        self.min_count, self.lowercase = min_count, lowercase
        self._read: dict[str, list[TaggedSentence]] = {}
        # The scheme of the tags after conversion.
        self._scheme: str | None = None

    @property
    def training_examples(self) -> int:
        return len(self.sentences("train"))

    @property
    def training_tokens(self) -> int:
        """Tokens of the training split."""
        return sum(len(sentence.tokens) for sentence in self.sentences("train"))

    def sentences(self, split: str) -> list[TaggedSentence]:
        """The sentences of "train", "dev" or "test", their tags converted where asked."""
        if split not in self._read:
            if split != "train" and "train" in self.splits and self._codec is None:
                # The tags of the training split determine the scheme of all splits.
                self.sentences("train")
            path = self._locate(split)
            corpus = self._corpus
            column = self.column
            format = self.format
            scheme = None
            if corpus is not None:
                column = column or str(corpus.column)
                format = corpus.format
                scheme = corpus.scheme if column == str(corpus.column) else None
            sentences = read_tagged(path, column, format=format, word_column=self.word_column)
            self._read[split] = self._converted(sentences, scheme, path)
        return self._read[split]

    def _converted(self, sentences: list[TaggedSentence], known: str | None, path: str | Path) -> list[TaggedSentence]:
        """The sentences, with their tags in the scheme `convert_to` if there is one.

        Args:
            sentences: as they are in the file.
            known: the scheme that the catalog knows, if any.
            path: of the file, for messages.
        """
        if self._source_scheme is None:
            self._source_scheme = known or scheme_of(sentences, self.convert_to) or NO_SCHEME
        scheme = None if self._source_scheme == NO_SCHEME else self._source_scheme
        target = self.convert_to or scheme
        self._scheme = target
        if scheme is None or target is None:
            if self.convert_to is not None:
                raise DataError(f"{path}: --data.convert_to {self.convert_to} needs tags of spans, and these are none")
            return sentences
        if self._is_keyed:
            sentences = without_key_outside(sentences)
        check_tags(sentences, scheme, path)
        return sentences if target == scheme else convert_all(sentences, scheme, target, path)

    @property
    def _is_keyed(self) -> bool:
        """Whether the tags are in a key of a CoNLL-U column, which a word need not have."""
        return self.column is not None and ":" in self.column

    def _fit_codec(self) -> TaggingCodec:
        sentences = self.sentences("train")
        tokens = [token for sentence in sentences for token in sentence.tokens]
        tags = Inventory.fit(tag for sentence in sentences for tag in sentence.tags)
        if len(tags) < 2:
            raise DataError(
                f"{self._locate('train')}: expected at least two tags to choose from, got {tags[0][:40]!r} "
                "alone. Is this the column? Choose another one with --data.column"
            )
        keys = (token.lower() for token in tokens) if self.lowercase else tokens
        single = all(len(token) == 1 for token in tokens)
        return TaggingCodec(
            Vocabulary.fit(keys, min_count=self.min_count),
            Vocabulary.fit((c for token in tokens for c in token), min_count=RARE_CHARACTER),
            tags,
            scheme=self._scheme,
            tokenizer="characters" if single else "whitespace",
            lowercase=self.lowercase,
            vector_words=self._vector_words,
            vector_size=self._vector_size,
        )

    def _training_words(self) -> Iterable[str]:
        return (token for sentence in self.sentences("train") for token in sentence.tokens)

    def _encode(self, split: str) -> TaggingDataset:
        sentences = self.sentences(split)
        tags, scheme = self.codec.tags, self.codec.scheme
        counts = Counter(tag for sentence in sentences for tag in sentence.tags)
        unseen = sorted(tag for tag in counts if tag not in tags)
        # "O" occurs with the tags of any spans, so it does not show that the model has learned these tags.
        telling = counts.total() - (counts["O"] if "O" in tags else 0)
        if 2 * sum(counts[tag] for tag in unseen) > telling:
            raise DataError(
                f"{split} has other tags than the model learned: {_listed(unseen)} where it has {_listed(tags)}. "
                "Choose the column that they are in with --data.column, or another model"
            )
        if unseen:
            warnings.warn(f"{split} has tags that training never had; they count as wrong: {', '.join(unseen)}")
        broken = 0 if scheme is None else sum(not is_legal(s.tags, scheme) for s in sentences)
        if broken:
            warnings.warn(f"{broken} sentences of {split} break the scheme {scheme}: no CRF learns from them")
        if split == "train":
            self._warn_of_long(sentences)
        return self.codec.dataset([s.tokens for s in sentences], [s.tags for s in sentences])

    def _warn_of_long(self, sentences: Sequence[TaggedSentence]) -> None:
        # The budget counts the tokens of the whole corpus, so it is asked for once.
        budget = self.budget
        long = sum(len(sentence.tokens) > budget for sentence in sentences)
        if long:
            warnings.warn(f"{long} sentences are longer than max_tokens={budget}: each is a batch of its own")


def _listed(tags: Sequence[str], shown: int = 5) -> str:
    """A few tags for a message."""
    return ", ".join(tags[:shown]) + (", ..." if len(tags) > shown else "")
