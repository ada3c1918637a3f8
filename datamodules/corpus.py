"""The entries of the catalog: the format of a corpus, its licence and its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RemoteFile:
    """A file to download from `url`, optionally converted by `convert`, stored as `file_name` in the corpus folder.

    Attributes:
        url: the address, with a pinned commit.
        sha256: the sum of the stored file. In a new entry it is None; `datamodules.download.locate` then downloads the
            file and prints its sum.
        file_name: the name of the stored file.
        convert: converts the downloaded bytes to the stored ones; by default the download is stored unchanged.
        appended_urls: addresses of files that are appended to the first one before the conversion.
    """

    url: str
    sha256: str | None
    file_name: str
    convert: Callable[[bytes], bytes] | None = None
    appended_urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """What a recipe needs to train on a corpus, and what a reader needs to cite it.

    Attributes:
        name: the name in the catalog.
        task: "tagging", "classification", "seq2seq" or "language_modeling".
        format: a format that the reader of the task supports, such as "conllu"; "parallel" for pairs of files.
        column: the default column of the tags, labels or targets: a name in CoNLL-U and in tables with a header, or
            else a number. In parallel files, the language of the targets.
        language: a BCP 47 tag such as "en". For pairs of texts, the language of the targets.
        licence: the licence of the texts.
        source: the page to cite.
        splits: the files of "train", "dev" and "test": files to download, or paths of files that come with the
            package. If a split has several files, the keys are "train/en" and "train/de", for example.
        scheme: how the tags mark spans, such as "BMES"; None if every tag stands for itself.
        text_column: the default column of the texts or sources, given like `column`. It is not used in tagging.
        folder: the folder of its files, if it shares them with another corpus; by default its name.
        label_names: names for labels that are numbers in the files.
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
    text_column: str | int = "text"
    folder: str = ""
    label_names: Mapping[str, str] = field(default_factory=dict)
