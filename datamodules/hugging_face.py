"""Corpora of the library `datasets` of Hugging Face, an optional package, as JSON Lines that all tasks read.

`hf:OWNER/NAME` is a dataset of the hub, `hf:OWNER/NAME:CONFIGURATION@REVISION` one of its configurations at a revision,
and `hf:FOLDER` a folder on this machine: one of `save_to_disk`, or one of files in Parquet, JSON or CSV. No code of a
dataset is run: a dataset that is a script is refused.

A column keeps its name, and the number of a label becomes its name. A column of translations becomes one column for
each language. Pictures, sounds and bytes are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.download import cache_folder
from datamodules.errors import DataError
from zoo.errors import cut

if TYPE_CHECKING:
    from datasets import Dataset

PREFIX = "hf:"
ADDRESS = re.compile(
    r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<configuration>[\w.,=+-]+))?(@(?P<revision>[\w./-]+))?", re.ASCII
)
# What the splits are called elsewhere. The first name that exists is used.
NAMES = {"train": ("train",), "dev": ("validation", "dev", "valid", "val"), "test": ("test",)}
# Files that `save_to_disk` writes: of several splits, and of one.
SAVED_SPLITS, SAVED_SPLIT = "dataset_dict.json", "state.json"
# Kinds of values that are no text, label or number.
NO_TEXT = ("binary", "large_binary")
ROWS = 1000

Decoder = Callable[[Any], object]


def is_hugging_face(dataset: str) -> bool:
    """Whether the name of a corpus is that of a dataset of Hugging Face.

    >>> is_hugging_face("hf:stanfordnlp/imdb"), is_hugging_face("imdb")
    (True, False)
    """
    return dataset.startswith(PREFIX)


def fetch_splits(dataset: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """The files of a dataset, in the user's cache folder. What is there already is not written again.

    Args:
        dataset: its name, as at the top of this file.
        wanted: what each of "train", "dev" and "test" is: the name of a split, or a part such as "train[:90%]". If it
            is empty, they are the splits of these names, with "validation" as dev, as far as they exist.

    Returns:
        The file of each split.

    Raises:
        DataError: the package is missing, or there is no such dataset, configuration, revision or split.
    """
    return dict(_fetch_once(dataset, tuple(wanted.items())))


@lru_cache
def _fetch_once(dataset: str, wanted: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    loaded = _load(dataset)
    chosen = dict(wanted) or _known_splits(dataset, list(loaded))
    folder = cache_folder() / "datasets" / re.sub(r"\W+", "-", dataset.removeprefix(PREFIX)).strip("-")
    return tuple((split, _write(_part(dataset, loaded, name), folder, split)) for split, name in chosen.items())


def _load(dataset: str) -> dict[str, Dataset]:
    """All splits of a dataset by name."""
    try:
        from datasets import Dataset, DatasetDict, disable_progress_bars, load_dataset, load_from_disk
    except ImportError as error:
        raise DataError(
            f"{dataset}: a dataset of Hugging Face needs a package: pip install lstm-zoo[datasets]"
        ) from error
    disable_progress_bars()
    place = dataset.removeprefix(PREFIX)
    folder = Path(place).expanduser()
    try:
        if folder.is_dir() and any((folder / name).is_file() for name in (SAVED_SPLITS, SAVED_SPLIT)):
            loaded = load_from_disk(str(folder))
        elif folder.is_dir():
            loaded = load_dataset(str(folder))
        else:
            address = ADDRESS.fullmatch(place)
            if address is None:
                raise DataError(
                    f"expected hf:OWNER/NAME, hf:OWNER/NAME:CONFIGURATION@REVISION or hf:FOLDER, got {dataset!r}"
                )
            loaded = load_dataset(address["name"], address["configuration"], revision=address["revision"])
    except DataError:
        raise
    except Exception as error:
        # The package raises errors of many kinds for a dataset that is missing, private, damaged or a script.
        raise DataError(f"{dataset}: expected a dataset of Hugging Face, got: {cut(str(error), 300)}") from error
    if isinstance(loaded, Dataset):
        return {"train": loaded}
    if not isinstance(loaded, DatasetDict):
        raise DataError(f"{dataset}: expected a dataset with splits, got a {type(loaded).__name__}")
    return {str(name): split for name, split in loaded.items()}


def _known_splits(dataset: str, names: Iterable[str]) -> dict[str, str]:
    """The split that is "train", "dev" or "test", as far as there is one."""
    names = list(names)
    found = {}
    for split, candidates in NAMES.items():
        known = [name for name in candidates if name in names]
        if known:
            found[split] = known[0]
    if not found:
        raise DataError(
            f"{dataset}: expected a split train, validation or test, got {', '.join(names)}: name those to use with "
            "--data.train, --data.dev and --data.test"
        )
    return found


def _part(dataset: str, loaded: Mapping[str, Dataset], name: str) -> Dataset:
    """A split, or the part of one, such as "train[:90%]"."""
    from datasets import ReadInstruction, concatenate_datasets

    sizes = {split: len(of_split) for split, of_split in loaded.items()}
    try:
        parts = ReadInstruction.from_spec(name).to_absolute(sizes)
    except (ValueError, AssertionError, KeyError) as error:
        raise DataError(
            f"{dataset}: expected one of the splits {', '.join(sizes)}, or a part of one such as train[:90%], got "
            f"{name!r}: {cut(str(error), 200)}"
        ) from error
    chosen = [loaded[part.splitname].select(range(part.from_ or 0, part.to)) for part in parts]
    return chosen[0] if len(chosen) == 1 else concatenate_datasets(chosen)


def _write(data: Dataset, folder: Path, split: str) -> str:
    """Writes a split as JSON Lines, unless it is there already, and returns the path of the file."""
    sum_of_split = hashlib.sha256(f"{data._fingerprint} {data.features}".encode()).hexdigest()[:16]
    path = folder / f"{split}-{sum_of_split}.jsonl"
    if path.is_file():
        return str(path)
    # The name is unique, because another process may write the same split at the same time.
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for row in _rows(data):
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise DataError(f"{path}: expected to write a split to this file, got: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _rows(data: Dataset) -> Iterator[dict[str, object]]:
    """The rows of a split, as plain values by column."""
    from datasets import Translation

    decoders = {name: decoder for name, feature in data.features.items() if (decoder := _decoder(feature)) is not None}
    spread = [name for name, feature in data.features.items() if isinstance(feature, Translation)]
    for batch in data.select_columns(list(decoders)).iter(batch_size=ROWS):
        columns = [map(decode, batch[name]) for name, decode in decoders.items()]
        for values in zip(*columns, strict=True):
            row = dict(zip(decoders, values, strict=True))
            for name in spread:
                texts: Any = row.pop(name)
                row |= texts
            yield row


def _decoder(feature: Any) -> Decoder | None:
    """What turns a value of a column into a plain value; None for a column that has no text, label or number."""
    from datasets import ClassLabel, LargeList, List, Translation, Value

    if isinstance(feature, Translation):
        return dict
    if isinstance(feature, ClassLabel):
        names = feature.names
        # A withheld label is -1.
        return lambda number: None if number is None or number < 0 else names[number]
    if isinstance(feature, Value):
        return None if feature.dtype in NO_TEXT else lambda value: value
    if isinstance(feature, List | LargeList):
        decode = _decoder(feature.feature)
        return None if decode is None else lambda values: None if values is None else list(map(decode, values))
    if isinstance(feature, dict):
        parts = {name: decode for name, of_part in feature.items() if (decode := _decoder(of_part)) is not None}
        return lambda fields: None if fields is None else {name: decode(fields[name]) for name, decode in parts.items()}
    return None
