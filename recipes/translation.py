"""Translation.

python -m recipes.translation                                   on the bundled sample
python -m recipes.translation --data.dataset multi30k
python -m recipes.translation --data.dataset multi30k --data.source de --data.target en
python -m recipes.translation fit --data.train my/train --data.dev my/dev --data.source fr --data.target en
python -m recipes.translation test --model RUN --compare OTHER_RUN
echo "A dog runs on the beach." | python -m recipes.translation predict --model RUN
"""

from __future__ import annotations

from functools import partial

from datamodules.seq2seq import Seq2SeqDataModule
from recipes.baselines.writing import baselines
from recipes.reports import generation
from recipes.reports.comparison import compare
from recipes.runner.cli import main
from recipes.runner.recipe import Recipe
from zoo.models.options import SearchOptions
from zoo.models.seq2seq import Seq2Seq

RECIPE = Recipe(
    name="translation",
    model=Seq2Seq,
    data=Seq2SeqDataModule,
    links=generation.LINKS,
    defaults={"data.dataset": "sample-phrases"},
    report=generation.WritingReport.of,
    predict=partial(generation.predict, pretrained="translate-en-de-multi30k"),
    baselines=partial(baselines, metric="bleu"),
    search=SearchOptions,
    compare=compare,
)

if __name__ == "__main__":
    main(RECIPE)
