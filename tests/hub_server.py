"""A hub of models on this machine, with the addresses that huggingface_hub calls: to fetch, to search and to send.

Two servers, as the real one has: the hub itself, and a store on another address that large files are fetched from and
sent to. Both write down what they were asked, and can be told to break off, to refuse or to be out of order.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

LARGE = 10_000
"""Bytes from which on a file lies in the store."""

TOKEN = "hf_secretTokenOfTheTests0123456789"


@dataclass
class Repository:
    """The files of a model, and who may have them."""

    files: dict[str, bytes]
    private: bool = False
    gated: bool = False
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        """The one commit that there is, named by what it holds."""
        parts = [f"{name}\0".encode() + content for name, content in sorted(self.files.items())]
        return hashlib.sha1(b"\0".join(parts)).hexdigest()


@dataclass(frozen=True)
class Asked:
    """A request."""

    server: str
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Hub:
    """What lies on the hub, how it misbehaves, and what it was asked."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    store: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    status: int | None = None
    breaks: list[int] = field(default_factory=list)
    damaged: bool = False
    address: str = ""
    store_address: str = ""

    def add(self, name: str, files: dict[str, bytes], **settings: bool) -> Repository:
        """Put a model on the hub."""
        found = self.repositories[name] = Repository(dict(files), **settings)
        for content in files.values():
            if len(content) >= LARGE:
                self.store[hashlib.sha256(content).hexdigest()] = content
        return found

    def paths(self, method: str, server: str = "hub") -> list[str]:
        """Return what was asked for by a method."""
        return [asked.path for asked in self.asked if (asked.method, asked.server) == (method, server)]


def git_digest(content: bytes) -> str:
    """Return the name that git gives to a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """What both servers share."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    name = "hub"

    def log_message(self, *arguments: object) -> None:
        """Write nothing."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def say(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def body(self) -> bytes:
        """Read what was sent."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def note(self) -> str:
        """Write a request down; return its path."""
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(Asked(self.name, self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        return path

    def send_part(self, content: bytes, headers: dict[str, str]) -> None:
        """Send a file from the byte on that was asked for; where it shall break off, less of it."""
        begin = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        status = 200
        if wanted:
            begin, status = int(wanted[1]), 206
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        rest = content[begin:]
        if self.hub.damaged:
            rest = rest[:-1] + bytes([rest[-1] ^ 1])
        if self.command == "GET" and self.hub.breaks:
            shorter = rest[: self.hub.breaks.pop(0)]
            self.send_response(status)
            for key, value in {"Content-Length": str(len(rest)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(shorter)
            self.close_connection = True
            return
        self.answer(status, rest, headers)


class Store(Handler):
    """Large files by their SHA-256."""

    name = "store"

    def do_GET(self) -> None:
        """Send one."""
        digest = self.note().rpartition("/")[2]
        content = self.hub.store[digest]
        files = (file for found in self.hub.repositories.values() for file in found.files.items())
        name = next((name for name, its in files if its == content), digest)
        self.send_part(content, {"ETag": f'"{digest}"', "Content-Disposition": f'inline; filename="{name}";'})

    def do_HEAD(self) -> None:
        """Send what comes before a file."""
        self.do_GET()

    def do_PUT(self) -> None:
        """Take one."""
        digest = self.note().rpartition("/")[2]
        content = self.body()
        if hashlib.sha256(content).hexdigest() != digest:
            self.answer(400)
            return
        self.hub.store[digest] = content
        self.answer(200, headers={"ETag": f'"{digest}"'})


class Front(Handler):
    """The hub itself."""

    def refuse(self, status: int, code: str, text: str) -> None:
        """Say no, as the hub does."""
        body = json.dumps({"error": text}).encode()
        self.answer(status, body, {"X-Error-Code": code, "X-Error-Message": text, "Content-Type": "application/json"})

    @property
    def signed(self) -> bool:
        """Whether the request has the token."""
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def may_have(self, name: str) -> Repository | None:
        """Return a repository, or say no."""
        found = self.hub.repositories.get(name)
        if self.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif found is None or (found.private and not self.signed):
            self.refuse(404 if self.signed else 401, "RepoNotFound", "Repository not found")
        elif found.gated:
            self.refuse(403, "GatedRepo", f"Access to model {name} is restricted")
        else:
            return found
        return None

    def out_of_order(self) -> bool:
        """Whether it is, and the request was answered so."""
        if self.hub.status is not None:
            self.answer(self.hub.status)
        return self.hub.status is not None

    def do_GET(self) -> None:
        """Files, and what there is."""
        path = self.note()
        if self.out_of_order():
            return
        if path == "/api/models":
            self.search()
        elif path.startswith("/api/models/"):
            self.describe(path.removeprefix("/api/models/"))
        else:
            self.resolve(path)

    def do_HEAD(self) -> None:
        """Send what comes before a file."""
        self.do_GET()

    def search(self) -> None:
        """List the models with a name, or of an owner."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        word, owner = query.get("search", ""), query.get("author")
        names = [
            name
            for name, found in self.hub.repositories.items()
            if not found.private and word in name and owner in (None, name.split("/")[0])
        ]
        self.say([{"_id": name, "id": name, "modelId": name} for name in names])

    def describe(self, name: str) -> None:
        """Describe a model: its commit and files."""
        name = re.split("/revision/|/tree/", name)[0]
        found = self.may_have(name)
        if found is None:
            return
        if "/tree/" in self.path:
            self.say(
                [
                    {"type": "file", "path": file, "size": len(content), "oid": git_digest(content)}
                    for file, content in found.files.items()
                ]
            )
            return
        siblings = [{"rfilename": file} for file in found.files]
        self.say({"_id": name, "id": name, "sha": found.commit, "siblings": siblings})

    def resolve(self, path: str) -> None:
        """Send a small file; say where a large one lies."""
        wanted = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if wanted is None:
            self.answer(404)
            return
        found = self.may_have(wanted[1])
        if found is None:
            return
        if wanted[2] not in ("main", found.commit):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {wanted[2]}")
            return
        content = found.files.get(wanted[3])
        if content is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": found.commit}
        if len(content) < LARGE:
            self.send_part(content, {**headers, "ETag": f'"{git_digest(content)}"'})
            return
        digest = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        self.answer(302, headers={**headers, "Location": f"{self.hub.store_address}/{digest}"})

    def do_POST(self) -> None:
        """Take a model."""
        path, body = self.note(), self.body()
        if self.out_of_order():
            return
        if path == "/api/validate-yaml":
            self.say({"errors": [], "warnings": []})
        elif not self.signed:
            self.refuse(401, "", "Invalid username or password.")
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path.endswith("/info/lfs/objects/batch"):
            self.batch(path, json.loads(body))
        elif "/preupload/" in path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] >= LARGE else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.say({"files": files})
        elif path == "/verify":
            asked = json.loads(body)
            self.answer(200 if len(self.hub.store.get(asked["oid"], b"")) == asked["size"] else 404)
        elif "/commit/" in path:
            self.commit(path, body)
        else:
            self.answer(404)

    def create(self, asked: dict[str, str]) -> None:
        """Make a repository."""
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "somebody-else":
            self.refuse(403, "", "You don't have the rights to create a model under the namespace somebody-else")
            return
        if name in self.hub.repositories:
            self.say({"error": "You already created this model repo", "url": f"{self.hub.address}/{name}"}, 409)
            return
        self.hub.add(name, {}, private=asked.get("visibility") == "private")
        self.say({"url": f"{self.hub.address}/{name}"})

    def batch(self, path: str, asked: dict[str, list[dict[str, object]]]) -> None:
        """Say where large files are to be sent to."""
        objects = []
        for entry in asked["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.store_address}/{entry['oid']}"},
                "verify": {"href": f"{self.hub.address}/verify"},
            }
            objects.append({**entry, **({} if entry["oid"] in self.hub.store else {"actions": actions})})
        self.say({"transfer": "basic", "objects": objects})

    def commit(self, path: str, body: bytes) -> None:
        """Make a commit of small files and of names of large ones."""
        name = path.removeprefix("/api/models/").partition("/commit/")[0]
        found = self.may_have(name)
        if found is None:
            return
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                found.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                found.files[value["path"]] = self.hub.store[value["oid"]]
        address = f"{self.hub.address}/{name}/commit/{found.commit}"
        self.say({"success": True, "commitUrl": address, "commitOid": found.commit, "hookOutput": ""})


@contextmanager
def serving() -> Iterator[Hub]:
    """Run an empty hub."""
    hub = Hub()
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), type(kind.__name__, (kind,), {"hub": hub})) for kind in (Front, Store)
    ]
    # two names, since a client may know hosts by their names alone
    hub.address, hub.store_address = (
        f"http://{name}:{server.server_address[1]}"
        for name, server in zip(("127.0.0.1", "localhost"), servers, strict=True)
    )
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.daemon_threads = True
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """An empty hub; huggingface_hub calls it, and keeps what it fetches in `tmp_path / "cache"`."""
    pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
    constants = pytest.importorskip("huggingface_hub.constants")
    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its server speaks a protocol that ours does not
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield found


@pytest.fixture
def cache(hub: Hub, tmp_path: Path) -> Path:
    """The cache of huggingface_hub."""
    return tmp_path / "cache"
