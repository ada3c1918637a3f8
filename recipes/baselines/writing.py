"""Baselines of models that write: the first words of the source, and the source itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datamodules.seq2seq import Seq2SeqDataModule
from recipes.baselines.baseline import Baseline
from zoo.batches.seq2seq import Pair
from zoo.metrics.generation import SCORES, lead, rouge

# Lengths of the lead baseline. The length with the best dev score is used.
LEADS = (3, 5, 8, 10, 15, 20, 30, 45)


def baselines(data: Seq2SeqDataModule, stage: str, *, quick: bool, metric: str) -> Iterator[Baseline]:
    """The source as the output; with ROUGE, its first words instead, which the report of a run has scored already.

    Args:
        data: the corpus.
        stage: "val" or "test".
        quick: whether to leave out what would take long.
        metric: a key of `zoo.metrics.generation.SCORES`.
    """
    language = data.codec.language
    pairs = data.examples("test" if stage == "test" else "dev")
    references = [pair.target for pair in pairs]
    if metric != "rouge":
        found = SCORES[metric]([pair.source for pair in pairs], references, language)
        yield Baseline.of("copy of the source", stage, found)
    elif not quick:
        length = best_lead(data.examples("dev"), language)
        found = SCORES[metric]([lead(pair.source, length, language) for pair in pairs], references, language)
        yield Baseline.of("lead", stage, found, f"first {length}")


def best_lead(pairs: Sequence[Pair], language: str) -> int:
    """The length in `LEADS` whose lead baseline has the best ROUGE-L."""
    references = [pair.target for pair in pairs]

    def score(length: int) -> float:
        leads = [lead(pair.source, length, language) for pair in pairs]
        return rouge(leads, references, language)["rougeL"]

    return max(LEADS, key=score)
