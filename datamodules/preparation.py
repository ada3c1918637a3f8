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
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from datamodules.errors import DataError

# In bytes. All corpora here are smaller.
MAX_UNPACKED = 1 << 30
LINE_END_OR_TAB = re.compile(r"[\r\n\t]")
# In the Tang poems: doubts, gaps and notes.
EDITORS_SIGNS = ("{", "□", "（", "/")


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


def member_of_zip(archive: bytes, name: str) -> bytes:
    """The member of a zip archive with this name.

    Raises:
        DataError: it would unpack to more than `MAX_UNPACKED`.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        _check_size(files.getinfo(name).file_size)
        return files.read(name)


def imdb_split(archive: bytes, split: str) -> bytes:
    """A split of the film reviews, as TSV without a header: neg or pos, text; "unlabelled" has a text a line.

    The published file is a tar archive with a file for each text, whose folder is its split and label and whose name
    begins with its number. A hash of the text chooses a tenth of the published training split as dev.
    Unlabelled texts that stand in test too are left out.
    """
    folder = "test" if split == "test" else "train"
    labels = ("unsup",) if split == "unlabelled" else ("neg", "pos")
    wanted = {f"aclImdb/{folder}/{label}": label for label in labels}
    dropped = set()
    if split == "unlabelled":
        wanted |= {"aclImdb/test/neg": "", "aclImdb/test/pos": ""}
    found: list[tuple[str, int, str]] = []
    for path, name, content in _members(archive):
        if path in wanted:
            text = LINE_END_OR_TAB.sub(" ", content.decode().strip())
            if wanted[path]:
                found.append((wanted[path], int(name.partition("_")[0]), text))
            else:
                dropped.add(text)
    rows = [(label, text) for label, _, text in sorted(found) if text not in dropped]
    if split == "unlabelled":
        return "".join(f"{text}\n" for _, text in rows).encode()
    if split != "test":
        rows = [row for row in rows if (_split_by_hash(row[1], parts=10) == "dev") == (split == "dev")]
    return "".join(f"{label}\t{text}\n" for label, text in rows).encode()


def trec_split(content: bytes, split: str) -> bytes:
    """A split of the questions, as TSV without a header: coarse label, fine label, text.

    A published line is `COARSE:fine text` in latin-1. A hash of the text chooses a tenth of the published training
    split as dev.
    """
    rows = []
    for line in content.decode("latin-1").splitlines():
        label, _, text = line.partition(" ")
        if split == "test" or (_split_by_hash(text, parts=10) == "dev") == (split == "dev"):
            rows.append(f"{label.partition(':')[0]}\t{label}\t{text}\n")
    return "".join(rows).encode()


def newsgroups_split(archive: bytes, split: str) -> bytes:
    """A split of the 20 Newsgroups by date, as JSON Lines: id, label, text with the lines of its header.

    The published file is a tar archive with a file for each text, in latin-1. A hash of the text chooses a tenth of the
    published training split as dev.
    """
    published = "test" if split == "test" else "train"
    rows = []
    for folder, name, content in sorted(_members(archive)):
        whole, _, label = folder.rpartition("/")
        if whole.endswith(f"-{published}"):
            text = content.decode("latin-1")
            if split == "test" or (_split_by_hash(text, parts=10) == "dev") == (split == "dev"):
                rows.append({"id": f"{label}/{name}", "label": label, "text": text})
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def poems_split(content: bytes, split: str) -> bytes:
    """A split of the Tang poems, a poem a line.

    The published files are JSON arrays, joined here one after the other. Empty and repeated poems are left out, and
    those with signs of the editors. A hash of the poem determines its split: one part of 20 is test, one is dev.
    """
    decoder = json.JSONDecoder()
    text = content.decode()
    place = 0
    seen = {""}
    lines = []
    while (start := text.find("[", place)) >= 0:
        poems, place = decoder.raw_decode(text, start)
        for poem in poems:
            line = "".join(poem["paragraphs"])
            if line in seen or any(sign in line for sign in EDITORS_SIGNS):
                continue
            seen.add(line)
            if split == _split_by_hash(line, parts=20):
                lines.append(line + "\n")
    return "".join(lines).encode()


def _members(archive: bytes) -> Iterator[tuple[str, str, bytes]]:
    """The folder, the name and the content of each file of a tar archive.

    Raises:
        DataError: the archive would unpack to more than `MAX_UNPACKED`.
    """
    size = 0
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            size += member.size
            # The content of the next member is not unpacked yet.
            _check_size(size)
            file = files.extractfile(member)
            # A folder has no file.
            if file is not None:
                folder, _, name = member.name.rpartition("/")
                yield folder, name, file.read()


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
