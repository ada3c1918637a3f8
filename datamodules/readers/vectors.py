"""Imported word vectors: the text format that word2vec, GloVe and fastText share."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from datamodules.errors import DataError
from datamodules.readers.text_files import numbered, open_text
from zoo.batches.indexers import vector_rows
from zoo.text import PAD, UNKNOWN, UNKNOWN_ID, Vocabulary

FEW = 0.01  # of all rows: more broken ones than these are another encoding


def read_vectors(path: str | Path, limit: int | None = None) -> tuple[list[str], Tensor]:
    """Reads a line for each word: the word, then its numbers, separated by spaces or tabs.

    A first line of two whole numbers (word2vec and fastText: rows and features) tells the number of features, else the
    first row does. Words may contain spaces, as some GloVe files have them; of a word that occurs twice the first
    counts. Rows named `<pad>` and `<unk>` are skipped: a model has its own. Rows whose word is no UTF-8, as published
    files have a few, are left out with a warning that counts them.

    Args:
        path: a text file, plain or compressed with gzip.
        limit: rows to read, from the top; these files are sorted by frequency.

    Returns:
        The words, and their vectors `(words, features)`.

    Raises:
        DataError: no such file, no UTF-8, no vectors, or a line with another number of features than the first or
            with NaN or inf.
    """
    rows: dict[str, Tensor] = {}
    broken: list[int] = []  # the lines of rows left out
    size = None
    with open_text(path) as stream:
        stream.reconfigure(errors="surrogateescape")  # a byte that is no UTF-8 spoils one row, not the file
        for number, line in numbered(stream, str(path)):
            if "\t" in line:
                line = line.replace("\t", " ")
            fields = line.rstrip("\r\n ").split(" ")
            if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                size = int(fields[1])
                continue
            if not rows and not broken:
                size = _size(fields, size, f"{path}:{number}")
            try:
                vector = [float(field) for field in fields[-size:]] if len(fields) > size > 0 else []
            except ValueError:
                vector = []
            if not vector or not all(map(math.isfinite, vector)):
                raise _no_vector(f"{path}:{number}", line, size)
            word = " ".join(fields[:-size]).strip(" ")
            if not word.isascii() and not _is_text(word):
                broken.append(number)
            elif word not in (PAD, UNKNOWN):
                rows.setdefault(word, torch.tensor(vector))
            if limit and len(rows) == limit:
                break
    _tell_broken(broken, len(rows), path)
    if not rows:
        raise DataError(f"{path}: expected word vectors, got a file without any")
    return list(rows), torch.stack(list(rows.values()))


def coverage(vectors: Vocabulary, tokens: Iterable[str], *, fold: bool) -> str:
    """How many words and tokens of a text have a vector, in a line.

    Args:
        vectors: the words that vectors exist for, `<pad>` and `<unk>` first.
        tokens: all of the text, none twice where it does not occur twice.
        fold: whether a word without a vector has that of its lower case.
    """
    counts = Counter(tokens)
    words = list(counts)
    keys = list(map(str.lower, words)) if fold else words
    known = (vector_rows(vectors, words, keys) > UNKNOWN_ID).tolist()
    covered = sum(counts[word] for word, has_vector in zip(words, known, strict=True) if has_vector)
    line = f"{_share(sum(known), len(words))} words and {_share(covered, counts.total())} tokens of train have a vector"
    if 2 * covered < counts.total():
        line += ": are the vectors for this language, and do they write capitals as the text does?"
    return line


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / max(1, whole):.1f} %)"


def _size(fields: list[str], told: int | None, here: str) -> int:
    """The number of features, by the first row and what a line before it has told.

    Raises:
        DataError: they disagree.
    """
    numbers = 0
    for field in reversed(fields[1:]):
        if not _is_number(field):
            break
        numbers += 1
    if told is None:
        return numbers or len(fields) - 1
    # A word with spaces inside may end in a number, but is none altogether.
    if numbers > told and numbers == len(fields) - 1:
        raise DataError(
            f"{here}: expected a word and {told} numbers, as the first line says, got {numbers} numbers. Mend the "
            "first line (the number of rows, then that of features) or remove it"
        )
    return told


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_text(word: str) -> bool:
    """Whether no byte of a word was undecodable."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_vector(here: str, line: str, size: int) -> DataError:
    if not _is_text(line[:1000]) or "\0" in line[:1000]:
        return DataError(
            f"{here}: expected a word and its numbers in UTF-8, got a binary file: convert it to text first"
        )
    return DataError(
        f"{here}: expected a word and {size} finite numbers separated by spaces, got {line[:60].rstrip()!r}. "
        "Give a text file of vectors (.txt, .vec, or these with .gz)"
    )


def _tell_broken(lines: list[int], rows: int, path: str | Path) -> None:
    """Warns of rows left out.

    Raises:
        DataError: they are too many to be accidents.
    """
    if not lines:
        return
    if len(lines) > max(1, FEW * rows):
        raise DataError(
            f"{path}:{lines[0]}: expected UTF-8 text, got other bytes in the words of {len(lines)} of "
            f"{rows + len(lines)} rows. Convert the file: iconv -f ENCODING -t UTF-8 OLD > NEW, where ENCODING is the "
            "old one, such as LATIN1 or GB18030"
        )
    warnings.warn(f"{path}: {len(lines)} rows are left out, as their words are no UTF-8: the first is line {lines[0]}")
