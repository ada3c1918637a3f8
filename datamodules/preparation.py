"""Corpora that their authors publish without splits: where each text belongs follows from the text itself.

In the order of the file, empty and repeated texts are dropped (the first stays), and the first 32 bits of a
text's sha256, modulo 10, deal it out: 0 to test, 1 to dev, all others to train. Two corpora have rules of their own.
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

UNPACKED = 1 << 30  # bytes that an archive may hold: more is none of these corpora


def deal(rows: Iterable[tuple[str, ...]], split: str) -> Iterator[tuple[str, ...]]:
    """The rows of a split; the text is the last of a row."""
    seen = {""}
    for row in rows:
        text = row[-1]
        if text not in seen:
            seen.add(text)
            if split == _split_of(text, 10):
                yield row


def _split_of(text: str, parts: int) -> str:
    """Of that many equal parts the first is test, the second dev, and all others are train."""
    return {0: "test", 1: "dev"}.get(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % parts, "train")


def messages(content: bytes, split: str) -> bytes:
    """A split of the SMS Spam Collection: lines of a label, a tab and a text, after a line of names."""
    lines = content.decode().split("\n")[1:]
    rows = (tuple(line.rstrip("\r").split("\t", 1)) for line in lines if line)
    return "".join(f"{label}\t{text}\n" for label, text in deal(rows, split)).encode()


def reviews(archive: bytes, split: str) -> bytes:
    """A split of the shop reviews: the CSV in a zip archive, of category, polarity and text."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".csv") and "__MACOSX" not in name)
        _check_size(files.getinfo(name).file_size)
        header, *rows = csv.reader(io.StringIO(files.read(name).decode("utf-8-sig"), newline=""))
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow(header)
    writer.writerows(deal(((*labels, text.strip().strip("\ufeff").strip()) for *labels, text in rows), split))
    return target.getvalue().encode()


def abstracts(content: bytes, split: str) -> bytes:
    """A split of CSL's scientific abstracts: lines 1,600 / 200 / 200, without their first column, the task's name."""
    first, last = {"train": (0, 1600), "dev": (1600, 1800), "test": (1800, 2000)}[split]
    lines = content.decode().split("\n")[first:last]
    return "".join(line.partition("\t")[2] + "\n" for line in lines).encode()


def titles(archive: bytes, split: str) -> bytes:
    """A split of abstracts and titles of the ACL Anthology since 2016: XML files in a tar archive, as JSON Lines.

    Abstracts have 30 to 400 words and titles 3 to 30; proceedings and repeated abstracts are dropped. The id deals a
    paper out, modulo 18: 0 to test, 1 to dev.
    """
    seen, lines = set(), []
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        names, size = [], 0
        for member in files:
            size += member.size
            _check_size(size)  # before what comes next is unpacked
            if "/data/xml/" in member.name and member.name.endswith(".xml"):
                names.append(member.name)
        names.sort()
        for name in names:
            for row in _papers(ElementTree.parse(files.extractfile(name)).getroot()):
                words = {field: len(row[field].split()) for field in ("title", "abstract")}
                fits = row["year"] >= 2016 and 3 <= words["title"] <= 30 and 30 <= words["abstract"] <= 400
                if fits and not row["title"].lower().startswith("proceedings of") and row["abstract"] not in seen:
                    seen.add(row["abstract"])
                    if split == _split_of(row["id"], 18):
                        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _check_size(size: int) -> None:
    """Refuses an archive that unpacks to more than memory may hold.

    Raises:
        DataError: it does.
    """
    if size > UNPACKED:
        raise DataError(f"expected an archive of at most {UNPACKED:,} bytes unpacked, got {size:,}: it is no corpus")


def _papers(collection: ElementTree.Element) -> Iterator[dict]:
    for volume in collection.iter("volume"):
        year = volume.findtext("meta/year") or "0"
        for paper in volume.iter("paper"):
            place = f"{collection.get('id')}-{volume.get('id')}.{paper.get('id')}"
            texts = {field: paper.find(field) for field in ("title", "abstract")}
            if all(text is not None for text in texts.values()):
                # Markup is dropped, white space folded.
                spelled = {field: " ".join("".join(text.itertext()).split()) for field, text in texts.items()}
                yield {"id": place, "year": int(year), **spelled}
