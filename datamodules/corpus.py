"""What an entry of the catalog says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RemoteFile:
    """What `make` makes of the file at `address`, or that file itself, and its place `file` in the corpus's folder.

    Where `more` has addresses, what is there follows in the same file.
    """

    address: str
    sha256: str  # of what has that place
    file: str
    make: Callable[[bytes], bytes] | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """What a recipe must know about a corpus to train on it, and a reader to cite it.

    `column` is where the tags or labels are unless a user says otherwise: a name in CoNLL-U and tables with a
    header, a number elsewhere; `text_column` likewise where the texts are that have labels.
    `scheme` is how these tags mark spans (`BMES`), or None where each tag stands for itself.
    `splits` are files to download, or paths of files that come with the package. For pairs of texts `text_column`
    is the source and `column` the target; where they are files of their own, these are called `train/de`, for example.
    `label_names` says what labels are called that the files write as numbers.
    """

    name: str
    task: str
    format: str
    column: str | int
    language: str
    licence: str
    source: str
    splits: Mapping[str, RemoteFile | Path]
    scheme: str | None = None
    text_column: str | int | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
