"""The way to the Hugging Face hub and back, against a server on the loopback address that answers as the hub does."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import pytest
from command_line import run_python
from stub_hub import Handler, Repositories

import zoo
from zoo.__main__ import answer
from zoo.errors import ZooError
from zoo.hub.sources import BUNDLED, local_folder
from zoo.hugging_face import FILES, fetch_folder, push_folder

MODEL = BUNDLED / "spam-en-sms"
TEXTS = ["Claim your free prize now!", "See you at eight"]
FETCH = """
import sys
from zoo.errors import ZooError
from zoo.hugging_face import fetch_folder
try:
    print(fetch_folder("user/spam", cache_dir=sys.argv[1]))
except ZooError as error:
    print("refused:", error)
"""


@pytest.fixture
def hub() -> Repositories:
    """The repositories of the stub, which are empty."""
    Handler.state = Repositories()
    return Handler.state


def same_files(folder: Path) -> bool:
    return all((folder / name).read_bytes() == (MODEL / name).read_bytes() for name in FILES)


def test_a_pushed_model_is_loaded_by_name_and_by_revision(hub, tmp_path):
    model = zoo.from_pretrained(MODEL)
    expected = model.predict(TEXTS)
    assert model.push_to_hub("user/spam").startswith(f"{os.environ['HF_ENDPOINT']}/user/spam/commit/")
    model.push_to_hub("user/spam", branch="half", dtype="float16")
    for source in ("user/spam", "hf:user/spam", "hf:user/spam@half"):
        assert zoo.from_pretrained(source, cache_dir=tmp_path).predict(TEXTS) == expected
    half = local_folder("user/spam", revision="half", cache_dir=tmp_path)
    whole = local_folder("user/spam", cache_dir=tmp_path)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    assert "pipeline_tag: text-classification" in (hub.commits["user/spam"][whole.name]["README.md"]).decode()


def test_a_pull_request_has_its_own_address(hub):
    assert zoo.from_pretrained(MODEL).push_to_hub("user/spam", create_pr=True).endswith("/user/spam/discussions/1")


def test_the_cache_is_read_before_the_hub_is_asked(hub, tmp_path):
    push_folder(MODEL, "user/spam")
    first = fetch_folder("user/spam", cache_dir=tmp_path)
    assert same_files(first)
    asked = len(hub.requests)
    assert fetch_folder("user/spam", cache_dir=tmp_path) == first
    assert fetch_folder("user/spam", cache_dir=tmp_path, local_files_only=True) == first
    assert len(hub.requests) == asked
    fetch_folder("user/spam", cache_dir=tmp_path, force_download=True)
    assert len(hub.requests) > asked


def test_without_a_network_the_cache_is_enough(hub, tmp_path):
    push_folder(MODEL, "user/spam")
    offline = {"HF_HUB_OFFLINE": "1"}
    assert "complete copy in the cache" in run_python("-c", FETCH, tmp_path, cwd=tmp_path, env=offline).stdout
    folder = fetch_folder("user/spam", cache_dir=tmp_path)
    for environment in (offline, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        assert run_python("-c", FETCH, tmp_path, cwd=tmp_path, env=environment).stdout == f"{folder}\n"


def test_what_is_missing_is_named(hub, tmp_path):
    with pytest.raises(ZooError, match="no folder user/spam, and on the Hugging Face hub: user/spam: .* no such model"):
        zoo.from_pretrained("user/spam", cache_dir=tmp_path)
    with pytest.raises(ZooError, match="complete copy in the cache"):
        zoo.from_pretrained("hf:user/spam", cache_dir=tmp_path, local_files_only=True)
    push_folder(MODEL, "user/spam")
    with pytest.raises(ZooError, match="user/spam@v9: the model has no such revision"):
        zoo.from_pretrained("user/spam@v9", cache_dir=tmp_path)
    with pytest.raises(ZooError, match="expected one revision, got v1 in user/spam@v1 and revision='v2'"):
        zoo.from_pretrained("user/spam@v1", revision="v2", cache_dir=tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "codec.json", "card.json"])
def test_a_file_that_is_damaged_on_the_way_is_refused(hub, tmp_path, name):
    push_folder(MODEL, "user/spam")
    hub.damaged = {name}
    with pytest.raises(ZooError, match=rf"user/spam: \S*{name} differs from the file on the hub.*force_download=True"):
        fetch_folder("user/spam", cache_dir=tmp_path)
    hub.damaged = set()
    assert same_files(fetch_folder("user/spam", cache_dir=tmp_path, force_download=True))


def test_a_file_that_is_damaged_in_the_cache_is_refused(hub, tmp_path):
    push_folder(MODEL, "user/spam")
    weights = fetch_folder("user/spam", cache_dir=tmp_path) / "model.safetensors"
    content = weights.read_bytes()
    weights.resolve().write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ZooError, match="model.safetensors differs from the file on the hub"):
        fetch_folder("user/spam", cache_dir=tmp_path)


def test_a_folder_that_was_changed_is_not_pushed(hub, tmp_path):
    folder = shutil.copytree(MODEL, tmp_path / "spam")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ZooError, match="its card expects sha256"):
        answer(["push", str(folder), "user/spam"])
    assert "user/spam" not in hub.commits


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")
def test_eight_processes_that_fetch_one_model_end_in_one_copy(hub, tmp_path):
    push_folder(MODEL, "user/spam")
    context = multiprocessing.get_context("fork")
    together, folders = context.Barrier(8), context.SimpleQueue()

    def fetch() -> None:
        together.wait(timeout=60)
        folders.put(fetch_folder("user/spam", cache_dir=tmp_path))

    processes = [context.Process(target=fetch) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    (folder,) = {folders.get() for _ in processes}
    assert same_files(folder)
    assert not list(tmp_path.rglob("*.incomplete"))
