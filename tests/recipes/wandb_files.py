"""Reads the file in which W&B keeps a run, as W&B itself has no reader for it any more."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record


def wandb_records(path: Path) -> Iterator[Record]:
    """The records of an offline run: protocol buffers in the blocks of a LevelDB log."""
    content, parts, position = path.read_bytes(), b"", 7
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:  # too little for another header: the rest of the block is empty
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""
