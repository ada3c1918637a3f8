"""The corpora for these models by a second name, `from zoo.data import TaggingDataModule`, and a check of the first.

Many projects have a folder `datamodules` of their own, which may hide the package `datamodules` of lstm-zoo: here that
is an error with a way out. Nothing else in `zoo` may import this module, or any datamodule.
"""

from zoo.packages import check_package

check_package("datamodules")

from datamodules import (  # noqa: E402
    CATALOG,
    ClassificationDataModule,
    DataError,
    Seq2SeqDataModule,
    TaggingDataModule,
    locate,
)

__all__ = ["CATALOG", "ClassificationDataModule", "DataError", "Seq2SeqDataModule", "TaggingDataModule", "locate"]
