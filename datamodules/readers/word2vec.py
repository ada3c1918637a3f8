"""Word vectors in the binary format of word2vec: a line with the numbers of rows and features, then these rows."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.errors import DataError
from datamodules.readers.compression import DAMAGED, open_unpacked
from zoo.text import PAD, UNKNOWN

HEADER = re.compile(rb"(\d{1,40}) (\d{1,40})\r?\n")
# Text has hardly any of them, and a few floats have one.
CONTROL = re.compile(rb"[^\t\r\n\x20-\xff]")
# The first bytes of a model that fastText has saved.
FASTTEXT_MODEL = (793712314).to_bytes(4, "little")
# The number of bytes that tell the format.
SAMPLE = 4096
MAX_FEATURES = 1 << 16
# In bytes.
MAX_WORD = 4096
BLOCK = 1 << 20
FLOAT = 4


class Vectors(NamedTuple):
    """The rows of a file of vectors."""

    words: list[str]
    table: Tensor  # (words, features)
    broken: list[int]
    """The numbers of the rows whose words are not UTF-8. They are left out."""


def is_word2vec(path: str | Path) -> bool:
    """Whether a file begins with a header and binary numbers.

    Raises:
        DataError: the file cannot be read, or is a model of fastText.
    """
    with open_unpacked(path) as (file, _):
        start = file.peek(SAMPLE)[:SAMPLE]
    if start.startswith(FASTTEXT_MODEL):
        raise DataError(
            f"{path}: expected word vectors, got a model of fastText: give its text file, .vec, or write one "
            "with the command print-word-vectors of fastText"
        )
    header = HEADER.match(start)
    if header is None or CONTROL.search(start, header.end()) is None:
        return False
    first_row, *_ = start[header.end() :].split(b"\n")
    return not _has_numbers(first_row, int(header[2]))


def _has_numbers(row: bytes, count: int) -> bool:
    """Whether a row ends in the expected count of numbers that are written as text."""
    fields = row.replace(b"\t", b" ").rstrip(b"\r ").split(b" ")
    try:
        return len([float(field) for field in fields[-count:]]) == count
    except ValueError:
        return False


def read_word2vec(path: str | Path, limit: int | None = None) -> Vectors:
    """Reads the first `limit` rows of a file. Of several rows with the same word, the first is used. Rows for `<pad>`
    and `<unk>` are skipped.

    Raises:
        DataError: the file is damaged, shorter or longer than its header says, or has NaN or inf.
    """
    with open_unpacked(path) as (file, size):
        try:
            header = HEADER.match(file.readline(SAMPLE))
            if header is None:
                raise DataError(f"{path}: expected the numbers of rows and features in the first line, got none")
            rows = int(header[1])
            features = int(header[2])
            _check_size(path, rows, features, None if size is None else size - header.end())
            return _read_rows(file, path, rows, features, limit)
        except DAMAGED as error:
            raise DataError(
                f"{path}: expected a whole file, got: {error}. It is incomplete or was changed: copy or download it "
                "again"
            ) from error


def _check_size(path: str | Path, rows: int, features: int, size: int | None) -> None:
    """Compares the header with the number of bytes behind it, before any memory is reserved.

    A row has a word of at least one byte, a space, the numbers and perhaps a line end.
    """
    least = rows * (features * FLOAT + 2)
    most = rows * (features * FLOAT + 2 + MAX_WORD)
    wrong_size = size is not None and not least <= size <= most
    if rows == 0 or not 0 < features <= MAX_FEATURES or wrong_size:
        got = "" if size is None else f" in {size:,} bytes"
        raise DataError(
            f"{path}:1: expected the numbers of rows and features of this file, got {rows:,} rows of {features:,} "
            f"features{got}: the file is incomplete, or not in the format of word2vec. Download it again"
        )


def _read_rows(file: io.BufferedReader, path: str | Path, rows: int, features: int, limit: int | None) -> Vectors:
    width = features * FLOAT
    vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
    broken = []
    block = b""
    start = 0
    for row in range(1, rows + 1):
        if len(block) - start < MAX_WORD + width:
            block = block[start:] + file.read(max(BLOCK, MAX_WORD + width))
            start = 0
        space = block.find(b" ", start, start + MAX_WORD)
        end = space + 1 + width
        if space < 0 or end > len(block):
            raise DataError(
                f"{path}: expected {rows:,} rows of {features:,} features, as the first line says, got {row - 1:,}: "
                "the file is incomplete, or its first line is wrong. Download it again"
            )
        # Some writers end a row with a line feed.
        word = block[start:space].lstrip(b"\n")
        values = np.frombuffer(block, "<f4", features, offset=space + 1)
        if not np.isfinite(values).all():
            raise DataError(f"{path}: expected finite numbers, got NaN or inf in row {row}")
        if not _is_utf8(word):
            broken.append(row)
        elif word.decode() not in (PAD, UNKNOWN):
            # A copy, because the view would keep the whole block.
            vectors.setdefault(word.decode(), values.copy())
        start = end
        if limit and len(vectors) == limit:
            break
    table = np.stack(list(vectors.values())) if vectors else np.zeros((0, features), np.float32)
    return Vectors(list(vectors), torch.from_numpy(table), broken)


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
