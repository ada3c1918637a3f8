"""Sentiment of reviews.

python -m recipes.sentiment                                     on the bundled sample
python -m recipes.sentiment --data.dataset sample-reviews-zh
python -m recipes.sentiment --data.dataset sst2
python -m recipes.sentiment --data.dataset shopping-zh
echo "a gripping , tender film" | python -m recipes.sentiment predict
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
    name="sentiment",
    model=TextClassifier,
    data=ClassificationDataModule,
    links=classification.LINKS,
    small_corpus=classification.SMALL_CORPUS,
    defaults={"data.dataset": "sample-reviews-en"},
    report=classification.ClassificationReport.of,
    predict=partial(classification.predict, pretrained="sentiment-en-sst2"),
    baselines=baselines,
)

if __name__ == "__main__":
    main(RECIPE)
