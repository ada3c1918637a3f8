"""Texts to pieces of words, which are learned."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from textwrap import wrap

import sentencepiece

from zoo.errors import ZooError, unknown_name

SUBWORDS = ("unigram", "bpe")
# What sentencepiece learns from a long text it learns from its parts too; whole, a text that repeats itself takes it
# quadratic time, and one above its limit it leaves out. Parts end before white space where there is some.
LONGEST = 10_000
PARTS = re.compile(rf".{{1,{LONGEST}}}(?!\S)|.{{1,{LONGEST}}}", re.DOTALL)


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
        text = text.encode(errors="replace").decode()  # of halves of characters sentencepiece knows nothing
        return self._model.encode(text, out_type=str)


def _size_error(size: int, reason: str) -> str:
    if "all_chars_count" in reason:
        return "expected texts to learn pieces from, got empty ones alone: is this the column?"
    if largest := re.search(r"too high.*<= (\d+)", reason):
        return f"{size} pieces are more than this text has: {largest[1]} is the largest possible number"
    if smallest := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return f"{size} pieces are fewer than this text has characters: {smallest[1]} is the smallest possible number"
    return f"{size} pieces cannot be learned here, choose another number: {reason}"
