"""A hub of one model on this machine: the endpoints that are used, and a file server that it sends one on to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPO = "someone/tiny-llama"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SIGNATURE = "Signature=not-for-everybody"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_RESOLVE = re.compile(rf"/{REPO}/resolve/([^/]+)/(.+)")
_LISTING = re.compile(r"/api/models/(.+)/revision/(.+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    host: str
    """`hub` or `files`."""
    method: str
    path: str
    token: str | None
    range: str | None


@dataclass
class Answer:
    """One answer before it is sent; a fault changes it."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    cut: int | None = None
    """Bytes after which the connection breaks."""


Fault = Callable[[Asked, Answer], None]


@dataclass
class Hub:
    """What is served, what was asked, and what goes wrong."""

    folder: Path
    commit: str = COMMIT
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    """Bytes of bodies."""
    faults: list[Fault] = field(default_factory=list)
    address: str = ""
    files_address: str = ""

    def forget(self) -> None:
        """Begin to count again."""
        self.asked.clear()
        self.sent = 0

    def answer(self, asked: Asked, local: str) -> Answer:
        found = self._files(asked, local) if asked.host == "files" else self._hub(asked, local)
        if asked.range and found.status == 200:
            _cut_to_range(asked.range, found)
        for fault in self.faults:
            fault(asked, found)
        return found

    def _hub(self, asked: Asked, local: str) -> Answer:
        if listing := _LISTING.fullmatch(local):
            return self._listing(*listing.groups())
        resolve = _RESOLVE.fullmatch(local)
        if resolve is None:
            return refusal(404, "RepoNotFound")
        if resolve[1] not in ("main", self.commit):
            return refusal(404, "RevisionNotFound")
        path = self.folder / resolve[2]
        commit = {"X-Repo-Commit": self.commit}
        if not path.is_file():
            missing = refusal(404, "EntryNotFound")
            missing.headers |= commit
            return missing
        body = path.read_bytes()
        if path.suffix != ".safetensors":
            return Answer(200, {**commit, "ETag": f'"{sha256(body).hexdigest()}"'}, body)
        linked = {"X-Linked-Size": str(len(body)), "X-Linked-Etag": f'"{resolve[2]}-lfs"'}
        # As the hub offers most files; whoever takes it up asks for more than this server has.
        linked |= {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": f"{self.address}/api/models/{REPO}/xet-read-token"}
        return Answer(302, {**commit, **linked, "Location": f"{self.files_address}/{resolve[2]}?{SIGNATURE}"})

    def _files(self, asked: Asked, local: str) -> Answer:
        if SIGNATURE not in asked.path:
            return Answer(403, {})
        return Answer(200, {"ETag": f'"{local[1:]}-stored"'}, (self.folder / local[1:]).read_bytes())

    def _listing(self, repo: str, revision: str) -> Answer:
        if repo != REPO:
            return refusal(401, "RepoNotFound")
        if revision not in ("main", self.commit):
            return refusal(404, "RevisionNotFound")
        files = [{"rfilename": path.name, "size": path.stat().st_size} for path in sorted(self.folder.iterdir())]
        found = {"id": REPO, "sha": self.commit, "siblings": files}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(found).encode())


def refusal(status: int, code: str) -> Answer:
    """As the hub words a refusal."""
    return Answer(status, {"X-Error-Code": code, "X-Error-Message": code})


def _cut_to_range(said: str, answer: Answer) -> None:
    found = _RANGE.fullmatch(said)
    assert found is not None, said
    start, stop = int(found[1]), int(found[2] or len(answer.body) - 1) + 1
    answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(answer.body)}"
    answer.status, answer.body = 206, answer.body[start:stop]


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """A folder as the model REPO."""
    hub = Hub(folder)
    with _server(hub, "hub") as hub.address, _server(hub, "files") as hub.files_address:
        yield hub


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, address: object) -> None:
        """Clients may hang up on a liar."""


@contextmanager
def _server(hub: Hub, host: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = self.headers
            asked = Asked(host, self.command, self.path, headers.get("Authorization"), headers.get("Range"))
            hub.asked.append(asked)
            answer = hub.answer(asked, unquote(urlsplit(self.path).path))
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                body = answer.body[: answer.cut]
                hub.sent += len(body)
                self.wfile.write(body)
            self.close_connection = answer.cut is not None

        do_HEAD = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002
            """Tests say what was asked."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
