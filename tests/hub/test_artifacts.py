"""Models that are artifacts of W&B are fetched once for each version; a failed download leaves nothing.

W&B's servers speak a protocol of their own, so `wandb.Api` is replaced here. What it does without a server was tried by
hand: without a key, and with a server that does not answer, `from_pretrained` raises a ZooError that says so.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import wandb

import zoo
from zoo.errors import ZooError
from zoo.hub.sources import BUNDLED

NAME = "wandb:team/project/spam"


class Artifact:
    """What `wandb.Api().artifact` returns, for an artifact with the files of a folder."""

    def __init__(self, folder: Path, version: str):
        self.folder = folder
        self.version = version

    def download(self, root: str) -> str:
        shutil.copytree(self.folder, root)
        return root


@pytest.fixture
def published(monkeypatch, tmp_path) -> dict[str, Artifact | Exception]:
    """The artifacts by their full names; each is deleted when it is asked for, so that nothing is asked for twice."""
    found: dict[str, Artifact | Exception] = {}

    class Api:
        def artifact(self, name: str) -> Artifact:
            answer = found.pop(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(wandb, "Api", Api)
    return found


def load(alias: str, tmp_path: Path, **options: bool) -> object:
    return zoo.from_pretrained(f"{NAME}:{alias}", cache_dir=tmp_path, **options)


def test_a_version_is_fetched_once_and_an_alias_is_looked_up_each_time(published, tmp_path):
    full = NAME.removeprefix("wandb:")
    published[f"{full}:latest"] = Artifact(BUNDLED / "spam-en-sms", "v3")
    model = load("latest", tmp_path)
    assert model.predict(["WINNER!! Claim your prize now"])[0]["label"] == "spam"
    # The version is in the cache now, with and without the net.
    load("v3", tmp_path)
    load("v3", tmp_path, local_files_only=True)
    published[f"{full}:latest"] = Artifact(tmp_path / "is not downloaded again", "v3")
    load("latest", tmp_path)
    assert not published
    assert [path.name for path in (tmp_path / "wandb/team/project/spam").iterdir()] == ["v3"]


def test_an_alias_needs_the_net(published, tmp_path):
    with pytest.raises(ZooError, match=r"or name a version such as team/project/spam:v0"):
        load("latest", tmp_path, local_files_only=True)


@pytest.mark.parametrize(
    "error", [wandb.errors.CommError("no such artifact"), OSError("the connection is lost")], ids=["none", "lost"]
)
def test_what_wandb_answers_is_said(published, tmp_path, error):
    published["team/project/spam:v1"] = error
    with pytest.raises(ZooError, match=rf"wandb:team/project/spam:v1: expected to fetch this artifact, got: .*{error}"):
        load("v1", tmp_path)


def test_an_interrupted_download_leaves_nothing(published, tmp_path, monkeypatch):
    artifact = Artifact(BUNDLED / "spam-en-sms", "v1")

    def interrupted(root: str) -> str:
        Path(root).mkdir(parents=True)
        (Path(root) / "config.json").write_text("{")
        raise OSError("the connection is lost")

    monkeypatch.setattr(artifact, "download", interrupted)
    published["team/project/spam:v1"] = artifact
    with pytest.raises(ZooError, match="the connection is lost"):
        load("v1", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_artifact_whose_files_are_not_those_of_its_card_is_refused(published, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(BUNDLED / "spam-en-sms", damaged)
    weights = bytearray((damaged / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(weights)
    published["team/project/spam:v1"] = Artifact(damaged, "v1")
    with pytest.raises(ZooError, match="sha256"):
        load("v1", tmp_path / "cache")


@pytest.mark.parametrize(
    "name", ["spam:v1", "team/project/spam", "../../x:v1", "team/project/..:v1", "team/project/spam:.."]
)
def test_a_name_of_another_form_is_refused(name, tmp_path):
    with pytest.raises(ZooError, match="expected wandb:entity/project/artifact:alias"):
        zoo.from_pretrained(f"wandb:{name}", cache_dir=tmp_path)


def test_a_version_that_is_none_never_leaves_the_cache(published, tmp_path):
    published["team/project/spam:latest"] = Artifact(BUNDLED / "spam-en-sms", "../../../../x")
    with pytest.raises(ZooError, match="which is no v0, v1"):
        load("latest", tmp_path / "a/b/cache")
    assert not list(tmp_path.rglob("*.safetensors"))
