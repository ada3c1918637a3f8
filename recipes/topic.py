"""Topics of texts, with one or several topics for each text (`--data.multi_label true`).

python -m recipes.topic                                         on the bundled sample
python -m recipes.topic --data.dataset shopping-zh --data.label_column cat
echo "苹果很脆很甜，物流也快" | python -m recipes.topic predict
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
    name="topic",
    model=TextClassifier,
    data=ClassificationDataModule,
    links=classification.LINKS,
    small_corpus=classification.SMALL_CORPUS,
    defaults={"data.dataset": "sample-topics"},
    report=classification.ClassificationReport.of,
    predict=partial(classification.predict, pretrained="topic-zh-shopping"),
    baselines=baselines,
)

if __name__ == "__main__":
    main(RECIPE)
