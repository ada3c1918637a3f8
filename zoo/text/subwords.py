"""Splits texts into subword pieces, by a sentencepiece model that is trained on the training split."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

import sentencepiece

from zoo.errors import ZooError, unknown_name

ALGORITHMS = ("unigram", "bpe")
# Long texts are split for training: sentencepiece drops lines above its limit, and its time is quadratic in the length
# of a repetitive one. A part ends before white space if there is some.
MAX_PART = 10_000
PARTS = re.compile(rf".{{1,{MAX_PART}}}(?!\S)|.{{1,{MAX_PART}}}", re.DOTALL)
# UTF-8 needs at most 4 bytes for a character.
MAX_PART_BYTES = 4 * MAX_PART
BASE64_LINE = 100


class SentencePieceModel:
    """A unigram model (Kudo 2018) or BPE model (Sennrich et al. 2016) of the package sentencepiece.

    Calling it splits a text into pieces; `▁` at the front of a piece stands for the white space before it.

    >>> model = SentencePieceModel.fit(["a good film", "a bad film"], 16)
    >>> model("film")
    ['▁film']
    >>> restored = SentencePieceModel(model.serialized)
    >>> restored("film") == model("film")
    True

    Args:
        serialized: the lines of another model's `serialized`.

    Attributes:
        serialized: the whole model, sentencepiece's protobuf in base64, as lines of text that JSON can store.

    Raises:
        ZooError: `serialized` is not a sentencepiece model in base64.
    """

    def __init__(self, serialized: Sequence[str]):
        self.serialized = list(serialized)
        try:
            protobuf = b64decode("".join(serialized), validate=True)
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=protobuf)
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
    ) -> SentencePieceModel:
        """Trains a model.

        Args:
            texts: the texts of the training split; they are read once.
            size: the largest number of pieces; a small corpus gives fewer.
            algorithm: "unigram" or "bpe".
            character_coverage: the fraction of all characters that must be pieces; the rarest characters are not.
            lowercase: whether texts are case-folded before they are split.
            faithful: whether pieces spell a text exactly, without Unicode normalization; a character that is not a
                piece is then spelled in bytes.
            exact: whether fewer pieces than `size` are an error.

        Raises:
            ZooError: the algorithm is unknown, all texts are empty, or the texts do not allow this size.
        """
        if algorithm not in ALGORITHMS:
            raise unknown_name("subword algorithm", algorithm, ALGORITHMS)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_parts(texts),
                model_writer=model,
                model_type=algorithm,
                vocab_size=size,
                hard_vocab_limit=exact,
                character_coverage=character_coverage,
                byte_fallback=faithful,
                max_sentence_length=MAX_PART_BYTES,
                normalization_rule_name=_normalization(lowercase=lowercase, faithful=faithful),
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ZooError(_size_error(size, str(error))) from error
        return cls(wrap(b64encode(model.getvalue()).decode(), BASE64_LINE))

    @property
    def pieces(self) -> list[str]:
        """All pieces in the order of their ids, without the model's control and unknown symbols."""
        model = self._processor
        ids = [i for i in range(model.get_piece_size()) if not (model.is_control(i) or model.is_unknown(i))]
        return [model.id_to_piece(i) for i in ids]

    def __call__(self, text: str) -> list[str]:
        """The pieces of a text."""
        # Sentencepiece reads UTF-8, which has no lone surrogates: they become question marks.
        text = text.encode(errors="replace").decode()
        pieces: list[str] = self._processor.encode(text, out_type=str)
        return pieces


def _parts(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from PARTS.findall(text)


def _normalization(*, lowercase: bool, faithful: bool) -> str:
    """Sentencepiece's name for what happens to a text before it is split."""
    if faithful:
        return "identity"
    return "nmt_nfkc_cf" if lowercase else "nmt_nfkc"


def _size_error(size: int, reason: str) -> str:
    if "all_chars_count" in reason:
        return "expected texts to learn pieces from, got only empty ones: is this the right column?"
    if largest := re.search(r"too high.*<= (\d+)", reason):
        return f"{size} pieces are more than this text has: {largest[1]} is the largest possible number"
    if smallest := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return f"{size} pieces are fewer than this text has characters: {smallest[1]} is the smallest possible number"
    return f"{size} pieces cannot be learned here, choose another number: {reason}"
