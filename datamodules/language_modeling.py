"""Streams of text for a language model, from a named corpus or the user's own files, as windows that follow another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from datamodules.encoding import sampled
from datamodules.errors import DataError
from datamodules.extension import following
from datamodules.language_modeling_encoder import LanguageModelingEncoder, stored_stream
from datamodules.language_modeling_fitter import LanguageModelingFitter
from datamodules.large_corpora import Stored
from datamodules.readers.compression import unpacked_name
from datamodules.readers.file_parts import Parted
from datamodules.readers.tables import ENDINGS, read_rows
from datamodules.readers.text_files import LINE_END, numbered, open_text
from datamodules.sampler import BatchDataset, Position, batch_loader
from datamodules.stored import StoredDataModule
from datamodules.vocabulary_size import VocabularySize
from datamodules.windows import Window, Windows, WindowSampler, in_turn, plan
from zoo.batches.language_modeling import LanguageModelingBatch, StreamWindows, TokenStream
from zoo.codecs import LanguageModelingCodec
from zoo.text.normalization import DEFAULT, check_normalizations
from zoo.text.tokenizers import SENTENCEPIECE

# So many tokens of a stream are read at once in evaluation; no score depends on it.
EVALUATION_WINDOW = 200


class LanguageModelingDataModule(StoredDataModule[LanguageModelingCodec, str]):
    """Reads a corpus as streams of tokens. The vocabulary is fitted on the training split only.

    >>> data = LanguageModelingDataModule("sample-text-en")
    >>> model = zoo.LanguageModel(data.codec)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=1.0).fit(model, data)

    The training split is cut into streams of equal length, which are read side by side, a window at a time. The test
    split is one stream, so that each token is predicted from all tokens before it. All processes read the whole dev and
    test splits, and have the same scores.

    Args:
        dataset: the name of a corpus in the catalog (`datamodules.CATALOG`), which is ignored if `train`, `dev` or
            `test` is given; or a dataset of Hugging Face, "hf:OWNER/NAME", some of whose splits these may name.
        text_column: the column of the texts in files that are tables: a name or a number. By default the column in the
            catalog, or "text" in own files.
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        train: your own file to train on; then `dataset` is ignored. A line is a text, plain or compressed. Files that
            end as tables do (such as .jsonl or .csv) have the texts in a column.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        tokenizer: "whitespace", "words", "characters", "bytes", "jieba" or "sentencepiece". A sentencepiece model is
            trained on the training split.
        vocabulary_size: the number of most frequent tokens in the vocabulary. With "by_tokenizer" it is 8,000 pieces
            with sentencepiece, and all tokens with other tokenizers.
        min_count: tokens that occur less often in the training split are unknown tokens.
        lowercase: whether texts are read in lower case.
        normalization: how texts are normalized before anything else, in training and prediction.
        backward: whether texts are read from their last token to their first.
        streams: the number of streams of the training split on each process.
        window: the mean number of tokens of a window, over which gradients flow.
        dev_streams: the number of streams of the dev split. All but the first begin without context; each token is
            predicted once.
        seed: seeds where a pass over the training split begins and is cut.
        store: whether splits are encoded on disk, once, and read from there. With "by_size" a split is if its files
            have more than 256 MiB. Needs pyarrow.
        codec: the codec of a trained model, to evaluate or fine-tune that model.
        extends: the codec of a trained model to fine-tune. The codec of the data is then that codec with the new tokens
            of the training split.

    Raises:
        DataError: a file cannot be read or is malformed (the message has the file and the line), a name is unknown (the
            message lists the known ones), or a split is too short for its streams.
    """

    task = "language_modeling"
    codec_class = LanguageModelingCodec
    fitting = frozenset({"tokenizer", "vocabulary_size", "min_count", "lowercase", "normalization", "backward"})
    # The tokens of a step are streams times window, so that no default follows from the size of the corpus.
    largest_budget = 1

    def __init__(
        self,
        dataset: str = "sample-text-en",
        *,
        text_column: str | int | None = None,
        root: str | None = None,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        tokenizer: str = "whitespace",
        vocabulary_size: VocabularySize = "by_tokenizer",
        min_count: int = 1,
        lowercase: bool = False,
        normalization: Sequence[str] = DEFAULT,
        backward: bool = False,
        streams: int = 20,
        window: int = 35,
        dev_streams: int = 10,
        seed: int = 0,
        store: Stored = "by_size",
        codec: LanguageModelingCodec | None = None,
        extends: LanguageModelingCodec | None = None,
    ):
        if min(streams, window, dev_streams) < 1:
            raise DataError(
                f"--data.streams, --data.window and --data.dev_streams: expected numbers of at least 1, got {streams}, "
                f"{window} and {dev_streams}"
            )
        super().__init__(
            dataset,
            train=train,
            dev=dev,
            test=test,
            max_tokens=streams * window,
            seed=seed,
            codec=codec,
            extends=extends,
            root=root,
        )
        self.store = store
        self.text_column = text_column
        fitter = LanguageModelingFitter(
            tokenizer=tokenizer,
            vocabulary_size=vocabulary_size,
            min_count=min_count,
            lowercase=lowercase,
            normalization=check_normalizations(normalization),
            backward=backward,
        )
        self.fitter = following(fitter, extends)
        self.streams = streams
        self.window = window
        self.dev_streams = dev_streams
        self._streams: dict[str, TokenStream] = {}

    def _read_examples(self, split: str) -> Iterator[str]:
        path = self.files.path(split)
        if Path(unpacked_name(path)).suffix.lower() in ENDINGS:
            return (str(row.values[0]) for row in read_rows(path, [self._column]))
        return _lines(path)

    @property
    def _column(self) -> str | int:
        entry = self.files.entry
        column = entry.text_column if entry is not None else "text"
        return column if self.text_column is None else self.text_column

    def _fit_codec(self) -> LanguageModelingCodec:
        texts = self.examples("train")
        model = self._sentencepiece_model(texts)
        return self._codec_of(self.fitter.counts(texts, model), model)

    def _codec_of(self, counts: Counter[str], model: Sequence[str]) -> LanguageModelingCodec:
        return self._extended(self.fitter.codec(counts, model))

    def _sentencepiece_model(self, texts: Iterable[str]) -> Sequence[str]:
        if self._extends is not None:
            return self._extends.sentencepiece_model
        return self.fitter.sentencepiece_model(texts)

    @property
    def _store_settings(self) -> dict[str, object]:
        return {**asdict(self.fitter), "text_column": self.text_column}

    def _encoder(self, split: str) -> LanguageModelingEncoder:
        codec = self._codec if split == "train" else self.codec
        model: Sequence[str] = ()
        if codec is None and self.fitter.tokenizer == SENTENCEPIECE:
            model = self._sentencepiece_model(sampled(self._read_examples(split)))
        return LanguageModelingEncoder(
            Parted.chunks(lambda: self._read_examples(split)),
            self.fitter.splitter(model) if codec is None else codec.split,
            codec_of=lambda counts: codec or self._codec_of(counts, model),
        )

    def _training_words(self) -> Iterable[str]:
        texts = self.examples("train")
        return self.fitter.tokens(texts, self._sentencepiece_model(texts))

    def _encode(self, split: str) -> BatchDataset[object]:
        return self.stream(split)

    def stream(self, split: str) -> TokenStream:
        """A split as one stream of tokens."""
        if split not in self._streams:
            store = self._store_of(split)
            if store is None:
                self._streams[split] = self.codec.stream(self.examples(split))
            else:
                self._streams[split] = stored_stream(store, backward=self.codec.backward)
        return self._streams[split]

    def check_processes(self, processes: int, splits: Iterable[str]) -> None:
        """Refuses splits that are too short.

        Raises:
            DataError: a split has fewer tokens than streams, or the training split less than a window for each stream.
        """
        needed = {"train": processes * self.streams * self.window, "dev": self.dev_streams}
        for split in splits:
            tokens = len(self.stream(split))
            least = needed.get(split, 1)
            if tokens < least:
                raise DataError(
                    f"{self.described(split)}: expected at least {least} tokens, a window for each stream, got "
                    f"{tokens}: use fewer streams (--data.streams, --data.dev_streams) or a shorter --data.window"
                )

    def train_dataloader(self) -> DataLoader[LanguageModelingBatch]:
        trainer = self.trainer
        stream = self.stream("train")
        processes, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        total = processes * self.streams
        streams = StreamWindows(stream, self.streams, first=rank * self.streams, total=total)
        # Lightning sets this attribute where type checkers do not see it.
        if trainer is not None and trainer.overfit_batches > 0:  # type: ignore[attr-defined]
            return self._load(streams, lambda epoch: in_turn(streams.steps, self.window))
        start = None if trainer is None else partial(self._position.start_of_pass, trainer)

        def windows(epoch: int) -> list[Window]:
            return plan(streams.steps, self.window, tokens=len(stream), seed=self.seed, epoch=epoch)

        return self._load(streams, windows, start=start)

    def val_dataloader(self) -> DataLoader[LanguageModelingBatch]:
        return self._evaluation_loader("dev", self.dev_streams)

    def test_dataloader(self) -> DataLoader[LanguageModelingBatch]:
        return self._evaluation_loader("test", streams=1)

    def _evaluation_loader(self, split: str, streams: int) -> DataLoader[LanguageModelingBatch]:
        windows = StreamWindows(self.stream(split), streams)
        return self._load(windows, lambda epoch: in_turn(windows.steps, EVALUATION_WINDOW))

    def _load(
        self,
        streams: StreamWindows,
        windows: Callable[[int], list[Window]],
        start: Callable[[], Position] | None = None,
    ) -> DataLoader[LanguageModelingBatch]:
        """Loads the windows of the epochs of one split."""
        dataset = Windows(streams)
        sampler = WindowSampler(dataset, windows, start=start)
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return batch_loader(dataset, sampler, num_workers=self.num_workers, pin_memory=on_gpu)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return state and state | {"streams": self.streams, "window": self.window}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not state_dict or self.trainer is None:
            return
        before = (state_dict["processes"] * state_dict["streams"], state_dict["window"])
        now = (self.trainer.world_size * self.streams, self.window)
        if now != before:
            raise DataError(
                f"expected the {before[0]} streams and windows of {before[1]} tokens of the training that is resumed, "
                f"as its state belongs to them, got {now[0]} and {now[1]}: set --data.streams {before[0]} divided by "
                f"the number of processes, and --data.window {before[1]}"
            )
        same = state_dict | {"processes": self.trainer.world_size, "max_tokens": self.budget}
        super().load_state_dict(same)


def _lines(path: str | Path) -> Iterator[str]:
    with open_text(path) as stream:
        for _, line in numbered(stream, str(path)):
            yield line.rstrip(LINE_END)
