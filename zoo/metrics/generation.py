"""Scores of generated texts: ROUGE, BLEU, chrF and keywords, each a fraction between 0 and 1, and perplexity.

BLEU and chrF are those of sacrebleu. ROUGE is our own. torchmetrics gives the same values with our units, but takes
two to four times as long, and its means are in float32.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from zoo.batches.seq2seq import Pair
from zoo.errors import unknown_name
from zoo.packages import require_extra
from zoo.text.characters import CLUSTER, EXTENDING, split_clusters
from zoo.text.languages import is_unspaced, primary_language

if TYPE_CHECKING:
    from sacrebleu import BLEU

WORD = re.compile(rf"\w+(?:{EXTENDING}+\w*)*")
CLUSTER_OR_SPACE = re.compile(rf"{CLUSTER}|\s")
SEPARATORS = re.compile(r"[_;；]")


def units(text: str, language: str) -> list[str]:
    """The units of a text that ROUGE counts.

    In English, these are lowercased runs of a-z and 0-9, as in the package rouge-score without stemming. In languages
    without spaces (`is_unspaced`) they are characters with their combining marks, and in other languages words with
    their combining marks. Both are in lower case and in Unicode's form NFC.

    >>> units("It doesn't work.", "en")
    ['it', 'doesn', 't', 'work']
    >>> units("我来了。", "zh")
    ['我', '来', '了', '。']

    Raises:
        ZooError: the language is unknown.
    """
    if primary_language(language) == "en":
        return re.findall("[a-z0-9]+", text.lower())
    text = composed(text.lower())
    return split_clusters(text) if is_unspaced(language) else WORD.findall(text)


def composed(text: str) -> str:
    """A text in Unicode's form NFC, in which letters with accents are equal however they are encoded."""
    return unicodedata.normalize("NFC", text)


def ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each sequence of n tokens occurs."""
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def rouge(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004): the mean F1 over the texts."""
    scores = rouge_by_text(outputs, references, language)
    return {name: sum(values) / max(1, len(values)) for name, values in scores.items()}


def rouge_by_text(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, list[float]]:
    """ROUGE-1, ROUGE-2 and ROUGE-L of each text."""
    scores: dict[str, list[float]] = {"rouge1": [], "rouge2": [], "rougeL": []}
    for output, reference in zip(outputs, references, strict=True):
        found = units(output, language)
        gold = units(reference, language)
        scores["rougeL"].append(_f1(_longest_common_subsequence(found, gold), len(found), len(gold)))
        for n in (1, 2):
            found_ngrams = ngrams(found, n)
            gold_ngrams = ngrams(gold, n)
            matched = (found_ngrams & gold_ngrams).total()
            scores[f"rouge{n}"].append(_f1(matched, found_ngrams.total(), gold_ngrams.total()))
    return scores


def bleu(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, float]:
    """BLEU and chrF of the whole corpus, by sacrebleu (Post 2018)."""
    metric = bleu_metric(language)
    from sacrebleu import CHRF

    outputs = [composed(text) for text in outputs]
    references = [composed(text) for text in references]
    return {
        "bleu": metric.corpus_score(outputs, [references]).score / 100,
        "chrf": CHRF().corpus_score(outputs, [references]).score / 100,
    }


def bleu_metric(language: str) -> BLEU:
    """Sacrebleu's BLEU with its tokenizer for a language: `zh`, `char` for others without spaces, `13a` otherwise.

    Raises:
        ZooError: the language is unknown, or sacrebleu is not installed.
    """
    # A model that only predicts is made without sacrebleu.
    require_extra("train")
    from sacrebleu import BLEU

    if not is_unspaced(language):
        return BLEU(tokenize="13a")
    return BLEU(tokenize="zh" if primary_language(language) == "zh" else "char")


def keywords(outputs: Sequence[str], references: Sequence[str], language: str) -> dict[str, float]:
    """Micro-averaged precision, recall and F1 of the sets of keywords, which `_` or `;` separates."""
    matched = found = gold = 0
    for output, reference in zip(outputs, references, strict=True):
        counts = keyword_counts(output, reference)
        matched += counts[0]
        found += counts[1]
        gold += counts[2]
    return {
        "keyword_f1": _f1(matched, found, gold),
        "keyword_precision": matched / max(1, found),
        "keyword_recall": matched / max(1, gold),
    }


def keyword_counts(output: str, reference: str) -> tuple[int, int, int]:
    """The number of keywords that both texts have, that the output has, and that the reference has."""
    found = _keywords(output)
    gold = _keywords(reference)
    return len(found & gold), len(found), len(gold)


def novel_ngrams(outputs: Sequence[str], sources: Sequence[str], language: str, n: int) -> float:
    """The fraction of the outputs' n-grams that do not occur in their sources; the others are copied."""
    novel = total = 0
    for output, source in zip(outputs, sources, strict=True):
        known = ngrams(units(source, language), n)
        for ngram, count in ngrams(units(output, language), n).items():
            total += count
            if ngram not in known:
                novel += count
    return novel / max(1, total)


def repetition(outputs: Sequence[str], language: str, n: int = 2) -> float:
    """The fraction of the outputs' n-grams that have occurred before in the same output."""
    counts = [ngrams(units(output, language), n) for output in outputs]
    total = sum(count.total() for count in counts)
    distinct = sum(len(count) for count in counts)
    return (total - distinct) / max(1, total)


def length_ratio(outputs: Sequence[str], references: Sequence[str], language: str) -> float:
    """The length of all outputs divided by the length of all references, in units."""
    found = sum(len(units(text, language)) for text in outputs)
    gold = sum(len(units(text, language)) for text in references)
    return found / max(1, gold)


def lead(text: str, length: int, language: str) -> str:
    """The first words of a text, or the first characters in a language without spaces: a baseline for summaries."""
    if is_unspaced(language):
        return "".join(CLUSTER_OR_SPACE.findall(text)[:length])
    return " ".join(text.split()[:length])


# The metrics of `TextMetrics`, and for each of them the score that chooses the best checkpoint.
SCORES: dict[str, Callable[[Sequence[str], Sequence[str], str], dict[str, float]]] = {
    "bleu": bleu,
    "rouge": rouge,
    "keywords": keywords,
}
MONITORS = {"bleu": "bleu", "rouge": "rougeL", "keywords": "keyword_f1"}


class Written(NamedTuple):
    """The output of a model for the pair at position `row` of its split."""

    row: int
    pair: Pair
    output: str


class TextMetrics(Metric):
    """Scores of generated texts and perplexity, over batches and over processes.

    With several processes, all must call `compute` and `written` together.

    Args:
        metric: a key of `SCORES`.
        language: the language of the texts, a tag of BCP 47.

    Raises:
        ZooError: the metric or the language is unknown.
    """

    is_differentiable = False
    # Its scores differ in their direction: see `zoo.metrics.display`.
    higher_is_better = None
    full_state_update = False
    # torchmetrics' Perplexity would read the logits (B, T, V) again, but the loss contains their log-likelihood.
    nll: Tensor  # (), summed over all target tokens
    tokens: Tensor  # ()

    def __init__(self, metric: str, language: str):
        super().__init__()
        if metric not in SCORES:
            raise unknown_name("metric", metric, SCORES)
        # This refuses an unknown language now, not after an epoch.
        primary_language(language)
        self.metric = metric
        self.language = language
        self._written: list[Written] = []
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, written: Sequence[Written], nll: Tensor, target_lengths: Tensor) -> None:
        """Counts a batch.

        Args:
            written: the outputs.
            nll: the mean negative log-likelihood of a target token, `()`.
            target_lengths: the number of tokens of each target, including its end, `(B,)`.
        """
        self._written += written
        self.nll += nll.double() * target_lengths.sum()
        self.tokens += target_lengths.sum()

    def reset(self) -> None:
        super().reset()
        self._written = []

    def compute(self) -> dict[str, Tensor]:
        """The scores of the metric, each between 0 and 1; the `loss`, and `perplexity`, its exponential."""
        written = self.written()
        outputs = [one.output for one in written]
        references = [one.pair.target for one in written]
        scores = SCORES[self.metric](outputs, references, self.language)
        loss = (self.nll / self.tokens.clamp(min=1)).float()
        tensors = {name: loss.new_tensor(score) for name, score in scores.items()}
        return tensors | {"loss": loss, "perplexity": loss.exp()}

    def written(self) -> list[Written]:
        """The outputs of all processes, in the order of the split."""
        parts = [self._written]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [[]] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self._written)
        return sorted(chain.from_iterable(parts))


def _keywords(text: str) -> set[str]:
    words = {word.strip() for word in SEPARATORS.split(composed(text))}
    return words - {""}


def _f1(matched: int, found: int, gold: int) -> float:
    return 2 * matched / (found + gold) if found + gold else 0.0


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence of `a` and `b`.

    In the loop, `row[j]` is its length for the tokens of `a` so far and the first j tokens of `b`.
    """
    row = [0] * (len(b) + 1)
    for token in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            above = row[j]
            row[j] = diagonal + 1 if token == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]
