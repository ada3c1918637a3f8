"""Corpora of running text."""

from __future__ import annotations

from functools import partial

from datamodules.catalog.classification import imdb, newsgroups
from datamodules.catalog.origins import SAMPLES, github_address
from datamodules.corpus import Corpus, RemoteFile
from datamodules.preparation import member_of_zip, poems_split


def _ptb(published_name: str, sha256: str) -> RemoteFile:
    commit = "e26dff5d8f4b5d07ee459f192ee2131923d7584f"
    name = f"ptb.{published_name}.txt"
    return RemoteFile(
        github_address("timbmg/RNNLM", commit, "data/ptb.zip"),
        sha256,
        file_name=name,
        convert=partial(member_of_zip, name=name),
    )


def _poems(split: str, sha256: str) -> RemoteFile:
    commit = "99ebbef7e1345c0985c44b9fd96a3f9e776f117b"
    # The published folder is the Complete Tang Poems, a file for each thousand poems.
    folder = "%E5%85%A8%E5%94%90%E8%AF%97"
    first, *others = [
        github_address("chinese-poetry/chinese-poetry", commit, f"{folder}/poet.tang.{number}.json")
        for number in range(0, 58_000, 1000)
    ]
    return RemoteFile(
        first,
        sha256,
        file_name=f"{split}.txt",
        convert=partial(poems_split, split=split),
        appended_urls=tuple(others),
    )


CORPORA = (
    Corpus(
        name="ptb",
        task="language_modeling",
        format="text",
        column="text",
        language="en",
        licence="research use (LDC)",
        source="https://github.com/timbmg/RNNLM",
        splits={
            "train": _ptb("train", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
            "dev": _ptb("valid", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
            "test": _ptb("test", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
        },
    ),
    Corpus(
        name="imdb-text",
        task="language_modeling",
        format="text",
        column="text",
        language="en",
        licence="research use",
        source="https://ai.stanford.edu/~amaas/data/sentiment/",
        splits={
            "train": imdb("unlabelled", "5f1a6b8613b01b59196fda2663b354a9403306cbd91d3a545ac5b9d3fd025f1b"),
            "dev": imdb("dev", "8efebf55b737a2bfedc0c2c970dc00a840277b272362a8f432cd9281e57af573"),
            "test": imdb("test", "b15d147696b00ed5d9c63eb101e586399e71140ee0d399e8a014734b05709c36"),
        },
        # Of the labelled splits; a line of the others is a text.
        text_column=1,
        folder="imdb",
    ),
    Corpus(
        name="poems-zh",
        task="language_modeling",
        format="text",
        column="text",
        language="zh",
        licence="MIT",
        source="https://github.com/chinese-poetry/chinese-poetry",
        splits={
            "train": _poems("train", "cc0003ad43c4086edc37add11fe9da7c6cb5177a84f4c66ce4081cb0168b97ab"),
            "dev": _poems("dev", "0fbdb4e7082ad98f61a61d2193b9bf56d4eb5563c62305636dfc86bbdae8fbab"),
            "test": _poems("test", "12d29a34f7004e92c0e8683ef361161fb97b097f36e34e1a18a1afc0bd3c75b8"),
        },
    ),
    Corpus(
        name="20news-text",
        task="language_modeling",
        format="jsonl",
        column="text",
        language="en",
        licence="public",
        source="http://qwone.com/~jason/20Newsgroups/",
        splits={
            "train": newsgroups("train", "e723b4c6f87d707d20e06cb977bbc339c27b40919f95dd88e9653f414d183b1d"),
            "dev": newsgroups("dev", "1458b85dd08196e8c9b510495d3839e7af37ab3a80f504dbf15f6c30ef6bfa0a"),
            "test": newsgroups("test", "f45dbaddfc7d43a73357e68feb55cd3de4e6954bdde388152625f97692bb6400"),
        },
        folder="20news",
    ),
    Corpus(
        name="sample-text-en",
        task="language_modeling",
        format="text",
        column="text",
        language="en",
        licence="that of this package",
        source="written for this package",
        splits={split: SAMPLES / "text" / f"{split}.txt" for split in ("train", "dev", "test")},
    ),
)
