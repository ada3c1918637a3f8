"""Named-entity recognition with a CRF over the tags.

python -m recipes.ner                                           on the bundled sample
python -m recipes.ner --data.dataset resume-ner-zh
echo "王珺珊女士，中国国籍，硕士，高级经济师。" | python -m recipes.ner predict
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
    name="ner",
    model=SequenceTagger,
    data=TaggingDataModule,
    defaults={
        "data.dataset": "sample-en-ner",
        "model.head": "crf",
        "model.num_layers": 1,
        "model.embedding_size": 256,
        "model.dropout": 0.6,
        "model.regularization.token_dropout": 0.1,
        "model.regularization.adversarial": 0.3,
        "model.language_model_weight": 0.1,
    },
    report=tagging.TaggingReport.of,
    predict=partial(tagging.predict, pretrained="ner-zh-resume"),
    baselines=baselines,
)

if __name__ == "__main__":
    main(RECIPE)
