"""Part-of-speech tagging.

python -m recipes.pos_tagging                                   on the bundled sample
python -m recipes.pos_tagging --data.dataset ud-en-ewt
echo "I saw her duck ." | python -m recipes.pos_tagging predict
"""

from __future__ import annotations

from functools import partial

from datamodules.tagging import TaggingDataModule
from recipes.baselines.tagging import baselines
from recipes.reports import tagging
from recipes.runner.cli import main
from recipes.runner.recipe import Recipe
from zoo.models.tagger import SequenceTagger

RECIPE = Recipe(
    name="pos_tagging",
    model=SequenceTagger,
    data=TaggingDataModule,
    defaults={"data.dataset": "sample-en", "model.regularization.label_smoothing": 0.1},
    report=tagging.TaggingReport.of,
    predict=partial(tagging.predict, pretrained="pos-en-ewt"),
    baselines=baselines,
)

if __name__ == "__main__":
    main(RECIPE)
