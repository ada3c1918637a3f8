"""Imported word vectors: the text format that word2vec, GloVe and fastText share, and the binary one of word2vec."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from datamodules.errors import DataError
from datamodules.readers.text_files import numbered, open_text
from datamodules.readers.word2vec import is_word2vec, read_word2vec
from zoo.batches.indexers import vector_rows
from zoo.text import PAD, UNKNOWN, UNKNOWN_ID, Vocabulary

# If a larger fraction of rows cannot be decoded, the file is in another encoding.
MAX_BROKEN_FRACTION = 0.01


class VectorFile:
    """The imported vectors of a corpus. The file is read once, when it is first needed.

    Args:
        path: a file as for `read_vectors`; None for no vectors.
        limit: the largest number of vectors to read from the top of the file.
    """

    def __init__(self, path: str | None, limit: int):
        self.path = path
        self.limit = limit

    @cached_property
    def _read(self) -> tuple[Vocabulary, Tensor | None]:
        if self.path is None:
            return Vocabulary(()), None
        words, table = read_vectors(self.path, self.limit)
        return Vocabulary((PAD, UNKNOWN, *words)), table

    @property
    def words(self) -> Vocabulary:
        """The words with vectors, after `<pad>` and `<unk>`; empty without vectors."""
        return self._read[0]

    @property
    def table(self) -> Tensor | None:
        """The vectors `(len(words) - 2, size)`."""
        return self._read[1]

    @property
    def size(self) -> int:
        """The number of features of a vector; 0 without vectors."""
        return 0 if self.table is None else self.table.shape[1]


def read_vectors(path: str | Path, limit: int | None = None) -> tuple[list[str], Tensor]:
    """Reads a file with one line for each word: the word and its numbers, separated by spaces or tabs.

    A file in the binary format of word2vec is told by its content (`datamodules.readers.word2vec`). In text, the number
    of features comes from a first line of two whole numbers (rows and features: word2vec and fastText), or else from
    the first row. Words may contain spaces, as in some GloVe files. Of several rows with the same word, the
    first is used. Rows for `<pad>` and `<unk>` are skipped, because a model has its own. Published files have a few
    words that are not UTF-8. These rows are skipped, and a warning counts them.

    >>> from pathlib import Path
    >>> _ = Path("small.vec").write_text("2 3\\nthe 0.5 0 1\\ncat 2 1 0\\n")
    >>> read_vectors("small.vec")
    (['the', 'cat'], tensor([[0.5000, 0.0000, 1.0000],
            [2.0000, 1.0000, 0.0000]]))

    Args:
        path: the file, plain or compressed.
        limit: the number of rows to read from the top. Such files are sorted by frequency.

    Returns:
        The words, and their vectors `(words, features)`.

    Raises:
        DataError: the file is missing, not UTF-8 or without vectors; or a line has NaN, inf, or a different number of
            features than the first line.
    """
    if is_word2vec(path):
        words, table, broken_rows = read_word2vec(path, limit)
        _warn_of_broken_rows(broken_rows, len(words), path, unit="row")
        return words, table
    vectors: dict[str, Tensor] = {}
    broken_lines: list[int] = []
    announced_size = None
    size = None
    with open_text(path, errors="surrogateescape") as stream:
        for number, line in numbered(stream, str(path)):
            if "\t" in line:
                line = line.replace("\t", " ")
            fields = line.rstrip("\r\n ").split(" ")
            if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                announced_size = int(fields[1])
                continue
            if size is None:
                size = _count_features(fields, announced_size, f"{path}:{number}")
            values = _finite_numbers(fields[-size:]) if len(fields) > size > 0 else []
            if not values:
                raise _no_vector(f"{path}:{number}", line, size)
            word = " ".join(fields[:-size]).strip(" ")
            if not word.isascii() and not _is_decoded(word):
                broken_lines.append(number)
            elif word not in (PAD, UNKNOWN):
                vectors.setdefault(word, torch.tensor(values))
            if limit and len(vectors) == limit:
                break
    _warn_of_broken_rows(broken_lines, len(vectors), path, unit="line")
    if not vectors:
        raise DataError(f"{path}: expected word vectors, got a file without any")
    return list(vectors), torch.stack(list(vectors.values()))


def coverage(vectors: Vocabulary, tokens: Iterable[str], *, fold: bool) -> str:
    """A message with the number of words and tokens that have a vector.

    >>> coverage(Vocabulary(["<pad>", "<unk>", "the", "cat"]), ["The", "the", "dog"], fold=True)
    '2 of 3 (66.7 %) words and 2 of 3 (66.7 %) tokens of train have a vector'

    Args:
        vectors: the words that have a vector, after `<pad>` and `<unk>`.
        tokens: all tokens of the text.
        fold: whether a word without a vector gets the vector of its lower case.
    """
    counts = Counter(tokens)
    words = list(counts)
    keys = [word.lower() for word in words] if fold else words
    has_vector = (vector_rows(vectors, words, keys) > UNKNOWN_ID).tolist()
    covered_words = [word for word, known in zip(words, has_vector, strict=True) if known]
    covered_tokens = sum(counts[word] for word in covered_words)
    line = (
        f"{_fraction(len(covered_words), len(words))} words and {_fraction(covered_tokens, counts.total())} tokens of "
        "train have a vector"
    )
    if 2 * covered_tokens < counts.total():
        line += ": are the vectors for this language, and do they write capitals as the text does?"
    return line


def _fraction(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / max(1, whole):.1f} %)"


def _count_features(fields: Sequence[str], announced: int | None, here: str) -> int:
    """The number of features, from the fields of the first row and the number that a line before it announces.

    Raises:
        DataError: the two numbers differ.
    """
    numbers = 0
    for field in reversed(fields[1:]):
        if not _is_number(field):
            break
        numbers += 1
    if announced is None:
        return numbers or len(fields) - 1
    # A word with spaces may end in a number. But a row with one field and too many numbers has no such word.
    if numbers > announced and numbers == len(fields) - 1:
        raise DataError(
            f"{here}: expected a word and {announced} numbers, as the first line says, got {numbers} numbers. Correct "
            "the first line (the number of rows, then that of features) or remove it"
        )
    return announced


def _finite_numbers(fields: Sequence[str]) -> list[float]:
    """The fields as numbers. The list is empty if a field is not a finite number."""
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_decoded(text: str) -> bool:
    """Whether all bytes of a text were UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_vector(here: str, line: str, size: int) -> DataError:
    start = line[:1000]
    if not _is_decoded(start) or "\0" in start:
        return DataError(
            f"{here}: expected a word and its numbers in UTF-8, got a binary file, but not in "
            "the format of word2vec: convert it to text first"
        )
    return DataError(
        f"{here}: expected a word and {size} finite numbers separated by spaces, got {line[:60].rstrip()!r}. "
        "Give a file of vectors: .txt, .vec, .bin, or one of these compressed"
    )


def _warn_of_broken_rows(broken: Sequence[int], rows: int, path: str | Path, *, unit: str) -> None:
    """Warns of skipped rows.

    Args:
        broken: the numbers of the skipped rows.
        rows: the number of rows that were read.
        path: the file.
        unit: what the numbers count, "line" or "row".

    Raises:
        DataError: too many rows were skipped.
    """
    if not broken:
        return
    if len(broken) > max(1, MAX_BROKEN_FRACTION * rows):
        raise DataError(
            f"{path}:{broken[0]}: expected UTF-8 text, got other bytes in the words of {len(broken)} of "
            f"{rows + len(broken)} rows. Convert the file: iconv -f ENCODING -t UTF-8 OLD > NEW, where ENCODING is the "
            "old one, such as LATIN1 or GB18030"
        )
    warnings.warn(
        f"{path}: {len(broken)} rows are skipped, as their words are not UTF-8: the first is {unit} {broken[0]}"
    )
