"""The files of a corpus: those of a named corpus in the catalog, or a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.catalog import CATALOG
from datamodules.corpus import Corpus
from datamodules.download import known_corpus, locate
from datamodules.errors import DataError
from datamodules.hugging_face import is_hugging_face

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class CorpusFiles:
    """Knows which splits a corpus has, and where their files are.

    Attributes:
        task: the task that a named corpus must be for.
        name: the name of a corpus in the catalog. It is ignored if there are own files.
        root: the folder of all named corpora; by default $ZOO_DATA, or else the user's cache folder.
        own: the user's own files, by split.
    """

    task: str
    name: str
    root: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits. With own files, only the splits whose file is given."""
        return tuple(self.own) or SPLITS

    def described(self, split: str) -> str:
        """The name of a split in a table of scores: the corpus and the split, or the own file."""
        named = f"{self.name} {split}"
        return named if is_hugging_face(self.name) else self.own.get(split, named)

    @property
    def entry(self) -> Corpus | None:
        """The entry of the corpus in the catalog; None for own files.

        Raises:
            DataError: the catalog has no such corpus, or it is for another task.
        """
        if self.own:
            return None
        corpus = known_corpus(self.name)
        if corpus.task != self.task:
            known = ", ".join(name for name, other in CATALOG.items() if other.task == self.task)
            raise DataError(f"{self.name} is a corpus for {corpus.task}. Corpora for {self.task} are {known}")
        return corpus

    def path(self, split: str) -> str | Path:
        """The file of a split. A missing file of a named corpus is downloaded.

        Raises:
            DataError: the user gave no file for this split, or the catalog has no such corpus for this task.
        """
        if self.entry is not None:
            return locate(self.name, self.root)[split]
        if split not in self.own:
            part = ', or part of a split: --data.train "train[:90%]" --data.dev "train[90%:]"'
            hint = part if is_hugging_face(self.name) else ""
            raise DataError(f"there is no {split} split: give a file with --data.{split} FILE{hint}")
        return self.own[split]
