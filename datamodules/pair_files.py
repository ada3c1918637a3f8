"""The files of a corpus of pairs: one table for each split, or two parallel files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datamodules.corpus import Corpus
from datamodules.corpus_files import CorpusFiles
from datamodules.errors import DataError
from datamodules.readers.compression import unpacked_name
from datamodules.readers.file_parts import Parted
from datamodules.readers.parallel import pair_parts, parallel_file, parallel_file_parts, read_pairs, read_parallel
from datamodules.readers.tables import ENDINGS
from zoo.batches.seq2seq import Pair


@dataclass(frozen=True)
class PairFiles:
    """Reads the pairs of a corpus.

    The fields other than `corpus` are arguments of `Seq2SeqDataModule`.
    """

    corpus: CorpusFiles
    source: str | int | None
    target: str | int | None
    format: str | None
    header: bool | None

    @property
    def sides(self) -> tuple[str | int, str | int]:
        """The columns, or the endings of parallel files, of the sources and of the targets."""
        entry = self.corpus.entry
        source = entry.text_column if entry else "source"
        target = entry.column if entry else "target"
        return source if self.source is None else self.source, target if self.target is None else self.target

    def paths(self, split: str) -> list[str | Path]:
        """The file of a split, or two parallel ones: that of the sources first."""
        entry = self.corpus.entry
        return self._own(split) if entry is None else self._named(split, entry)

    def _own(self, split: str) -> list[str | Path]:
        path = self.corpus.path(split)
        ending = Path(unpacked_name(path)).suffix.lower()
        if self.format == "parallel" or (self.format is None and ending not in ENDINGS):
            return [parallel_file(path, side) for side in self.sides]
        return [path]

    def _named(self, split: str, entry: Corpus) -> list[str | Path]:
        endings = _endings(entry)
        if not endings:
            return [self.corpus.path(split)]
        source, target = self.sides
        asked = [source, target] if entry.format == "parallel" else [target]
        for ending in asked:
            if ending not in endings:
                raise DataError(f"{self.corpus.name} has no {ending}: known are {', '.join(endings)}")
        return [self.corpus.path(f"{split}/{ending}") for ending in asked]

    def read(self, split: str) -> Iterator[Pair]:
        """Yields the pairs of a split.

        Raises:
            DataError: as in `datamodules.readers.parallel`, or the corpus has no such source or target.
        """
        paths = self.paths(split)
        if len(paths) == 2:
            return read_parallel(*paths)
        columns, format, header = self._table
        return read_pairs(paths[0], *columns, format=format, header=header)

    def parts(self, split: str) -> Parted[Pair]:
        """The same pairs in parts."""
        paths = self.paths(split)
        if len(paths) == 2:
            parted = parallel_file_parts(*paths)
        else:
            columns, format, header = self._table
            parted = pair_parts(paths[0], *columns, format=format, header=header)
        return parted or Parted.chunks(lambda: self.read(split))

    @property
    def _table(self) -> tuple[tuple[str | int, str | int], str | None, bool | None]:
        """The columns of sources and targets in a table, its format, and whether it has a header."""
        entry = self.corpus.entry
        if entry is None:
            return self.sides, self.format, self.header
        # The file of a kind of target is a table of two columns without a header.
        columns = ("0", "1") if _endings(entry) else self.sides
        return columns, entry.format, None


def _endings(entry: Corpus) -> list[str]:
    """The endings of a corpus whose splits have several files; none for a corpus with one file a split.

    A corpus of parallel files has one file for each side. Some other corpora have one for each kind of target.
    """
    return sorted({name.partition("/")[2] for name in entry.splits} - {""})
