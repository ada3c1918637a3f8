"""Corpora that their authors publish as one file: the split of each text follows from the text itself.

In the order of the file, empty and repeated texts are dropped (the first stays), and the first 32 bits of a
text's sha256, modulo 10, deal it out: 0 to test, 1 to dev, all others to train.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator


def deal(rows: Iterable[tuple[str, ...]], split: str) -> Iterator[tuple[str, ...]]:
    """The rows of a split; the text is the last of a row."""
    seen = {""}
    for row in rows:
        text = row[-1]
        if text not in seen:
            seen.add(text)
            share = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 10
            if split == {0: "test", 1: "dev"}.get(share, "train"):
                yield row


def messages(content: bytes, split: str) -> bytes:
    """A split of the SMS Spam Collection: lines of a label, a tab and a text, after a line of names."""
    lines = content.decode().split("\n")[1:]
    rows = (tuple(line.rstrip("\r").split("\t", 1)) for line in lines if line)
    return "".join(f"{label}\t{text}\n" for label, text in deal(rows, split)).encode()


def reviews(archive: bytes, split: str) -> bytes:
    """A split of the shop reviews: the CSV in a zip archive, of category, polarity and text."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".csv") and "__MACOSX" not in name)
        header, *rows = csv.reader(io.StringIO(files.read(name).decode("utf-8-sig"), newline=""))
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow(header)
    writer.writerows(deal(((*labels, text.strip().strip("\ufeff").strip()) for *labels, text in rows), split))
    return target.getvalue().encode()
