"""Spam among short messages.

python -m recipes.spam                                          on the bundled sample
python -m recipes.spam --data.dataset sms-spam
echo "WINNER!! Claim your prize now" | python -m recipes.spam predict
"""

from __future__ import annotations

from functools import partial

from datamodules.classification import ClassificationDataModule
from recipes.baselines.classification import baselines
from recipes.reports import classification
from recipes.runner.cli import main
from recipes.runner.recipe import Recipe
from zoo.models.classifier import TextClassifier

RECIPE = Recipe(
    name="spam",
    model=TextClassifier,
    data=ClassificationDataModule,
    links=classification.LINKS,
    small_corpus=classification.SMALL_CORPUS,
    defaults={
        "data.dataset": "sample-spam",
        "data.tokenizer": "sentencepiece",
        "data.vocabulary_size": 2000,
        "data.positive": "spam",
    },
    report=classification.ClassificationReport.of,
    predict=partial(classification.predict, pretrained="spam-en-sms"),
    baselines=baselines,
)

if __name__ == "__main__":
    main(RECIPE)
