"""Corpora of labelled texts."""

from __future__ import annotations

from functools import partial

from datamodules.catalog.origins import SAMPLES, github
from datamodules.corpus import Corpus, RemoteFile
from datamodules.preparation import imdb_split, newsgroups_split, shopping_split, sms_spam_split, trec_split

POLARITY = {"0": "negative", "1": "positive"}


def _sst2(split: str, sha256: str) -> RemoteFile:
    commit = "457ffd83de90a9d6d472d8ffc31bbffe40a8b236"
    return github("clairett/pytorch-sentiment-classification", commit, f"data/SST2/{split}.tsv", sha256=sha256)


def _shopping(split: str, sha256: str) -> RemoteFile:
    url = (
        "https://raw.githubusercontent.com/SophonPlus/ChineseNlpCorpus/a0b781d72158bde242c0626c9e354d2b328865ff/"
        "datasets/online_shopping_10_cats/online_shopping_10_cats.zip"
    )
    return RemoteFile(url, sha256, file_name=f"{split}.csv", convert=partial(shopping_split, split=split))


def _sms_spam(split: str, sha256: str) -> RemoteFile:
    url = (
        "https://raw.githubusercontent.com/hamzaaacodes/sms-spam-collection/"
        "f3e73e1e74e6330b62d1ee1983bba2a063184c26/SMSSpamCollection"
    )
    return RemoteFile(url, sha256, file_name=f"{split}.tsv", convert=partial(sms_spam_split, split=split))


def _sample_texts(name: str, prefix: str, language: str = "en") -> Corpus:
    return Corpus(
        name=name,
        task="classification",
        format="tsv",
        column="label",
        language=language,
        licence="that of this package",
        source="written for this package",
        splits={split: SAMPLES / "reviews" / f"{prefix}-{split}.tsv" for split in ("train", "dev", "test")},
        text_column="text",
    )


def imdb(split: str, sha256: str) -> RemoteFile:
    """A file of the IMDB reviews: "train", "dev", "test" or "unlabelled"."""
    url = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
    name = "unsup.txt" if split == "unlabelled" else f"{split}.tsv"
    return RemoteFile(url, sha256, file_name=name, convert=partial(imdb_split, split=split))


def newsgroups(split: str, sha256: str) -> RemoteFile:
    """A file of the 20 Newsgroups."""
    url = "https://ndownloader.figshare.com/files/5975967"
    return RemoteFile(url, sha256, file_name=f"{split}.jsonl", convert=partial(newsgroups_split, split=split))


def _trec(split: str, sha256: str) -> RemoteFile:
    published = "TREC_10" if split == "test" else "train_5500"
    url = f"https://cogcomp.seas.upenn.edu/Data/QA/QC/{published}.label"
    return RemoteFile(url, sha256, file_name=f"{split}.tsv", convert=partial(trec_split, split=split))


CORPORA = (
    Corpus(
        name="sst2",
        task="classification",
        format="tsv",
        column=1,
        language="en",
        licence="research use",
        source="https://github.com/clairett/pytorch-sentiment-classification",
        splits={
            "train": _sst2("train", "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920"),
            "dev": _sst2("dev", "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359"),
            "test": _sst2("test", "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7"),
        },
        text_column=0,
        label_names=POLARITY,
    ),
    Corpus(
        name="shopping-zh",
        task="classification",
        format="csv",
        column="label",
        language="zh",
        licence="research use",
        source="https://github.com/SophonPlus/ChineseNlpCorpus",
        splits={
            "train": _shopping("train", "8cf8c7a3dea0c1a99d143e6a17388d3de9516b7c3af69da3b510698301e5928e"),
            "dev": _shopping("dev", "b8505286487bed39655e09edb0ba8d713107f9ef10b6e894ca3c7c37664bcf9e"),
            "test": _shopping("test", "ae39746bce637c8e72f7577de675cb4be90a99a1f254d810b34e7a23e17b1f73"),
        },
        text_column="review",
        label_names=POLARITY,
    ),
    Corpus(
        name="sms-spam",
        task="classification",
        format="tsv",
        column=0,
        language="en",
        licence="CC BY 4.0",
        source="https://archive.ics.uci.edu/dataset/228/sms+spam+collection",
        splits={
            "train": _sms_spam("train", "ba864f35ee1cb7ac987bee9e86d9eda75ee6269bae977a5f71ef47e3fcad1da4"),
            "dev": _sms_spam("dev", "f6f69634c98e35b6af19b74973dc06e90803deac448ee4c136f4b05534ebb71f"),
            "test": _sms_spam("test", "d2345d004f3163d9414a212c2d3d1bde1c288bec87bfc73ea7e5a2e84ec88cbf"),
        },
        text_column=1,
    ),
    Corpus(
        name="imdb",
        task="classification",
        format="tsv",
        column=0,
        language="en",
        licence="research use",
        source="https://ai.stanford.edu/~amaas/data/sentiment/",
        splits={
            "train": imdb("train", "01d1d83b89366536e326955739559576c3bcd9b8557ded6183cca80acdd7e9e8"),
            "dev": imdb("dev", "8efebf55b737a2bfedc0c2c970dc00a840277b272362a8f432cd9281e57af573"),
            "test": imdb("test", "b15d147696b00ed5d9c63eb101e586399e71140ee0d399e8a014734b05709c36"),
        },
        text_column=1,
        label_names={"neg": "negative", "pos": "positive"},
    ),
    Corpus(
        name="trec",
        task="classification",
        format="tsv",
        # The six coarse classes; column 1 has the fifty fine ones.
        column=0,
        language="en",
        licence="research use",
        source="https://cogcomp.seas.upenn.edu/Data/QA/QC/",
        splits={
            "train": _trec("train", "056edcde0e19937b9f3b6a1dc1eacc720bf918acfee9de09daf3b103486dcfd0"),
            "dev": _trec("dev", "c9803c0c09de556e0477a37813c75d674fab7fb44d551cb0a504401f93eaf3ea"),
            "test": _trec("test", "b18b84aab620eb6392d41052c0772ae8abe6bf07d1caf6f8c8697000358bcc76"),
        },
        text_column=2,
    ),
    Corpus(
        name="20news",
        task="classification",
        format="jsonl",
        column="label",
        language="en",
        licence="public",
        source="http://qwone.com/~jason/20Newsgroups/",
        splits={
            "train": newsgroups("train", "e723b4c6f87d707d20e06cb977bbc339c27b40919f95dd88e9653f414d183b1d"),
            "dev": newsgroups("dev", "1458b85dd08196e8c9b510495d3839e7af37ab3a80f504dbf15f6c30ef6bfa0a"),
            "test": newsgroups("test", "f45dbaddfc7d43a73357e68feb55cd3de4e6954bdde388152625f97692bb6400"),
        },
    ),
    _sample_texts("sample-reviews-en", "en"),
    _sample_texts("sample-reviews-zh", "zh", language="zh"),
    _sample_texts("sample-spam", "spam"),
    _sample_texts("sample-topics", "topic"),
)
