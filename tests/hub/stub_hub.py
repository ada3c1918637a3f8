"""A server on the loopback address that answers as the Hugging Face hub does, with repositories in memory.

It knows what a push and a load ask: create, branch, preupload, the LFS batch with its upload, commit, tree and resolve.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Files of at least this size are large: their sums are sha256.
LARGE = 1000


class Repositories:
    """The commits of each repository: files by path, and the commits that branches name.

    Attributes:
        damaged: the names of files that are served with their last byte changed, as if damaged on the way.
        requests: all requests so far.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.uploads: dict[str, bytes] = {}
        self.damaged: set[str] = set()
        self.requests: list[str] = []

    def create(self, repo: str) -> None:
        if repo not in self.commits:
            self.commits[repo] = {"0" * 40: {}}
            self.branches[repo] = {"main": "0" * 40}

    def resolve(self, repo: str, revision: str) -> str | None:
        known = self.branches.get(repo, {})
        if revision in known:
            return known[revision]
        return revision if revision in self.commits.get(repo, {}) else None

    def commit(self, repo: str, branch: str, changes: dict[str, bytes]) -> str:
        files = {**self.commits[repo][self.branches[repo][branch]], **changes}
        content = json.dumps({path: sha256(value) for path, value in sorted(files.items())})
        sha = hashlib.sha1(content.encode()).hexdigest()
        self.commits[repo][sha] = files
        self.branches[repo][branch] = sha
        return sha


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = Repositories()

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, value: Any, status: int = 200, **headers: str) -> None:
        self.send(json.dumps(value).encode(), status, **headers)

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, code: str) -> None:
        self.answer({"error": code}, 404, X_Error_Code=code)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.state.requests.append(f"{self.command} {self.path}")
        path = self.path.split("?")[0].strip("/")
        parts = path.split("/")
        if parts[:2] == ["api", "models"]:
            self.describe("/".join(parts[2:4]), parts[4:])
        elif len(parts) > 4 and parts[2] == "resolve":
            self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.missing("RepoNotFound")

    def describe(self, repo: str, rest: list[str]) -> None:
        if repo not in self.state.commits:
            return self.missing("RepoNotFound")
        sha = self.state.resolve(repo, rest[1] if len(rest) > 1 else "main")
        if sha is None:
            return self.missing("RevisionNotFound")
        files = self.state.commits[repo][sha]
        if rest[:1] == ["tree"]:
            return self.answer([entry(name, content) for name, content in files.items()])
        siblings = [{"rfilename": name} for name in files]
        return self.answer({"id": repo, "modelId": repo, "sha": sha, "siblings": siblings, "private": False})

    def resolve(self, repo: str, revision: str, name: str) -> None:
        sha = self.state.resolve(repo, revision)
        if repo not in self.state.commits:
            return self.missing("RepoNotFound")
        if sha is None:
            return self.missing("RevisionNotFound")
        files = self.state.commits[repo][sha]
        if name not in files:
            return self.missing("EntryNotFound")
        content = files[name]
        large = len(content) >= LARGE
        tag = sha256(content) if large else git_sha1(content)
        headers = {"ETag": f'"{tag}"', "X_Repo_Commit": sha, "X_Linked_Size": str(len(content))}
        if large:
            headers["X_Linked_Etag"] = f'"{tag}"'
        if name in self.state.damaged and self.command == "GET":
            content = content[:-1] + bytes([content[-1] ^ 1])
        return self.send(content, **headers)

    def do_POST(self) -> None:
        self.state.requests.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        raw = self.body()
        if parts[-2:] == ["repos", "create"]:
            request = json.loads(raw)
            repo = f"{request.get('organization') or 'user'}/{request['name']}"
            self.state.create(repo)
            return self.answer({"url": f"http://{self.headers['Host']}/{repo}", "id": repo, "name": repo})
        if parts[-1] == "validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        repo = "/".join(parts[2:4])
        if len(parts) > 4 and parts[4] == "branch":
            self.state.branches[repo].setdefault(parts[5], self.state.branches[repo]["main"])
            return self.answer({})
        if len(parts) > 4 and parts[4] == "preupload":
            files = json.loads(raw)["files"]
            return self.answer({"files": [upload_mode(file) for file in files]})
        if parts[-1] == "batch":
            return self.answer({"transfer": "basic", "objects": [self.upload(o) for o in json.loads(raw)["objects"]]})
        if len(parts) > 4 and parts[4] == "commit":
            return self.commit(repo, parts[5], raw)
        return self.answer({})

    def upload(self, item: dict[str, Any]) -> dict[str, Any]:
        href = f"http://{self.headers['Host']}/upload/{item['oid']}"
        return {"oid": item["oid"], "size": item["size"], "actions": {"upload": {"href": href}}}

    def do_PUT(self) -> None:
        self.state.uploads[self.path.rpartition("/")[2]] = self.body()
        self.answer({})

    def commit(self, repo: str, branch: str, raw: bytes) -> None:
        changes = {}
        for line in raw.decode().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                changes[value["path"]] = self.state.uploads[value["oid"]]
        sha = self.state.commit(repo, branch, changes)
        url = f"http://{self.headers['Host']}/{repo}/commit/{sha}"
        pull_request = f"http://{self.headers['Host']}/{repo}/discussions/1" if "create_pr=1" in self.path else None
        self.answer({"success": True, "commitOid": sha, "commitUrl": url, "pullRequestUrl": pull_request})


def entry(name: str, content: bytes) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": git_sha1(content)}
    if len(content) >= LARGE:
        described["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
    return described


def upload_mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["size"] >= LARGE else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


def serve() -> ThreadingHTTPServer:
    """Serves empty repositories on a free port of the loopback address, in a thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
