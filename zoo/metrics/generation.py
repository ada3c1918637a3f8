"""How good written texts are: ROUGE, BLEU and chrF, keywords. Everything is a share between 0 and 1."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import sacrebleu
import torch
from torch import Tensor
from torchmetrics import Metric

from zoo.batches.seq2seq import Pair
from zoo.text.characters import CLUSTER, EXTENDING, split_clusters
from zoo.text.languages import is_unspaced, primary_language

WORD = re.compile(rf"\w+(?:{EXTENDING}+\w*)*")
CLUSTER_OR_SPACE = re.compile(rf"{CLUSTER}|\s")
SEPARATORS = re.compile(r"[_;；]")


def units(text: str, language: str) -> list[str]:
    """What ROUGE counts of a text.

    In English these are lower-case runs of a-z and 0-9, as in the package rouge-score without stemming. In languages
    without spaces (`is_unspaced`) they are characters with their marks, in other languages words with theirs, both in
    lower case and in Unicode's form NFC.

    Raises:
        ZooError: the language is unknown.
    """
    if primary_language(language) == "en":
        return re.findall("[a-z0-9]+", text.lower())
    text = composed(text.lower())
    return split_clusters(text) if is_unspaced(language) else WORD.findall(text)


def composed(text: str) -> str:
    """A text in Unicode's form NFC: letters with accents compare equal however they are written."""
    return unicodedata.normalize("NFC", text)


def ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each sequence of n tokens occurs."""
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def rouge(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, float]:
    """ROUGE-1, -2 and -L (Lin 2004): mean F1 over the texts."""
    scores = rouge_by_text(outputs, references, language)
    return {name: sum(values) / max(1, len(values)) for name, values in scores.items()}


def rouge_by_text(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, list[float]]:
    """The same of each text."""
    scores: dict[str, list[float]] = {"rouge1": [], "rouge2": [], "rougeL": []}
    for output, reference in zip(outputs, references, strict=True):
        found, gold = units(output, language), units(reference, language)
        scores["rougeL"].append(_f1(_common_subsequence(found, gold), len(found), len(gold)))
        for n in (1, 2):
            a, b = ngrams(found, n), ngrams(gold, n)
            scores[f"rouge{n}"].append(_f1((a & b).total(), a.total(), b.total()))
    return scores


def bleu(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, float]:
    """Corpus BLEU and chrF by sacrebleu (Post 2018)."""
    outputs, references = list(map(composed, outputs)), list(map(composed, references))
    bleu = bleu_metric(language).corpus_score(outputs, [references]).score / 100
    return {"bleu": bleu, "chrf": sacrebleu.CHRF().corpus_score(outputs, [references]).score / 100}


def bleu_metric(language: str) -> sacrebleu.BLEU:
    """Sacrebleu's BLEU with the tokenizer for a language: its `zh`, `char` where there are no spaces, else `13a`.

    Raises:
        ZooError: the language is unknown.
    """
    if not is_unspaced(language):
        return sacrebleu.BLEU(tokenize="13a")
    return sacrebleu.BLEU(tokenize="zh" if primary_language(language) == "zh" else "char")


def keywords(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, float]:
    """Precision, recall and F1 over sets of keywords that `_` or `;` separates, of all texts together."""
    matched = found = gold = 0
    for output, reference in zip(outputs, references, strict=True):
        ours, theirs = (
            {word.strip() for word in SEPARATORS.split(composed(text))} - {""} for text in (output, reference)
        )
        matched, found, gold = matched + len(ours & theirs), found + len(ours), gold + len(theirs)
    precision, recall = matched / max(1, found), matched / max(1, gold)
    return {"keyword_f1": _f1(matched, found, gold), "keyword_precision": precision, "keyword_recall": recall}


def novel_ngrams(outputs: Sequence[str], sources: Sequence[str], language: str, n: int) -> float:
    """Share of the n-grams of outputs that their sources have not; all others are copied."""
    novel = total = 0
    for output, source in zip(outputs, sources, strict=True):
        known = ngrams(units(source, language), n)
        for ngram, count in ngrams(units(output, language), n).items():
            total += count
            novel += count * (ngram not in known)
    return novel / max(1, total)


def repetition(outputs: Sequence[str], language: str, n: int = 2) -> float:
    """Share of the n-grams of outputs that have occurred before in the same output."""
    counts = [ngrams(units(output, language), n) for output in outputs]
    total = sum(count.total() for count in counts)
    return (total - sum(map(len, counts))) / max(1, total)


def length_ratio(outputs: Sequence[str], references: Sequence[str], language: str) -> float:
    """How long outputs are, all together, for each unit of the references."""
    found, gold = (sum(len(units(text, language)) for text in texts) for texts in (outputs, references))
    return found / max(1, gold)


def lead(text: str, length: int, language: str) -> str:
    """The first words of a text, or without spaces between them its first characters: what a summary has to beat."""
    if is_unspaced(language):
        return "".join(CLUSTER_OR_SPACE.findall(text)[:length])
    return " ".join(text.split()[:length])


SCORES: dict[str, Callable[[Sequence[str], Sequence[str], str], dict[str, float]]] = {
    "bleu": bleu,
    "rouge": rouge,
    "keywords": keywords,
}
MONITORS = {"bleu": "bleu", "rouge": "rougeL", "keywords": "keyword_f1"}


class Written(NamedTuple):
    """What a model wrote for a pair, the `row`-th of its split."""

    row: int
    pair: Pair
    output: str


class TextMetrics(Metric):
    """Scores of written texts, and perplexity, over batches and under DDP over processes: there, all must ask together.

    Args:
        metric: a key of `SCORES`.
        language: of the texts, a tag of BCP 47.

    Raises:
        ZooError: the language is unknown.
    """

    is_differentiable = False
    # Its scores differ in their direction: see `zoo.metrics.display`.
    higher_is_better = None
    full_state_update = False

    def __init__(self, metric: str, language: str):
        super().__init__()
        primary_language(language)  # refuses what it does not know now, not after an epoch
        self.metric, self.language = metric, language
        self._written: list[Written] = []
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, written: Sequence[Written], nll: Tensor, lengths: Tensor) -> None:
        """Counts a batch: what was written, the mean negative log-likelihood of its targets, their lengths `(B,)`."""
        self._written += written
        self.nll += nll.double() * lengths.sum()
        self.tokens += lengths.sum()

    def reset(self) -> None:
        super().reset()
        self._written = []

    def compute(self) -> dict[str, Tensor]:
        """The scores of the metric, each between 0 and 1; `loss`, and its exponential, `perplexity`."""
        written = self.written()
        outputs, references = [w.output for w in written], [w.pair.target for w in written]
        scores = SCORES[self.metric](outputs, references, self.language)
        loss = (self.nll / self.tokens.clamp(min=1)).float()
        return {
            **{name: loss.new_tensor(score) for name, score in scores.items()},
            "loss": loss,
            "perplexity": loss.exp(),
        }

    def written(self) -> list[Written]:
        """What all processes wrote, in the order of the split."""
        parts = [self._written]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self._written)
        return sorted(chain.from_iterable(parts))


def _f1(matched: int, found: int, gold: int) -> float:
    return 2 * matched / (found + gold) if found + gold else 0.0


def _common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for token in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if token == other else max(row[j], row[j - 1])
    return row[-1]
