"""The files of a corpus of labelled texts: one table for each split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from datamodules.corpus_files import CorpusFiles
from datamodules.examples import LabelledText
from datamodules.labels import renamed
from datamodules.readers.file_parts import Parted
from datamodules.readers.labelled_texts import labelled_parts, read_labelled_texts


class _Columns(NamedTuple):
    text: str | int
    label: str | int


@dataclass(frozen=True)
class LabelledFiles:
    """Reads the labelled texts of a corpus, with the names that the catalog gives to labels.

    The fields other than `corpus` are arguments of `ClassificationDataModule`.
    """

    corpus: CorpusFiles
    text_column: str | int | None
    label_column: str | int | None
    format: str | None
    header: bool | None
    multi_label: bool

    def read(self, split: str) -> Iterator[LabelledText]:
        """Yields the texts of a split.

        Raises:
            DataError: as in `read_labelled_texts`.
        """
        path = self.corpus.path(split)
        text, label = self._columns
        texts = read_labelled_texts(
            path, text, label, format=self._format, header=self.header, multi_label=self.multi_label
        )
        return self._renamed(texts)

    def parts(self, split: str) -> Parted[LabelledText]:
        """The same texts in parts."""
        path = self.corpus.path(split)
        text, label = self._columns
        parted = labelled_parts(
            path, text, label, format=self._format, header=self.header, multi_label=self.multi_label
        )
        if parted is None:
            return Parted.chunks(lambda: self.read(split))
        # To read one text is to check the first ones.
        list(islice(self.read(split), 1))
        return parted.then(self._renamed)

    @property
    def _columns(self) -> _Columns:
        entry = self.corpus.entry
        text = entry.text_column if entry else "text"
        label = entry.column if entry else "label"
        return _Columns(
            text if self.text_column is None else self.text_column,
            label if self.label_column is None else self.label_column,
        )

    @property
    def _format(self) -> str | None:
        entry = self.corpus.entry
        return entry.format if entry else self.format

    def _renamed(self, texts: Iterator[LabelledText]) -> Iterator[LabelledText]:
        entry = self.corpus.entry
        return renamed(texts, entry.label_names) if entry and entry.label_names else texts
