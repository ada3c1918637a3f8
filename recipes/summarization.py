"""Summarization: titles, headlines, keywords.

python -m recipes.summarization                                 on the bundled sample
python -m recipes.summarization --data.dataset acl-titles --data.lowercase true
python -m recipes.summarization --data.dataset csl-zh --data.tokenizer characters
python -m recipes.summarization --data.dataset csl-zh --data.target keywords --model.metric keywords
python -m recipes.summarization test --model RUN --compare OTHER_RUN
python -m recipes.summarization predict abstracts.txt           with the bundled model of titles, in lower case
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
from zoo.models.summarizer import Seq2SeqSummarizer

RECIPE = Recipe(
    name="summarization",
    model=Seq2SeqSummarizer,
    data=Seq2SeqDataModule,
    links=generation.LINKS,
    defaults={"data.dataset": "sample-headlines", "data.max_source": 250, "data.max_target": 50},
    report=generation.WritingReport.of,
    predict=partial(generation.predict, pretrained="titles-en-acl"),
    baselines=partial(baselines, metric="rouge"),
    search=SearchOptions,
    compare=compare,
)

if __name__ == "__main__":
    main(RECIPE)
