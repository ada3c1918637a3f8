"""The named corpora: where their files come from, and what a recipe needs to train on them.

`datamodules.download.locate` finds or downloads the files. To add a corpus, write an entry with `sha256=None` and call
`locate`: the error has the sums to enter.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from datamodules.corpus import Corpus, RemoteFile
from datamodules.preparation import acl_titles_split, csl_split, shopping_split, sms_spam_split

SAMPLES = Path(__file__).parent / "samples"
POLARITY = {"0": "negative", "1": "positive"}


def _github(repository: str, commit: str, path: str, sha256: str | None) -> RemoteFile:
    """A file of a repository on GitHub at a pinned commit."""
    url = f"https://raw.githubusercontent.com/{repository}/{commit}/{path}"
    return RemoteFile(url, sha256, file_name=path.rpartition("/")[2])


def _ewt(split: str, sha256: str) -> RemoteFile:
    commit = "15d613d8447b3478787d4c278730a1e48a945efb"
    return _github("UniversalDependencies/UD_English-EWT", commit, f"en_ewt-ud-{split}.conllu", sha256=sha256)


def _resume(split: str, sha256: str) -> RemoteFile:
    commit = "24d17f4270f11d2f75046789d8b67eaa2b907dce"
    return _github("jiesutd/LatticeLSTM", commit, f"ResumeNER/{split}.char.bmes", sha256=sha256)


def _sst2(split: str, sha256: str) -> RemoteFile:
    commit = "457ffd83de90a9d6d472d8ffc31bbffe40a8b236"
    return _github("clairett/pytorch-sentiment-classification", commit, f"data/SST2/{split}.tsv", sha256=sha256)


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


def _multi30k(split: str, published_name: str, sha256_en: str, sha256_de: str) -> dict[str, RemoteFile]:
    commit = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"
    path = f"data/task1/raw/{published_name}"
    return {
        f"{split}/en": _github("multi30k/dataset", commit, f"{path}.en.gz", sha256=sha256_en),
        f"{split}/de": _github("multi30k/dataset", commit, f"{path}.de.gz", sha256=sha256_de),
    }


def _csl(split: str, sha256_title: str, sha256_keywords: str) -> dict[str, RemoteFile]:
    return {
        f"{split}/title": _csl_target("title", split, published_task="ts", sha256=sha256_title),
        f"{split}/keywords": _csl_target("keywords", split, published_task="kg", sha256=sha256_keywords),
    }


def _csl_target(target: str, split: str, *, published_task: str, sha256: str) -> RemoteFile:
    root = "https://raw.githubusercontent.com/ydli-ai/CSL/0f1ac0626d584cd3c72f8be26d329eb4f967cfd0/benchmark"
    return RemoteFile(
        f"{root}/{published_task}/dev.tsv",
        sha256,
        file_name=f"{target}-{split}.tsv",
        convert=partial(csl_split, split=split),
        appended_urls=(f"{root}/{published_task}/test.tsv",),
    )


def _acl_titles(split: str, sha256: str) -> RemoteFile:
    commit = "78e27d88f74d2249cacdc98a8553a17ca1347129"
    url = f"https://codeload.github.com/mstelling/acl-anthology/tar.gz/{commit}"
    return RemoteFile(url, sha256, file_name=f"{split}.jsonl", convert=partial(acl_titles_split, split=split))


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


_CORPORA = (
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
        name="multi30k",
        task="seq2seq",
        format="parallel",
        column="de",
        language="de",
        licence="research use",
        source="https://github.com/multi30k/dataset",
        splits={
            **_multi30k(
                "train",
                "train",
                "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
                "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
            ),
            **_multi30k(
                "dev",
                "val",
                "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
                "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
            ),
            **_multi30k(
                "test",
                "test_2016_flickr",
                "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
                "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
            ),
        },
        text_column="en",
    ),
    Corpus(
        name="acl-titles",
        task="seq2seq",
        format="jsonl",
        column="title",
        language="en",
        licence="CC BY 4.0",
        source="https://aclanthology.org",
        splits={
            "train": _acl_titles("train", "8014eca93e5a9a6e495c1e19d75e71150ce08483003ccf281aa97182aa4e20bf"),
            "dev": _acl_titles("dev", "65602405faecd7dd4c77867222edef967967521f6d9c04dfcca373aa72973184"),
            "test": _acl_titles("test", "d878fcbea6c52dea2313a89d988aab0647ab5853707411fbfbf8823df907f515"),
        },
        text_column="abstract",
    ),
    Corpus(
        name="csl-zh",
        task="seq2seq",
        format="tsv",
        column="title",
        language="zh",
        licence="Apache-2.0",
        source="https://github.com/ydli-ai/CSL",
        splits={
            **_csl(
                "train",
                "4554ad2058f0e6b5c3d5b675d152238db28b3289813658e967419a433b16aee4",
                "9092ea6e33fcb9c9c562c90c9dfb833bc148dfe417990800599498c39552526d",
            ),
            **_csl(
                "dev",
                "9722ef6debdddcdab57b7df05fb807322e2feb943308f8b33c3ba3d52475d6b7",
                "f9546fb29f0c20dd35986de0f6bc097043d8b10d4ae65dd5c69e510a3c9d782f",
            ),
            **_csl(
                "test",
                "9a76d0556ec02a572914a15d49d2ffdc642f34bac779174f7aab90684844320d",
                "662134a815a755bce6b4aba553aa077934a1092d10290570bcb4dc81fce4bb2c",
            ),
        },
        text_column="abstract",
    ),
    Corpus(
        name="sample-headlines",
        task="seq2seq",
        format="tsv",
        column="headline",
        language="en",
        licence="that of this package",
        source="written for this package",
        splits={split: SAMPLES / "seq2seq" / f"headlines-{split}.tsv" for split in ("train", "dev", "test")},
        text_column="text",
    ),
    Corpus(
        name="sample-phrases",
        task="seq2seq",
        format="parallel",
        column="de",
        language="de",
        licence="that of this package",
        source="written for this package",
        splits={
            f"{split}/{language}": SAMPLES / "seq2seq" / f"phrases-{split}.{language}"
            for split in ("train", "dev", "test")
            for language in ("en", "de")
        },
        text_column="en",
    ),
    _sample_tags("sample-en", column="upos", scheme=None),
    _sample_tags("sample-en-ner", column="misc:NER", scheme="BIO"),
    _sample_texts("sample-reviews-en", "en"),
    _sample_texts("sample-reviews-zh", "zh", language="zh"),
    _sample_texts("sample-spam", "spam"),
    _sample_texts("sample-topics", "topic"),
)
CATALOG: dict[str, Corpus] = {corpus.name: corpus for corpus in _CORPORA}
