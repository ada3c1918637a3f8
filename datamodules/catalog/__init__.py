"""The named corpora: where their files come from, and what a recipe needs to train on them.

`datamodules.download.locate` finds or downloads the files. To add a corpus, write an entry with `sha256=None` into the
file of its task, and call `locate`: the error has the sums to enter.
"""

from __future__ import annotations

from datamodules.catalog import classification, language_modeling, seq2seq, tagging
from datamodules.corpus import Corpus

TASKS = (tagging, classification, seq2seq, language_modeling)
CATALOG: dict[str, Corpus] = {corpus.name: corpus for task in TASKS for corpus in task.CORPORA}
