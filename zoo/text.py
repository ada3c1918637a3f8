"""Text to ids and back."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from textwrap import wrap

import sentencepiece

from zoo.errors import ZooError, unknown_name

PAD, UNKNOWN = "<pad>", "<unk>"


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


ALGORITHMS = ("unigram", "bpe")


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
        normalization: str = "nmt_nfkc",
        byte_fallback: bool = False,
        exact: bool = False,
    ) -> SentencePieces:
        """Trains a model.

        Args:
            texts: of the training split; read once.
            size: number of pieces at most; a small corpus has fewer.
            algorithm: "unigram" or "bpe".
            character_coverage: share of the characters that become pieces; the rarest do not.
            normalization: sentencepiece's rule, such as "nmt_nfkc", "nmt_nfkc_cf" (case-folded) or "identity".
            byte_fallback: whether a character without a piece is spelled in bytes, so that nothing is unknown.
            exact: whether having fewer pieces than `size` is an error.

        Raises:
            ZooError: there is no text in `texts`, or too little or too much of it for this size.
        """
        if algorithm not in ALGORITHMS:
            raise unknown_name("sentencepiece algorithm", algorithm, ALGORITHMS)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type=algorithm,
                vocab_size=size,
                hard_vocab_limit=exact,
                character_coverage=character_coverage,
                byte_fallback=byte_fallback,
                max_sentence_length=1 << 20,
                normalization_rule_name=normalization,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ZooError(_size_error(size, str(error))) from error
        return cls(wrap(b64encode(model.getvalue()).decode(), 100))

    def __call__(self, text: str) -> list[str]:
        return self._model.encode(text, out_type=str)

    @property
    def entries(self) -> list[str]:
        """All its pieces, without those that stand for no text."""
        ids = range(self._model.get_piece_size())
        return [self._model.id_to_piece(i) for i in ids if not (self._model.is_control(i) or self._model.is_unknown(i))]


def _size_error(size: int, reason: str) -> str:
    if largest := re.search(r"too high.*<= (\d+)", reason):
        return f"this text has no {size} sentencepieces: {largest[1]} is the largest possible number of them"
    if smallest := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return f"{size} sentencepieces are fewer than the characters of this text: ask for more than {smallest[1]}"
    return f"expected texts to learn {size} sentencepieces from, got: {reason}"


TOKENIZERS = {"whitespace": split_whitespace, "characters": split_characters}
