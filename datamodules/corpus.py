"""The entries of the catalog: what is known of a corpus, and where its files come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RemoteFile:
    """A file to download from `url`, optionally converted by `convert`, stored as `file_name` in the corpus folder.

    Attributes:
        url: the address, which names a pinned commit.
        sha256: the sum of the stored file. It is None while somebody writes the entry: `datamodules.download.locate`
            then downloads the files and prints their sums.
        file_name: the name of the stored file.
        convert: turns what was downloaded into the stored file; by default that is stored as it is.
        appended_urls: the addresses of files that are appended to the first one before they are converted.
    """

    url: str
    sha256: str | None
    file_name: str
    convert: Callable[[bytes], bytes] | None = None
    appended_urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """What a recipe must know of a corpus to train on it, and a reader to cite it.

    Attributes:
        name: the name in the catalog.
        task: "tagging", "classification" or "seq2seq".
        format: a format that the task's reader knows, "conllu" for example; "parallel" for pairs of files.
        column: the column of the tags, labels or targets, unless a user chooses another one: a name in CoNLL-U and in
            tables with a header, else a number. With parallel files it is the language of the targets.
        language: a tag of BCP 47, "en" for example; of pairs, the language of the targets.
        licence: the licence of the texts.
        source: the page to cite.
        splits: the files of "train", "dev" and "test": files to download, or paths of files that come with the
            package. Where a split has several files, the keys are "train/en" and "train/de" for example.
        scheme: how the tags mark spans, "BMES" for example; None where each tag stands for itself.
        text_column: likewise the column of the texts that have labels, or of the sources; tagging does not read it.
        label_names: the names of labels that are numbers in the files.
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
    label_names: Mapping[str, str] = field(default_factory=dict)
