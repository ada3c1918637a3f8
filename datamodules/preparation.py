"""Deterministic splits for corpora that are published without splits, and conversions of published archives.

Most corpora are split by their texts (`rows_of_split`): empty and repeated texts are dropped, and a hash of the text
determines the split. The functions of other corpora describe their own rule. Each function converts the published file
to one split, as `datamodules.corpus.RemoteFile.convert` needs it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from datamodules.errors import DataError

# In bytes. All corpora here are smaller.
MAX_UNPACKED = 1 << 30


def rows_of_split(rows: Iterable[tuple[str, ...]], split: str) -> Iterator[tuple[str, ...]]:
    """The rows that belong to a split: about 10 % to test, 10 % to dev and 80 % to train.

    >>> rows = [("ham", f"text {number}") for number in range(1000)]
    >>> [len(list(rows_of_split(rows, split))) for split in ("train", "dev", "test")]
    [799, 113, 88]

    Args:
        rows: the rows of a corpus. The last value of each row is its text. Of several rows with the same text, only the
            first is kept. Rows with an empty text are dropped.
        split: "train", "dev" or "test".
    """
    seen = {""}
    for row in rows:
        text = row[-1]
        if text not in seen:
            seen.add(text)
            if split == _split_by_hash(text, parts=10):
                yield row


def sms_spam_split(content: bytes, split: str) -> bytes:
    """A split of the SMS Spam Collection, as TSV without a header: label, text.

    The published file has a header, and then a line for each message: label, tab, text.
    """
    lines = content.decode().split("\n")[1:]
    rows = (tuple(line.rstrip("\r").split("\t", 1)) for line in lines if line)
    return "".join(f"{label}\t{text}\n" for label, text in rows_of_split(rows, split)).encode()


def shopping_split(archive: bytes, split: str) -> bytes:
    """A split of the shopping reviews, as CSV with a header: category, polarity, text.

    The published file is the whole table in a zip archive.

    Raises:
        DataError: the archive would unpack to more than `MAX_UNPACKED`.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".csv") and "__MACOSX" not in name)
        _check_size(files.getinfo(name).file_size)
        header, *rows = csv.reader(io.StringIO(files.read(name).decode("utf-8-sig"), newline=""))
    stripped = ((*labels, text.strip().strip("\ufeff").strip()) for *labels, text in rows)
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(header)
    writer.writerows(rows_of_split(stripped, split))
    return table.getvalue().encode()


def csl_split(content: bytes, split: str) -> bytes:
    """A split of CSL's scientific abstracts, as TSV without a header.

    The published file has 2,000 lines. Their first column names the task and is dropped. Lines 1 to 1,600 are train,
    the next 200 are dev, and the last 200 are test.
    """
    first, last = {"train": (0, 1600), "dev": (1600, 1800), "test": (1800, 2000)}[split]
    lines = content.decode().split("\n")[first:last]
    return "".join(line.partition("\t")[2] + "\n" for line in lines).encode()


def acl_titles_split(archive: bytes, split: str) -> bytes:
    """A split of the abstracts and titles of the ACL Anthology since 2016, as JSON Lines.

    The published file is a tar archive of XML files. Abstracts of 30 to 400 words with titles of 3 to 30 words are
    kept. Proceedings and repeated abstracts are dropped. A hash of the paper's id determines its split: one part of 18
    is test, one is dev.

    Raises:
        DataError: the archive would unpack to more than `MAX_UNPACKED`.
    """
    seen: set[str] = set()
    lines = []
    for paper in _papers(archive):
        title = str(paper["title"])
        abstract = str(paper["abstract"])
        fits = 3 <= len(title.split()) <= 30 and 30 <= len(abstract.split()) <= 400
        if not fits or title.lower().startswith("proceedings of") or abstract in seen:
            continue
        seen.add(abstract)
        if split == _split_by_hash(str(paper["id"]), parts=18):
            lines.append(json.dumps(paper, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _split_by_hash(text: str, *, parts: int) -> str:
    """The split of a text: of `parts` equal parts, one is test, one is dev, and all others are train."""
    part = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % parts
    return {0: "test", 1: "dev"}.get(part, "train")


def _check_size(size: int) -> None:
    """Checks the unpacked size of an archive.

    Raises:
        DataError: the size is more than `MAX_UNPACKED`.
    """
    if size > MAX_UNPACKED:
        raise DataError(
            f"expected an archive of at most {MAX_UNPACKED:,} bytes unpacked, got {size:,}: this is not the corpus"
        )


def _papers(archive: bytes) -> Iterator[dict[str, str | int]]:
    """The papers since 2016 that have a title and an abstract, in the order of the names of their files."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        names = []
        size = 0
        for member in files:
            size += member.size
            # The next member is not yet unpacked.
            _check_size(size)
            if "/data/xml/" in member.name and member.name.endswith(".xml"):
                names.append(member.name)
        for name in sorted(names):
            file = files.extractfile(name)
            # A folder has no file.
            if file is not None:
                yield from _papers_of_collection(ElementTree.parse(file).getroot())


def _papers_of_collection(collection: ElementTree.Element) -> Iterator[dict[str, str | int]]:
    for volume in collection.iter("volume"):
        year = int(volume.findtext("meta/year") or "0")
        if year < 2016:
            continue
        for paper in volume.iter("paper"):
            title = _plain_text(paper.find("title"))
            abstract = _plain_text(paper.find("abstract"))
            if title is not None and abstract is not None:
                paper_id = f"{collection.get('id')}-{volume.get('id')}.{paper.get('id')}"
                yield {"id": paper_id, "year": year, "title": title, "abstract": abstract}


def _plain_text(element: ElementTree.Element | None) -> str | None:
    """The text of an element without markup, with single spaces."""
    return None if element is None else " ".join("".join(element.itertext()).split())
