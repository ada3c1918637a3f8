"""Deterministic splits for corpora that are published without any, and conversions of published archives.

Most splits follow from the texts (`rows_of_split`): empty and repeated texts are dropped, and a hash of the text says
which split a row belongs to. A corpus with another rule says so in its function. Each function turns the published
file into one split, as `datamodules.corpus.RemoteFile.convert`.
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

MAX_UNPACKED = 1 << 30  # bytes; none of these corpora is as large


def rows_of_split(rows: Iterable[tuple[str, ...]], split: str) -> Iterator[tuple[str, ...]]:
    """The rows that belong to a split: about 10 % to test, 10 % to dev and 80 % to train.

    >>> rows = [("ham", f"text {number}") for number in range(1000)]
    >>> [len(list(rows_of_split(rows, split))) for split in ("train", "dev", "test")]
    [799, 113, 88]

    Args:
        rows: the rows of a corpus. The last value of each is its text. Of rows with the same text the first counts,
            and rows with an empty text are dropped.
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

    Published is a header, then a line for each message: label, tab, text.
    """
    lines = content.decode().split("\n")[1:]
    rows = (tuple(line.rstrip("\r").split("\t", 1)) for line in lines if line)
    return "".join(f"{label}\t{text}\n" for label, text in rows_of_split(rows, split)).encode()


def shopping_split(archive: bytes, split: str) -> bytes:
    """A split of the shop reviews, as CSV with a header: category, polarity, text.

    Published is the whole table in a zip archive.

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

    Published are 2,000 lines whose first column names the task; it is dropped. Lines 1 to 1,600 are train, the next
    200 are dev and the last 200 test.
    """
    first, last = {"train": (0, 1600), "dev": (1600, 1800), "test": (1800, 2000)}[split]
    lines = content.decode().split("\n")[first:last]
    return "".join(line.partition("\t")[2] + "\n" for line in lines).encode()


def acl_titles_split(archive: bytes, split: str) -> bytes:
    """A split of the abstracts and titles of the ACL Anthology since 2016, as JSON Lines.

    Published are XML files in a tar archive. Abstracts of 30 to 400 words with titles of 3 to 30 words are kept;
    proceedings and repeated abstracts are dropped. A hash of the paper's id says which split it belongs to: one part
    of 18 is test, one is dev.

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
    """One part of `parts` is test, another one dev, and all others are train."""
    part = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % parts
    return {0: "test", 1: "dev"}.get(part, "train")


def _check_size(size: int) -> None:
    """Refuses an archive that unpacks to more than memory may hold.

    Raises:
        DataError: it does.
    """
    if size > MAX_UNPACKED:
        raise DataError(
            f"expected an archive of at most {MAX_UNPACKED:,} bytes unpacked, got {size:,}: it is no corpus"
        )


def _papers(archive: bytes) -> Iterator[dict[str, str | int]]:
    """The papers since 2016 that have a title and an abstract, in the order of the names of their files."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        names = []
        size = 0
        for member in files:
            size += member.size
            _check_size(size)  # before the next member is unpacked
            if "/data/xml/" in member.name and member.name.endswith(".xml"):
                names.append(member.name)
        for name in sorted(names):
            file = files.extractfile(name)
            if file is not None:  # None for a folder
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
