"""Damages a model folder at random: bytes, values of JSON, files that are something else, and sums that fit again."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.model_folder import CARD, SUMMED

ODD: list[Any] = [
    None, True, -1, 0, 1.5, 10**6, 10**12, 10**30, float("nan"), "", "x", "<pad>", "\ud800", [], [[]], {}, ["a"],
]  # fmt: skip


def damage(folder: Path, dice: random.Random) -> bool:
    """Damages one file of a model folder, and returns whether the card has the sum of the damaged file."""
    name = dice.choice([*SUMMED, CARD])
    path = folder / name
    if dice.random() < 0.1:
        path.unlink()
        dice.choice(damage_entry(path))()
        return False
    is_json = name.endswith(".json") and dice.random() < 0.7
    path.write_bytes((damage_json if is_json else damage_bytes)(path.read_bytes(), dice))
    # Half of the changes also correct the sum in the card.
    if name != CARD and dice.random() < 0.5:
        sign(folder)
        return True
    return False


def damage_bytes(content: bytes, dice: random.Random) -> bytes:
    """A content with some bytes changed, cut out, inserted or repeated."""
    damaged = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 8])):
        start = dice.randrange(len(damaged) + 1)
        end = min(len(damaged), start + dice.choice([1, 4, 100]))
        other = bytes(dice.randrange(256) for _ in range(end - start))
        damaged[start:end] = dice.choice([other, b"", damaged[start:end] * 2, b"[" * 100_000, b"\0"])
    return bytes(damaged)


def damage_json(content: bytes, dice: random.Random) -> bytes:
    """Valid JSON in which one value is replaced, removed, renamed or swapped with another."""
    value = json.loads(content)
    parent: Any = value
    while True:
        keys: list[Any] = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not keys:
            return content
        key = dice.choice(keys)
        if not isinstance(parent[key], dict | list) or dice.random() < 0.1:
            break
        parent = parent[key]
    other = dice.choice(keys)
    change = dice.choice(["odd", "swap", "drop", "rename"])
    if change == "odd":
        parent[key] = dice.choice(ODD)
    elif change == "swap":
        parent[key], parent[other] = parent[other], parent[key]
    elif change == "drop" or isinstance(parent, list):
        del parent[key]
    else:
        parent[f"{key}s"] = parent.pop(key)
    return json.dumps(value).encode()


def damage_entry(path: Path) -> list[Callable[[], object]]:
    """Ways to put something else in the place of a file that was removed."""
    return [
        lambda: None,
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.symlink_to(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: _write_a_hole(path),
    ]


def _write_a_hole(path: Path) -> None:
    """Writes a file that says it is large, and takes no space on the disk."""
    with path.open("wb") as file:
        file.truncate(10**9)


def sign(folder: Path) -> None:
    """Puts the sums of the files as they are into the card."""
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SUMMED}
    (folder / CARD).write_text(json.dumps({"sha256": sums}))
