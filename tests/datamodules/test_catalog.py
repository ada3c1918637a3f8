"""The catalog: a corpus is found, or downloaded completely, or leaves no file behind."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import socket
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

from datamodules import download, preparation
from datamodules.catalog import CATALOG
from datamodules.corpus import Corpus, RemoteFile
from datamodules.download import default_root, locate
from datamodules.errors import DataError
from datamodules.readers.conllu import read_conllu
from datamodules.readers.tagged_files import read_tagged

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's folders")
BODY = os.urandom(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unmeasured":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:200_000])
        if self.path != "/cut":
            self.server.at_half()
            self.wfile.write(BODY[200_000:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine. It calls its `at_half` after half of each file."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.at_half = [], lambda: None
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def toy(monkeypatch):
    """Adds the corpus `toy` to the catalog. It has one file, at a path of the web server."""

    def enter(port: int, path: str = "/file", sha256: str = SHA256) -> None:
        files = {"train": RemoteFile(f"http://127.0.0.1:{port}{path}", sha256, file_name="train.conllu")}
        corpus = Corpus("toy", "tagging", "conllu", "upos", "en", "none", "here", files)
        monkeypatch.setitem(CATALOG, "toy", corpus)

    return enter


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -------------------------------------------------------------------------------------------- download


@pytest.mark.parametrize("path", ["/file", "/unmeasured"])
def test_a_download_leaves_the_file_and_nothing_else(server, toy, tmp_path, path, capfd, monkeypatch):
    toy(server.server_port, path)
    assert locate("toy", tmp_path / "new" / "place") == {"train": tmp_path / "new/place/toy/train.conllu"}
    assert files_below(tmp_path) == ["new/place/toy/train.conllu"]
    assert (tmp_path / "new/place/toy/train.conllu").read_bytes() == BODY
    assert capfd.readouterr() == ("", "")  # no progress bar in a log file
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    locate("toy", "~/new/place")
    assert server.requests == [path]  # the second time the file exists


def test_an_existing_file_needs_no_network(server, toy, tmp_path, monkeypatch):
    toy(server.server_port)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/train.conllu").write_text("mine")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert locate("toy")["train"].read_text() == "mine"
    assert server.requests == []


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_sees_progress(server, toy, tmp_path, monkeypatch):
    reader, writer = os.openpty()
    toy(server.server_port)
    monkeypatch.setenv("TERM", "xterm")
    shown = b""
    with open(reader, "rb", buffering=0) as screen:
        with open(writer, "w") as terminal, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            locate("toy", tmp_path)
        with suppress(OSError):  # Linux raises it at the end of a terminal
            while block := screen.read(100_000):
                shown += block
    assert b"300.0/300.0 kB" in shown


@pytest.mark.parametrize("path", ["/file", "/cut"])
def test_a_wrong_sum_shows_both_and_leaves_nothing(server, toy, tmp_path, path):
    expected, body = ("0" * 64, BODY) if path == "/file" else (SHA256, BODY[:200_000])
    toy(server.server_port, path, expected)
    with pytest.raises(DataError) as error:
        locate("toy", tmp_path)
    for part in (f":{server.server_port}{path}", expected, f"{len(body):,} bytes"):
        assert part in str(error.value)
    assert hashlib.sha256(body).hexdigest() in str(error.value)
    assert files_below(tmp_path) == []


def test_a_converted_file_is_compared_and_kept(server, monkeypatch, tmp_path):
    files = {
        "train": RemoteFile(f"http://127.0.0.1:{server.server_port}/file", SHA256, "train.tsv", convert=bytes.swapcase)
    }
    monkeypatch.setitem(CATALOG, "toy", Corpus("toy", "classification", "tsv", 0, "en", "none", "here", files))
    with pytest.raises(DataError, match=f"expected a file with sha256 {SHA256}"):
        locate("toy", tmp_path)
    assert files_below(tmp_path) == []
    made = replace(files["train"], sha256=hashlib.sha256(BODY.swapcase()).hexdigest())
    monkeypatch.setitem(files, "train", made)
    assert locate("toy", tmp_path)["train"].read_bytes() == BODY.swapcase()
    assert files_below(tmp_path) == ["toy/train.tsv"]
    cut = replace(made, convert=lambda content: bytes.fromhex("no archive"))
    monkeypatch.setitem(files, "train", cut)
    with pytest.raises(DataError, match="The download is incomplete or was changed"):
        locate("toy", tmp_path / "again")


@pytest.mark.parametrize("path, got", [("/file", "300,000"), ("/unmeasured", "more")])
def test_a_download_that_is_too_large_stops(server, toy, tmp_path, monkeypatch, path, got):
    monkeypatch.setattr(download, "MAX_DOWNLOAD", 100_000)
    toy(server.server_port, path)
    with pytest.raises(DataError, match=f"{path}: expected at most 100,000 bytes, got {got}"):
        locate("toy", tmp_path)
    assert files_below(tmp_path) == []


def test_the_error_for_an_entry_without_sums_shows_the_lines_to_enter(server, monkeypatch, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}"
    files = {
        "train": RemoteFile(f"{url}/one", sha256=None, file_name="train.tsv"),
        "dev": RemoteFile(f"{url}/two", sha256=None, file_name="dev.tsv", convert=bytes.swapcase),
    }
    monkeypatch.setitem(CATALOG, "toy", Corpus("toy", "classification", "tsv", 0, "en", "none", "here", files))
    sums = {"train": SHA256, "dev": hashlib.sha256(BODY.swapcase()).hexdigest()}
    for _ in range(2):
        with pytest.raises(DataError, match="toy: expected a sha256 for each file in datamodules/catalog") as error:
            locate("toy", tmp_path)
        for split, sha256 in sums.items():
            assert f'    {split}: sha256="{sha256}"  # {tmp_path / "toy" / split}.tsv' in str(error.value).split("\n")
    assert server.requests == ["/one", "/two"]  # the second time both files exist
    for split, sha256 in sums.items():
        monkeypatch.setitem(files, split, replace(files[split], sha256=sha256))
    assert sorted(locate("toy", tmp_path)) == ["dev", "train"]


def test_the_author_of_an_entry_sees_why_a_conversion_fails(server, monkeypatch, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}/file"
    files = {"train": RemoteFile(url, sha256=None, file_name="train.tsv", convert=lambda content: bytes.fromhex("no"))}
    monkeypatch.setitem(CATALOG, "toy", Corpus("toy", "classification", "tsv", 0, "en", "none", "here", files))
    with pytest.raises(ValueError, match="non-hexadecimal"):
        locate("toy", tmp_path)
    assert files_below(tmp_path) == []


def test_an_archive_that_is_too_large_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(preparation, "MAX_UNPACKED", 1000)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("a.csv", "cat,label,review\n" + "a" * 5000)
    with pytest.raises(DataError, match="at most 1,000 bytes unpacked, got 5,0"):
        preparation.shopping_split(bomb.getvalue(), "train")
    bomb = io.BytesIO()
    with tarfile.open(fileobj=bomb, mode="w:gz") as files:
        entry = tarfile.TarInfo("top/a")
        entry.size = 5000
        files.addfile(entry, io.BytesIO(bytes(5000)))
    with pytest.raises(DataError, match="at most 1,000 bytes unpacked, got 5,000"):
        preparation.acl_titles_split(bomb.getvalue(), "train")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("trouble", ["absent", "refused", "silent"])
def test_a_failed_download_says_what_to_do_by_hand(server, toy, tmp_path, monkeypatch, trouble):
    proceed = threading.Event()
    server.at_half = lambda: proceed.wait(10)
    monkeypatch.setattr("zoo.download.TIMEOUT", 0.2)
    port = closed_port() if trouble == "refused" else server.server_port
    toy(port, f"/{trouble}")
    with pytest.raises(DataError) as error:
        locate("toy", tmp_path)
    proceed.set()
    reason = {"absent": "404", "refused": os.strerror(errno.ECONNREFUSED), "silent": "timed out"}[trouble]
    address = f"http://127.0.0.1:{port}/{trouble}"
    for part in (address, str(tmp_path / "toy/train.conllu"), "ZOO_DATA", reason):
        assert part in str(error.value)
    assert "toy/train.conllu" in str(error.value).split("ZOO_DATA")[1]
    assert files_below(tmp_path) == []


def test_a_root_that_is_not_a_folder_is_explained(server, toy, tmp_path):
    toy(server.server_port)
    (tmp_path / "root").write_text("a file")
    with pytest.raises(DataError, match="ZOO_DATA"):
        locate("toy", tmp_path / "root")


def test_two_processes_may_download_the_same_file(server, toy, tmp_path):
    both = threading.Barrier(2, timeout=10)
    server.at_half = both.wait  # neither download ends before the other is half done
    toy(server.server_port)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: locate("toy", tmp_path), range(2)))
    assert found == [{"train": tmp_path / "toy/train.conllu"}] * 2
    assert server.requests == ["/file"] * 2
    assert files_below(tmp_path) == ["toy/train.conllu"]
    assert found[0]["train"].read_bytes() == BODY


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt here, even where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupted_download_leaves_nothing(server, toy, tmp_path, interruptible):
    seen = []

    def interrupt() -> None:
        while not files_below(tmp_path):
            pass
        seen.extend(files_below(tmp_path))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    server.at_half = interrupt
    toy(server.server_port)

    def locate_and_wait() -> None:
        locate("toy", tmp_path)
        # The signal may come late.
        threading.Event().wait(5)

    with pytest.raises(KeyboardInterrupt):
        locate_and_wait()
    assert files_below(tmp_path) == []
    assert len(seen) == 1
    assert not seen[0].endswith(".conllu")  # no reader takes an incomplete file for the corpus


# ------------------------------------------------------------------------------------------- the names


def test_an_unknown_name_lists_the_known_ones_the_closest_first():
    with pytest.raises(DataError) as error:
        locate("ud-en-etw")
    message = str(error.value)
    assert all(name in message for name in CATALOG)
    assert "one of ud-en-ewt, " in message
    assert "Did you mean ud-en-ewt?" in message
    assert "--data.train FILE --data.dev FILE --data.test FILE" in message
    with pytest.raises(DataError) as error:
        locate("resume")
    assert "one of resume-ner-zh, " in str(error.value)
    with pytest.raises(DataError, match=r"Did you mean sample-reviews-en or sample-reviews-zh\?"):
        locate("sample-reviews")
    with pytest.raises(DataError) as error:
        locate("????")
    assert "Did you mean" not in str(error.value)


@pytest.fixture
def no_folders_named(monkeypatch):
    """No environment variable names a folder for corpora or caches."""
    for name in ("ZOO_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)


def test_corpora_are_in_the_cache_folder_unless_zoo_data_names_another(no_folders_named, monkeypatch, tmp_path):
    assert default_root() == platformdirs.user_cache_path() / "lstm-zoo"
    monkeypatch.setenv("ZOO_DATA", "")
    assert default_root() == platformdirs.user_cache_path() / "lstm-zoo"
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    assert default_root() == tmp_path / "data"


@linux
def test_the_cache_folder_on_linux(no_folders_named, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache/lstm-zoo"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_root() == tmp_path / "xdg/lstm-zoo"


@linux
def test_a_user_without_a_home_can_use_the_samples_and_is_told_about_zoo_data(no_folders_named, monkeypatch, tmp_path):
    monkeypatch.delenv("HOME", raising=False)
    # No user has this id, as in many containers.
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(RuntimeError):
        Path.home()
    for name, corpus in CATALOG.items():
        if all(isinstance(origin, Path) for origin in corpus.splits.values()):
            assert all(path.is_file() for path in locate(name).values())
    for root in (None, "~/corpora"):
        with pytest.raises(DataError, match="this user has no home folder: set ZOO_DATA to a folder"):
            locate("ud-en-ewt", root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "lstm-zoo"


@pytest.mark.parametrize("name", CATALOG)
def test_entries_are_complete(name):
    corpus = CATALOG[name]
    assert corpus.name == name
    assert list(dict.fromkeys(split.partition("/")[0] for split in corpus.splits)) == ["train", "dev", "test"]
    remote = [origin for origin in corpus.splits.values() if isinstance(origin, RemoteFile)]
    assert len({file.sha256 for file in remote}) == len({file.file_name for file in remote}) == len(remote)
    for file in remote:
        assert file.url.startswith("https://")
        assert file.convert is not None or file.url.endswith(f"/{file.file_name}")
        assert len(bytes.fromhex(file.sha256)) == 32


# ----------------------------------------------------------------------------------------- the corpora


def test_the_bundled_corpus_is_complete():
    for path in locate("sample-en").values():
        tagged, named = list(read_conllu(path, CATALOG["sample-en"].column)), list(read_conllu(path, "misc:NER"))
        assert [sentence.tokens for sentence in tagged] == [sentence.tokens for sentence in named]
        assert {tag[:2] for sentence in named for tag in sentence.tags} == {"B-", "I-", "O"}


@pytest.mark.parametrize(
    ("name", "sentences", "words", "tags"),
    [
        ("ud-en-ewt", [12_544, 2_001, 2_077], [204_577, 25_147, 25_094], 17),
        ("resume-ner-zh", [3_821, 463, 477], [124_099, 13_890, 15_100], 28),
    ],
)
def test_the_real_corpora(name, sentences, words, tags):
    corpus, root = CATALOG[name], os.environ.get("ZOO_DATA")
    paths = {split: Path(root or "", name, origin.file_name) for split, origin in corpus.splits.items()}
    if not (root and Path(root, name).is_dir()):
        pytest.skip(f"set ZOO_DATA to a folder that has {name}")
    assert all(path.is_file() for path in paths.values())
    assert locate(name) == paths
    examples = {
        split: list(read_tagged(path, str(corpus.column), format=corpus.format)) for split, path in paths.items()
    }
    assert [len(examples[split]) for split in examples] == sentences
    assert [sum(len(sentence.tokens) for sentence in split) for split in examples.values()] == words
    assert len({tag for sentence in examples["train"] for tag in sentence.tags}) == tags
    for split, path in paths.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == corpus.splits[split].sha256
