"""Corpora for the models of `zoo`: named or a user's own, read, encoded and batched."""

from zoo.packages import require_extra

require_extra("train")

from datamodules.catalog import CATALOG
from datamodules.classification import ClassificationDataModule
from datamodules.download import locate
from datamodules.errors import DataError
from datamodules.language_modeling import LanguageModelingDataModule
from datamodules.seq2seq import Seq2SeqDataModule
from datamodules.tagging import TaggingDataModule

__all__ = [
    "CATALOG",
    "ClassificationDataModule",
    "DataError",
    "LanguageModelingDataModule",
    "Seq2SeqDataModule",
    "TaggingDataModule",
    "locate",
]
