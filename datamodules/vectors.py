"""Imported word vectors: the text format that word2vec, GloVe and fastText share."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import torch
from torch import Tensor

from datamodules.readers import DataError
from zoo.text import PAD, UNKNOWN


def read_vectors(path: str | Path, limit: int | None = None) -> tuple[list[str], Tensor]:
    """Reads a line for each word: the word, then its numbers, separated by spaces.

    A first line of two whole numbers (word2vec and fastText: rows and features) is skipped; words may contain
    spaces, as some GloVe files do; of a word that occurs twice the first counts. Rows named `<pad>` and `<unk>` are
    skipped: a model has its own.

    Args:
        path: a text file, plain or compressed with gzip (`.gz`).
        limit: rows to read, from the top; these files are sorted by frequency.

    Returns:
        The words, and their vectors `(words, features)`.

    Raises:
        DataError: no such file, not UTF-8, no vectors, or a line with another number of features than the first or
            with NaN or inf.
    """
    rows: dict[str, Tensor] = {}
    size = None
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rt", encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                fields = line.rstrip("\r\n ").split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                    continue
                size = size or len(fields) - 1
                try:
                    vector = [float(field) for field in fields[-size:]] if len(fields) > size > 0 else []
                except ValueError:
                    vector = []
                if not vector or not all(map(math.isfinite, vector)):
                    raise DataError(
                        f"{path}:{number}: expected a word and {size} finite numbers separated by spaces, "
                        f"got {line[:60].rstrip()!r}. Give a text file of vectors (.txt, .vec, or these with .gz)"
                    )
                if (word := " ".join(fields[:-size])) not in (PAD, UNKNOWN):
                    rows.setdefault(word, torch.tensor(vector))
                if limit and len(rows) == limit:
                    break
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a file of word vectors, but there is none. Check the path") from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: expected a text file of word vectors, plain or .gz, got: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, not a binary file: convert it to text first") from error
    if not rows:
        raise DataError(f"{path}: expected word vectors, got an empty file")
    return list(rows), torch.stack(list(rows.values()))
