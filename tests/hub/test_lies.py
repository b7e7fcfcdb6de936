"""A hub that lies: one line on the terminal, nothing outside of the cache, no memory or disk without end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.cli.running import Here
from tests.hub.server import COMMIT, REPO, Answer, Asked, Hub


def _listed(**changes: object) -> bytes:
    found = {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": 9}]}
    return json.dumps({**found, **changes}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[1, 2]", "doesn't answer as the hub does: TypeError"),
        (b"\x1b[31m<html>", "Expecting value"),
        (b'{"sha": ' + b"[" * 100_000, "doesn't answer as the hub does: RecursionError"),
        (b" " * (2**26 + 1), "its list of files takes more than 67,108,864 bytes"),
        (_listed(sha=5), f"names no commit of {REPO}"),
        (_listed(sha="../../outside"), f"names no commit of {REPO}"),
        (_listed(siblings=[1, None]), "doesn't answer as the hub does: TypeError"),
        (
            _listed(siblings=[{"rfilename": "config.json", "size": "\x1b"}]),
            "lists a file 'config.json' of '\\x1b' bytes",
        ),
        (_listed(siblings=[{"rfilename": "config.json", "size": -5}]), "lists a file 'config.json' of -5 bytes"),
        (_listed(siblings=[{"rfilename": 5, "size": 5}]), "lists a file 5 of 5 bytes"),
    ],
)
def test_a_list_of_files_that_is_none_is_told(hub: Hub, tracetui: Here, body: bytes, words: str) -> None:
    def lie(asked: Asked, answer: Answer) -> None:
        if "/api/" in asked.path:
            answer.status, answer.body = 200, body

    hub.faults.append(lie)
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == 1
    assert words in said.complaint
    assert not list(Path(constants.HF_HUB_CACHE).rglob("snapshots/*"))


def test_a_compressed_list_is_refused_unread(hub: Hub, tracetui: Here) -> None:
    def lie(asked: Asked, answer: Answer) -> None:
        answer.headers["Content-Encoding"] = "gzip"

    hub.faults.append(lie)
    assert "its list of files is compressed" in tracetui("trace", REPO, "--weights", "hub").complaint


def test_an_error_s_text_is_not_read_to_its_end(hub: Hub, tracetui: Here) -> None:
    def lie(asked: Asked, answer: Answer) -> None:
        answer.status, answer.body = 500, b'{"error": "' + b"a" * 2**20 + b'"}'

    hub.faults.append(lie)
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.complaint == f"{REPO}: the hub failed with status 500; try again later"


@pytest.mark.parametrize(
    ("header", "found", "words"),
    [
        ("ETag", '"{outside}"', "can't be a file's name"),
        ("X-Linked-Etag", '"../../../../outside"', "can't be a file's name"),
        ("ETag", '".."', "can't be a file's name"),
        ("X-Repo-Commit", "../../../../outside", "is no commit"),
    ],
)
def test_an_answer_names_no_file_outside_of_the_cache(
    hub: Hub, tracetui: Here, tmp_path: Path, header: str, found: str, words: str
) -> None:
    def lie(asked: Asked, answer: Answer) -> None:
        if asked.method == "HEAD":
            answer.headers[header] = found.format(outside=tmp_path / "outside")

    hub.faults.append(lie)
    before = set(tmp_path.iterdir())
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == 1
    assert words in said.err.splitlines()[-1]
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"hub-cache"}


def test_a_file_that_doesn_t_end_is_left_where_it_should(hub: Hub, tracetui: Here) -> None:
    def lie(asked: Asked, answer: Answer) -> None:
        if asked.method == "GET" and "config.json" in asked.path:
            answer.body = bytes(2**25)

    hub.faults.append(lie)
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == 1
    assert said.err.splitlines()[-1] == "tracetui: config.json: the server sends more bytes than it said the file has"
    kept = [path.stat().st_size for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file()]
    assert sum(kept) < 2**25
