"""Corpora of pairs of texts."""

from __future__ import annotations

from functools import partial

from datamodules.catalog.origins import SAMPLES, github
from datamodules.corpus import Corpus, RemoteFile
from datamodules.preparation import acl_titles_split, csl_split


def _multi30k(split: str, published_name: str, sha256_en: str, sha256_de: str) -> dict[str, RemoteFile]:
    commit = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"
    path = f"data/task1/raw/{published_name}"
    return {
        f"{split}/en": github("multi30k/dataset", commit, f"{path}.en.gz", sha256=sha256_en),
        f"{split}/de": github("multi30k/dataset", commit, f"{path}.de.gz", sha256=sha256_de),
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


CORPORA = (
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
)
