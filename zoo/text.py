"""Text to ids and back."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from textwrap import wrap
from typing import NamedTuple

import sentencepiece

from zoo.errors import ZooError, unknown_name

PAD, UNKNOWN = "<pad>", "<unk>"
START, FILLING = "< start >", "< filling >"  # no tokenizer makes a token with a space in it
SUBWORDS = ("unigram", "bpe")
# What sentencepiece learns from a long text it learns from its parts too; whole, a text that repeats itself takes it
# quadratic time, and one above its limit it leaves out. Parts end before white space where there is some.
LONGEST = 10_000
PARTS = re.compile(rf".{{1,{LONGEST}}}(?!\S)|.{{1,{LONGEST}}}", re.DOTALL)

# Chinese and Japanese put no space between words: here each of their characters is a token.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Accents, vowel signs and joiners, which Python's \w leaves out, belong to the letter before them.
MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0dff\u0e31-\u0e4e\u200c\u200d"
)
LETTERS = rf"[^\W{UNSPACED}](?:[^\W{UNSPACED}]|[{MARKS}])*"
WORDS = re.compile(rf"{LETTERS}(?:['’]{LETTERS})*|\S")
# All of ASCII's punctuation but the apostrophe.
KERAS_FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~', " "))


class Vocabulary(Sequence[str]):
    """An ordered inventory of pieces (words, characters, tags); the id of a piece is its position.

    A vocabulary is a sequence of strings, so `list(vocabulary)` is its whole, plain state and
    `Vocabulary(list(vocabulary))` restores it.

    Args:
        entries: all entries in the order of their ids, special entries included.

    Raises:
        ZooError: an entry occurs twice.
    """

    def __init__(self, entries: Iterable[str]):
        self._entries = tuple(entries)
        self._ids = {entry: i for i, entry in enumerate(self._entries)}
        if len(self._ids) != len(self._entries):
            repeated = next(entry for entry, count in Counter(self._entries).items() if count > 1)
            raise ZooError(f"a vocabulary's entries must differ, but {repeated!r} occurs more than once")
        self.unknown_id = self._ids.get(UNKNOWN)
        if self._entries and self._entries[0] == PAD:
            del self._ids[PAD]  # a text that says "<pad>" is a text, not padding

    @classmethod
    def fit(cls, pieces: Iterable[str], *, min_count: int = 1, specials: Sequence[str] = (PAD, UNKNOWN)) -> Vocabulary:
        """Counts the pieces of a training split; the most frequent come first, ties in alphabetical order.

        Args:
            pieces: every occurrence in the training split.
            min_count: pieces that occur less often are left out.
            specials: entries that come before all others whether or not they occur.
        """
        counts = Counter(pieces)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = (piece for piece, count in ranked if count >= min_count and piece not in specials)
        return cls((*specials, *kept))

    def ids(self, pieces: Iterable[str]) -> list[int]:
        """The id of each piece; that of `<unk>` for those never seen.

        Raises:
            KeyError: a piece is not in a vocabulary that has no `<unk>`.
        """
        if self.unknown_id is None:
            return [self._ids[piece] for piece in pieces]
        get, unknown = self._ids.get, self.unknown_id
        return [get(piece, unknown) for piece in pieces]

    def get(self, piece: str, default: int) -> int:
        """The id of a piece, or `default`."""
        return self._ids.get(piece, default)

    def __contains__(self, piece: object) -> bool:
        return piece in self._ids

    def __getitem__(self, position):
        return self._entries[position]

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} entries: {', '.join(self._entries[:5])}, ...)"


def split_whitespace(text: str) -> list[str]:
    """Tokens between white space."""
    return text.split()


def split_characters(text: str) -> list[str]:
    """Every character that is not white space, for scripts that put no space between words."""
    return [character for character in text if not character.isspace()]


def split_words(text: str) -> list[str]:
    """Words, with what an apostrophe joins to them, punctuation marks and Chinese characters, each by itself."""
    return WORDS.findall(text)


def split_keras(text: str) -> list[str]:
    """Tokens between white space and the punctuation marks that Keras's `Tokenizer` filters by default."""
    return text.translate(KERAS_FILTERS).split()


def split_jieba(text: str) -> list[str]:
    """Chinese words by the dictionary of jieba, an optional package.

    Raises:
        ZooError: it is not installed.
    """
    try:
        import jieba
    except ImportError as error:
        raise ZooError("the tokenizer jieba needs a package: pip install lstm-zoo[jieba]") from error
    jieba.setLogLevel("WARNING")
    return [word for word in jieba.lcut(text) if not word.isspace()]


class SentencePieces:
    """The pieces of a unigram (Kudo 2018) or BPE model (Sennrich et al. 2016) that was trained on a training split.

    Its `state` is the whole model as plain lines of text, so that it travels wherever a vocabulary does.

    Args:
        state: lines of base64, as in the `state` of another one.

    Raises:
        ZooError: these are no lines of a model.
    """

    def __init__(self, state: Sequence[str]):
        self.state = list(state)
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=b64decode("".join(state), validate=True))
        except (ValueError, RuntimeError) as error:
            raise ZooError(f"expected a sentencepiece model in lines of base64, got: {error}") from error

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        size: int,
        *,
        algorithm: str = "unigram",
        character_coverage: float = 0.9995,
        lowercase: bool = False,
        faithful: bool = False,
        exact: bool = False,
    ) -> SentencePieces:
        """Trains a model.

        Args:
            texts: of the training split; read once.
            size: number of pieces at most; a small corpus has fewer.
            algorithm: "unigram" or "bpe".
            character_coverage: share of the characters that become pieces; the rarest do not.
            lowercase: whether pieces are made of case-folded text.
            faithful: whether pieces spell the text as it is, not in a normal form; what no piece spells, bytes do.
            exact: whether it is an error if there are fewer pieces than `size`.

        Raises:
            ZooError: an unknown algorithm, no text in `texts`, or a size that it does not allow.
        """
        if algorithm not in SUBWORDS:
            raise unknown_name("subword algorithm", algorithm, SUBWORDS)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(part for text in texts for part in PARTS.findall(text)),
                model_writer=model,
                model_type=algorithm,
                vocab_size=size,
                hard_vocab_limit=exact,
                character_coverage=character_coverage,
                byte_fallback=faithful,
                max_sentence_length=4 * LONGEST,  # bytes
                normalization_rule_name="identity" if faithful else "nmt_nfkc_cf" if lowercase else "nmt_nfkc",
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ZooError(_size_error(size, str(error))) from error
        return cls(wrap(b64encode(model.getvalue()).decode(), 100))

    @property
    def entries(self) -> list[str]:
        """All pieces but those that stand for no text."""
        ids = range(self._model.get_piece_size())
        return [self._model.id_to_piece(i) for i in ids if not (self._model.is_control(i) or self._model.is_unknown(i))]

    def __call__(self, text: str) -> list[str]:
        return self._model.encode(text, out_type=str)


def _size_error(size: int, reason: str) -> str:
    if largest := re.search(r"too high.*<= (\d+)", reason):
        return f"{size} pieces are more than this text has: {largest[1]} is the largest possible number"
    if smallest := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return f"{size} pieces are fewer than this text has characters: {smallest[1]} is the smallest possible number"
    return f"{size} pieces cannot be learned here, choose another number: {reason}"


TOKENIZERS = {
    "whitespace": split_whitespace,
    "characters": split_characters,
    "words": split_words,
    "keras": split_keras,
    "jieba": split_jieba,
}


class TextCounts(NamedTuple):
    """Texts that were read, those without a token, and those longer than what is read of them."""

    texts: int = 0
    empty: int = 0
    truncated: int = 0


class Preprocessor:
    """Texts to the tokens that a classifier reads, and in `counts` how many they were.

    Args:
        tokenizer: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece".
        pieces: the state of the `SentencePieces`, for the last.
        stop_words: tokens to leave out, in lower case.
        known: tells the tokens that are read at all; all are when None.
        max_length: tokens of a text that are read at most.
        truncate: which part of a longer text is read: its "head", its "tail", or "both" ends, half of each.
        start: whether a text begins with a token `START`.
        fill: where tokens `FILLING` make a shorter text `max_length` tokens long: "before" it, "after" it, or
            "nowhere".
        empty: what a text without a token is read as, if nothing fills it up: one "unknown" token, so that there is
            something to be pooled, or "nothing".

    Raises:
        ZooError: an unknown name (the known ones are listed), pieces that are missing or that nothing reads, or
            a length below 2.
    """

    def __init__(
        self,
        tokenizer: str = "words",
        *,
        pieces: Sequence[str] = (),
        stop_words: Sequence[str] = (),
        known: Callable[[str], bool] | None = None,
        max_length: int = 400,
        truncate: str = "head",
        start: bool = False,
        fill: str = "nowhere",
        empty: str = "unknown",
    ):
        if tokenizer not in (*TOKENIZERS, "sentencepiece"):
            raise unknown_name("tokenizer", tokenizer, (*TOKENIZERS, "sentencepiece"))
        if (tokenizer == "sentencepiece") != bool(pieces):
            raise ZooError("the tokenizer sentencepiece, and no other, needs pieces: those of SentencePieces.fit(...)")
        if truncate not in TRUNCATIONS:
            raise unknown_name("truncation", truncate, TRUNCATIONS)
        if fill not in FILLS:
            raise unknown_name("place to fill", fill, FILLS)
        if empty not in EMPTIES:
            raise unknown_name("reading of an empty text", empty, EMPTIES)
        if max_length < 2:
            raise ZooError(f"expected to read at least 2 tokens of a text, got max_length={max_length}")
        self.name = tokenizer
        self._split: Callable[[str], list[str]] = SentencePieces(pieces) if pieces else TOKENIZERS[tokenizer]
        self._stop_words, self._known = frozenset(stop_words), known
        self.max_length, self.truncate = max_length, truncate
        self.counts = TextCounts()
        self.start, self.fill, self.empty = start, fill, empty

    def split(self, text: str) -> list[str]:
        """All tokens of a text but those that are left out; none for an empty one."""
        tokens = self._split(text)
        if self._stop_words:
            tokens = [token for token in tokens if token.lower() not in self._stop_words]
        return tokens if self._known is None else list(filter(self._known, tokens))

    def cut(self, tokens: list[str]) -> list[str]:
        """Those that are read: `max_length` at most."""
        tokens = [START] * self.start + tokens
        if len(tokens) > self.max_length:
            head, tail = TRUNCATIONS[self.truncate](self.max_length)
            return tokens[:head] + tokens[len(tokens) - tail :]
        before, after = FILLS[self.fill](self.max_length - len(tokens))
        return [FILLING] * before + tokens + [FILLING] * after or list(EMPTIES[self.empty])

    def __call__(self, text: str) -> list[str]:
        tokens, (texts, empty, truncated) = self.split(text), self.counts
        too_long = self.start + len(tokens) > self.max_length
        self.counts = TextCounts(texts + 1, empty + (not tokens), truncated + too_long)
        return self.cut(tokens)


# How many tokens of a text too long are kept at its beginning and at its end.
TRUNCATIONS: dict[str, Callable[[int], tuple[int, int]]] = {
    "head": lambda length: (length, 0),
    "tail": lambda length: (0, length),
    "both": lambda length: (length - length // 2, length // 2),
}
# How many tokens are put before and after a text that lacks so many.
FILLS: dict[str, Callable[[int], tuple[int, int]]] = {
    "nowhere": lambda missing: (0, 0),
    "before": lambda missing: (missing, 0),
    "after": lambda missing: (0, missing),
}
# What a text without a token is read as.
EMPTIES: dict[str, tuple[str, ...]] = {"unknown": (UNKNOWN,), "nothing": ()}
