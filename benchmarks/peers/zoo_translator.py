"""The worker that trains and times `zoo.Seq2Seq`, for `benchmarks/seq2seq_peers.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import torch
from pairs import FirstPairs
from turns import Message, Turns
from zoo_training import VERSIONS, take_settings, train

from recipes.runner.recipe import instance
from zoo.hub.pretrained import from_pretrained
from zoo.models.options import OptimizerOptions, Seq2SeqRegularization
from zoo.models.seq2seq import Seq2Seq
from zoo.text.reversible import SPECIALS

# The largest norm of the gradients, as in JoeyNMT's worker.
CLIP = 5.0


def write_pieces(data: FirstPairs, folder: Path) -> None:
    """Writes the corpus of the other system: the pieces of each text with spaces between them, and their vocabulary."""
    for split, sides in {"train": ("source", "target"), "test": ("source",)}.items():
        for side in sides:
            # Both sides have the same tokenizer.
            tokenizer = data.codec.indexer.source_tokenizer
            lines = [" ".join(tokenizer.split(getattr(pair, side))) for pair in data.pairs(split)]
            (folder / f"{split}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    vocabulary = data.codec.source_words[len(SPECIALS) :]
    (folder / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def translate(sources: Sequence[str], beams: list[int], folder: str, precision: str) -> Message:
    """Times a freshly loaded translator from text to text, for each beam."""
    translator = instance(from_pretrained(folder), Seq2Seq)
    seconds, outputs = {}, {}
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        for beam in map(str, beams):
            started = perf_counter()
            outputs[beam] = translator.predict(sources, beam=int(beam))
            seconds[beam] = perf_counter() - started
    return {"seconds": seconds, "outputs": outputs}


def main() -> None:
    turns = Turns()
    settings = take_settings(turns)
    data = FirstPairs(**settings["data"])
    data.setup("fit")
    write_pieces(data, Path(settings["pieces"]))
    sources, references = zip(*data.pairs("test"), strict=True)
    sizes = settings["training"].pop("sizes")
    model = Seq2Seq(
        data.codec,
        embedding_size=sizes["embedding_size"],
        encoder_size=sizes["encoder_size"],
        decoder_size=sizes["decoder_size"],
        dropout=sizes["dropout"],
        regularization=Seq2SeqRegularization(label_smoothing=sizes["label_smoothing"]),
        optimizer=OptimizerOptions(learning_rate=sizes["learning_rate"], warmup=sizes["warmup"]),
    )
    turns.give(
        lstm_zoo=VERSIONS,
        pairs_per_step=len(data.pairs("train")) / len(data.train_dataloader()),
        training_pairs=len(data.pairs("train")),
        references=references,
        language=data.codec.language,
        source_pieces=list(data.codec.source_sentencepiece_model),
        parameters=sum(p.numel() for p in model.parameters()),
    )
    train(turns, model, data, lambda batch: int(batch.target_lengths.sum()), clip=CLIP, **settings["training"])
    while True:
        turns.give(**translate(sources, **turns.take()))


main()
