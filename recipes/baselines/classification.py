"""Baselines of text classification: the majority class, and tf-idf with logistic regression (extra `baselines`).

Shapes: N texts, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.classification import ClassificationDataModule
from recipes.baselines.baseline import QUICK_CHARACTERS, Baseline, computed
from recipes.runner.recipe import instance
from zoo.batches.classification import ClassificationDataset
from zoo.codecs import ClassificationCodec
from zoo.metrics.classification import ClassificationMetrics
from zoo.text import split_words
from zoo.text.languages import guess_language, is_unspaced

# The inverse strengths of the regularization, of which the best one on dev is used.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
# Terms are words and pairs of words, or up to three characters of a language without spaces.
WORDS, CHARACTERS = (1, 2), (1, 3)
# The language is guessed from so many texts.
GUESSED = 200
# The lowest probability of a label that is never predicted.
TINY = 1e-6


def baselines(data: ClassificationDataModule, stage: str, *, quick: bool) -> Iterator[Baseline]:
    """The baselines of a corpus, scored on a stage; `quick` leaves out what would take long."""
    split = "test" if stage == "test" else "dev"
    gold = gold_of(data, split)
    train_gold = gold_of(data, "train")
    yield Baseline.of("majority class", stage, scores(data.codec, prior(data.codec, train_gold, len(gold)), gold))
    if not can_fit_tf_idf():
        return
    texts = [example.text for example in data.examples("train")]
    if quick and sum(map(len, texts)) * len(data.codec.labels) > QUICK_CHARACTERS:
        return
    model = TfIdf(texts, data.codec)
    best = STRENGTHS[len(STRENGTHS) // 2]
    found: dict[float, float] = {}
    if "dev" in data.splits:
        dev_gold = gold_of(data, "dev")
        dev_texts = [example.text for example in data.examples("dev")]
        for strength in STRENGTHS:
            model.fit(train_gold, strength)
            found[strength] = float(scores(data.codec, model.logits(dev_texts), dev_gold)["macro_f1"])
        best = max(found, key=found.__getitem__)
    model.fit(train_gold, best)
    logits = model.logits([example.text for example in data.examples(split)])
    yield Baseline.of("tf-idf", stage, scores(data.codec, logits, gold), f"{model.terms}, C={best:g}")


def gold_of(data: ClassificationDataModule, split: str) -> Tensor:
    """The label ids of a split `(N,)`; if a text may have several labels `(N, K)`, 1 for each label that it has."""
    return torch.from_numpy(np.asarray(instance(data.encoded(split), ClassificationDataset).gold)).long()


def can_fit_tf_idf() -> bool:
    """Whether scikit-learn is installed."""
    return find_spec("sklearn") is not None


def scores(codec: ClassificationCodec, logits: Tensor, gold: Tensor) -> dict[str, Tensor]:
    """The scores of a model with these `logits (N, K)`."""
    metrics = ClassificationMetrics(list(codec.labels), codec.positive, multi_label=codec.multi_label)
    metrics.update(logits, gold, torch.arange(len(gold)))
    return computed(metrics)


def prior(codec: ClassificationCodec, train_gold: Tensor, texts: int) -> Tensor:
    """The logits `(N, K)` of a model that gives all texts the frequencies of the labels in the training split."""
    if codec.multi_label:
        frequencies = train_gold.double().mean(0)
        return frequencies.clamp(TINY, 1 - TINY).logit().float().expand(texts, -1)
    counts = torch.bincount(train_gold, minlength=len(codec.labels))
    return (counts / counts.sum()).clamp(min=TINY).log().expand(texts, -1)


class TfIdf:
    """Logistic regression on the tf-idf weights of the words and pairs of words of a text (scikit-learn).

    Terms that are in one training text alone are left out. Term frequencies are replaced by 1 + their logarithm.

    Args:
        texts: the training texts.
        codec: lists the labels.

    Attributes:
        terms: what the terms are.
    """

    def __init__(self, texts: Sequence[str], codec: ClassificationCodec):
        from sklearn.feature_extraction.text import TfidfVectorizer

        unspaced = is_unspaced(guess_language(texts[:GUESSED]))
        self.terms = "characters" if unspaced else "words"
        self._codec = codec
        settings: dict[str, Any] = dict(analyzer="char", ngram_range=CHARACTERS)
        if not unspaced:
            settings = dict(tokenizer=split_words, token_pattern=None, ngram_range=WORDS)
        # A tiny corpus may have no term twice.
        rarest = 2 if len(texts) > GUESSED else 1
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=rarest, dtype=np.float32, **settings)
        self._train = self._vectorizer.fit_transform(texts)
        self._classifier: Any = None

    def fit(self, gold: Tensor, strength: float) -> None:
        """Fits the regression: label ids `(N,)`, or `(N, K)` if a text may have several labels; and its C."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        # One regression for each label takes an eighth of the time of a softmax, and is as accurate.
        self._classifier = OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear", random_state=0))
        self._classifier.fit(self._train, gold.numpy())

    def logits(self, texts: Sequence[str]) -> Tensor:
        """The scores of the labels before the softmax or sigmoid, `(N, K)`."""
        probabilities = torch.from_numpy(self._classifier.predict_proba(self._vectorizer.transform(texts)))
        probabilities = probabilities.double().clamp(math.ulp(0.5), 1 - math.ulp(0.5))
        return (probabilities.logit() if self._codec.multi_label else probabilities.log()).float()
