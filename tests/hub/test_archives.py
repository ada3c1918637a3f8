"""Models in archives are fetched once, compared with their sum, and unpacked under names of our own."""

from __future__ import annotations

import hashlib
import io
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

import zoo
from zoo.errors import ZooError
from zoo.hub import archives
from zoo.hub.sources import BUNDLED

MODEL = BUNDLED / "spam-en-sms"
FILES = {path.name: path.read_bytes() for path in MODEL.iterdir()}


class Publisher:
    """Publishes archives under https addresses, and counts what is asked for."""

    def __init__(self, url: str):
        self.url = url
        self.archives: dict[str, bytes] = {}
        self.requests = 0

    def publish(self, name: str, content: bytes) -> str:
        self.archives[f"/{name}"] = content
        return f"{self.url}/{name}#sha256={hashlib.sha256(content).hexdigest()}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def publisher(authority, tmp_path, monkeypatch) -> Iterator[Publisher]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.requests += 1
            content = publisher.archives.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    # Looks often whether it is to end, so that a test does not wait for it.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    publisher = Publisher(f"https://127.0.0.1:{server.server_port}")
    yield publisher
    server.shutdown()


def as_zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def as_tar(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    quick = {"preset": 0} if mode == "w:xz" else {"compresslevel": 1}
    with tarfile.open(fileobj=buffer, mode=mode, **quick) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [("m.zip", as_zip), ("m.tar.gz", as_tar), ("m.tar.xz", lambda files: as_tar(files, mode="w:xz"))],
)
@pytest.mark.parametrize("folder", ["", "spam/", "./a/b/"])
def test_an_archive_of_a_model_is_loaded_and_kept(publisher, tmp_path, name, pack, folder):
    address = publisher.publish(name, pack({folder + name: content for name, content in FILES.items()}))
    model = zoo.from_pretrained(address, cache_dir=tmp_path / "cache")
    assert model.predict(["See you at eight"]) == zoo.from_pretrained(MODEL).predict(["See you at eight"])
    publisher.archives.clear()
    zoo.from_pretrained(address, cache_dir=tmp_path / "cache", local_files_only=True)
    assert publisher.requests == 1
    (kept,) = (tmp_path / "cache").iterdir()
    assert {path.name for path in kept.iterdir()} == set(FILES)


def test_a_model_that_is_in_the_cache_is_fetched_again_where_asked(publisher, tmp_path):
    address = publisher.publish("m.zip", as_zip(FILES))
    zoo.from_pretrained(address, cache_dir=tmp_path / "cache")
    weights = next((tmp_path / "cache").rglob("model.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ZooError, match="its card expects sha256"):
        zoo.from_pretrained(address, cache_dir=tmp_path / "cache")
    zoo.from_pretrained(address, cache_dir=tmp_path / "cache", force_download=True)


def test_eight_threads_that_fetch_one_archive_end_in_one_copy(publisher, tmp_path):
    address = publisher.publish("m.zip", as_zip(FILES))
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: archives.fetch_archive(address, cache_dir=tmp_path / "cache"), range(8)))
    (folder,) = folders
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert list((tmp_path / "cache").iterdir()) == [folder]


@pytest.mark.parametrize(("replaces", "kept"), [(False, "first"), (True, "second")])
def test_a_folder_that_another_process_has_fetched_stays_unless_a_new_copy_is_asked_for(tmp_path, replaces, kept):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(name)
    archives.move_folder(tmp_path / "second", tmp_path / "first", replaces=replaces)
    assert (tmp_path / "first" / "card.json").read_text() == kept


def climbing(files: Mapping[str, bytes]) -> bytes:
    return as_tar({f"../../{name}": content for name, content in files.items()})


def linked(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in files:
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE
            member.linkname = "/etc/passwd"
            archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda files: as_zip({**files, "other/config.json": b"{}"}), "got two files config.json"),
        (lambda files: as_zip({name: files[name] for name in ("card.json", "codec.json")}), "config.json, model"),
        (linked, "config.json, codec.json, model.safetensors, card.json missing"),
        (lambda files: as_zip({**files, "config.json": b" " * 2_000_000}), "expected at most 1,000,000 bytes"),
        (lambda files: as_zip(files)[:-100], "expected to fetch a model"),
        (lambda files: as_tar(files)[:-100_000], "expected to fetch a model"),
        (lambda files: b"no archive", "expected to fetch a model"),
    ],
    ids=["twice", "missing", "links", "large", "short zip", "short tar", "other"],
)
def test_what_is_not_one_model_is_refused_and_leaves_nothing(
    publisher, tmp_path, make: Callable[[Mapping[str, bytes]], bytes], message
):
    address = publisher.publish("m", make(FILES))
    with pytest.raises(ZooError, match=message):
        zoo.from_pretrained(address, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_names_that_climb_out_of_the_folder_are_written_inside(publisher, tmp_path):
    address = publisher.publish("m.tar.gz", climbing(FILES))
    zoo.from_pretrained(address, cache_dir=tmp_path / "a" / "b" / "cache")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "authority.pem"}
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"cache"}


def test_an_archive_that_unpacks_to_too_much_is_refused(publisher, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 5_000_000)
    address = publisher.publish("m.zip", as_zip({**FILES, "model.safetensors": bytes(10_000_000)}))
    with pytest.raises(ZooError, match="model.safetensors: expected at most"):
        zoo.from_pretrained(address, cache_dir=tmp_path / "cache")


def test_another_archive_than_the_one_of_the_sum_is_refused(publisher, tmp_path):
    address = publisher.publish("m.zip", as_zip(FILES))
    publisher.archives["/m.zip"] += b"more"
    with pytest.raises(ZooError, match="expected an archive with sha256"):
        zoo.from_pretrained(address, cache_dir=tmp_path / "cache")


def test_an_address_needs_a_sum_and_a_file(publisher, tmp_path):
    with pytest.raises(ZooError, match=r"#sha256=SUM"):
        zoo.from_pretrained(f"{publisher.url}/m.zip")
    with pytest.raises(ZooError, match="expected a copy in"):
        zoo.from_pretrained(f"{publisher.url}/m.zip#sha256={'0' * 64}", cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(ZooError, match="404"):
        zoo.from_pretrained(f"{publisher.url}/m.zip#sha256={'0' * 64}", cache_dir=tmp_path)
