"""Corpora of tagged sentences."""

from __future__ import annotations

from datamodules.catalog.origins import SAMPLES, github
from datamodules.corpus import Corpus, RemoteFile


def _ewt(split: str, sha256: str) -> RemoteFile:
    commit = "15d613d8447b3478787d4c278730a1e48a945efb"
    return github("UniversalDependencies/UD_English-EWT", commit, f"en_ewt-ud-{split}.conllu", sha256=sha256)


def _resume(split: str, sha256: str) -> RemoteFile:
    commit = "24d17f4270f11d2f75046789d8b67eaa2b907dce"
    return github("jiesutd/LatticeLSTM", commit, f"ResumeNER/{split}.char.bmes", sha256=sha256)


def _conll03(published_name: str, sha256: str) -> RemoteFile:
    commit = "c0ea07c81ec3512b5047dcd804b0ac2b10a3bdfc"
    return github("synalp/NER", commit, f"corpus/CoNLL-2003/{published_name}", sha256=sha256)


def _sample_tags(name: str, column: str, scheme: str | None) -> Corpus:
    return Corpus(
        name=name,
        task="tagging",
        format="conllu",
        column=column,
        scheme=scheme,
        language="en",
        licence="that of this package",
        source="written for this package",
        splits={split: SAMPLES / "en" / f"{split}.conllu" for split in ("train", "dev", "test")},
    )


CORPORA = (
    Corpus(
        name="ud-en-ewt",
        task="tagging",
        format="conllu",
        column="upos",
        language="en",
        licence="CC BY-SA 4.0",
        source="https://github.com/UniversalDependencies/UD_English-EWT",
        splits={
            "train": _ewt("train", "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b"),
            "dev": _ewt("dev", "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6"),
            "test": _ewt("test", "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd"),
        },
    ),
    Corpus(
        name="resume-ner-zh",
        task="tagging",
        format="columns",
        column=-1,
        scheme="BMES",
        language="zh",
        licence="Apache-2.0 (repository)",
        source="https://github.com/jiesutd/LatticeLSTM",
        splits={
            "train": _resume("train", "93b9bb0be5dd4730121587f9dc1378de3fbbe55cba1c575edec271f822c27be7"),
            "dev": _resume("dev", "1b0d67153e6e8543e9444936ed1b107bd843078c282533898085e1a9aa293952"),
            "test": _resume("test", "c4a9f42622819a4b59f66e184d446ebfa89b2f1dbba06e11d70675e59fe7e79b"),
        },
    ),
    Corpus(
        name="conll03-en",
        task="tagging",
        format="columns",
        column=-1,
        scheme="IOB1",
        language="en",
        licence="research use (Reuters)",
        source="https://github.com/synalp/NER",
        splits={
            "train": _conll03("eng.train", "eac0822f501353f265383ddf1edb0dcd42a1b6eefd3e383d7074db98c38eb41c"),
            "dev": _conll03("eng.testa", "aedc4ccbd1ae9795feaa0e86fe72d195b0258abed9d705b630d1c889276fac1e"),
            "test": _conll03("eng.testb", "0632f32c090ef31c223135b7fee3187a7cf8e65c4015c7866bb7783428cdd9a6"),
        },
    ),
    _sample_tags("sample-en", column="upos", scheme=None),
    _sample_tags("sample-en-ner", column="misc:NER", scheme="BIO"),
)
