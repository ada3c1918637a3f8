"""The base class of datamodules whose large splits are encoded on disk, and read from there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

from datamodules.agreement import digest_of_state
from datamodules.base import CodecT, CorpusDataModule, ExampleT
from datamodules.encoding import Encoder, StoreBuilder
from datamodules.large_corpora import Stored, digest, is_large, store_key, stores_folder
from datamodules.store import Store, StoreWriter, open_store


class StoredDataModule(CorpusDataModule[CodecT, ExampleT]):
    """A datamodule whose splits may be in stores: encoded once, and memory-mapped.

    A subclass sets `codec_class`, and defines `_store_settings` and `_encoder` beside the methods of
    `CorpusDataModule`. Its `_encode` reads a split from its store if `_store_of` has one.

    Attributes:
        codec_class: the class of the codec in a store.
        store: whether splits are encoded on disk, once, and read from there. With "by_size" a split is if its files
            have more than 256 MiB. Needs pyarrow.
    """

    codec_class: type[CodecT]
    store: Stored = "by_size"

    @cached_property
    def _stores(self) -> dict[str, Store | None]:
        """The stores that were opened, by split; None for a split that is kept in memory."""
        return {}

    @property
    @abstractmethod
    def _store_settings(self) -> Mapping[str, object]:
        """All arguments that the columns of a store depend on, beside those of `CorpusDataModule`."""

    @abstractmethod
    def _encoder(self, split: str) -> Encoder[Any, Any]:
        """What encodes a split into a store. For the training split it fits a codec if there is none yet."""

    def _use_facts(self, facts: Mapping[str, Any]) -> None:
        """Takes from the facts of the training split what the other splits need. By default, they need nothing."""

    def _store_of(self, split: str) -> Store | None:
        """A split on disk, if it is large. It is encoded now if no earlier run has encoded it."""
        if split not in self._stores:
            self._stores[split] = self._open_store(split)
        return self._stores[split]

    def _open_store(self, split: str) -> Store | None:
        if split not in self.splits:
            return None
        paths = self.paths(split)
        if not is_large(paths, self.store):
            return None
        key = store_key(paths, self._all_settings(split))
        store = open_store(stores_folder(), key, partial(self._build, split))
        if split == "train":
            self._use_facts(store.facts)
        return store

    def _all_settings(self, split: str) -> dict[str, object]:
        """What the store of a split is made of, beside the contents of its files."""
        # The names of files do not matter, and neither does that of a corpus that is not read.
        settings = {**self._store_settings, "task": self.task, "dataset": None if self.files.own else self.files.name}
        # Texts to compare with are kept where a model is evaluated.
        settings["trains"] = split == "train"
        codec = self._codec if split == "train" else self.codec
        settings["codec"] = None if codec is None else digest_of_state(codec.state)
        if self._extends is not None:
            settings["extends"] = digest_of_state(self._extends.state)
        if codec is None and self.vector_file.path is not None:
            settings |= {"vectors": digest(self.vector_file.path), "max_vectors": self.vector_file.limit}
        return settings

    def _build(self, split: str, writer: StoreWriter) -> None:
        # The encoder is made here, because it reads a part of the corpus.
        StoreBuilder(self._encoder(split), self.described(split))(writer)

    @property
    def codec(self) -> CodecT:
        """Converts texts to ids, and ids to answers. A model that reads these data must have an equal codec."""
        if self._codec is None:
            store = self._store_of("train")
            if store is not None:
                self._codec = self.codec_class.of(store.facts["codec"])
        return super().codec

    @property
    def training_examples(self) -> int:
        """The number of examples in the training split."""
        if self._store_of("train") is not None:
            return len(self.encoded("train").lengths)
        return super().training_examples

    def _coverage(self) -> str:
        store = self._store_of("train")
        return super()._coverage() if store is None else str(store.facts["coverage"])

    def _sum_of_files(self, split: str) -> str:
        store = self._store_of(split)
        if store is not None:
            # The key of a store has the sum in it. To read a large file on each process would take long.
            return store.key
        return super()._sum_of_files(split)
