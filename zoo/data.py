"""A second name for the package `datamodules`: `from zoo.data import TaggingDataModule`.

Many projects have a folder `datamodules` of their own, which may hide the package `datamodules` of lstm-zoo. Then this
module raises an error that says what to do. Nothing else in `zoo` may import it, or a datamodule.
"""

from zoo.packages import check_package

check_package("datamodules")

from datamodules import (  # noqa: E402
    CATALOG,
    ClassificationDataModule,
    DataError,
    LanguageModelingDataModule,
    Seq2SeqDataModule,
    TaggingDataModule,
    locate,
)

__all__ = [
    "CATALOG",
    "ClassificationDataModule",
    "DataError",
    "LanguageModelingDataModule",
    "Seq2SeqDataModule",
    "TaggingDataModule",
    "locate",
]
