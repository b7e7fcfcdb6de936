"""What the hub's answers may be before huggingface_hub goes by them: it names files by them, and reads them whole."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import httpx2

from tracetui.errors import RunError
from tracetui.text import visible

if TYPE_CHECKING:
    from types import TracebackType

_LISTING_BYTES = 64 * 2**20
_LISTING_SECONDS = 60.0
_ERROR_BYTES = 64 * 2**10
_ERROR_SECONDS = 20.0
_TAGS = ("X-Linked-Etag", "ETag")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"[A-Za-z0-9_=+-][A-Za-z0-9_=+.:-]{0,199}")
"""What can be a file's name and nothing else."""
_listing: ContextVar[bool] = ContextVar("listing", default=False)


@contextmanager
def listing() -> Iterator[dict[str, str]]:
    """Answers inside are lists of files: bounded in size and time. Yields the headers to ask with."""
    token = _listing.set(True)
    try:
        # What comes compressed may be of any size.
        yield {"Accept-Encoding": "identity"}
    finally:
        _listing.reset(token)


@contextmanager
def checked() -> Iterator[None]:
    """huggingface_hub's own client, with every answer looked at. Raises RunError inside for what no hub sends."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    def client() -> httpx2.Client:
        made = _http.default_client_factory()
        hooks = made.event_hooks
        made.event_hooks = {**hooks, "response": [*hooks["response"], _check]}
        return made

    before = _http._GLOBAL_CLIENT_FACTORY
    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(before)


def from_hub_library(error: Exception) -> bool:
    """Whether an error rose in huggingface_hub: it takes for granted what an answer looks like."""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__")).startswith("huggingface_hub"):
            return True
        step = step.tb_next
    return False


def _check(response: httpx2.Response) -> None:
    if response.request.method == "HEAD":
        _check_names(response)
    elif response.is_error:
        response.stream = _Bounded(response, _ERROR_BYTES, _ERROR_SECONDS, fails=False)
    elif _listing.get():
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _wrong(response, "its list of files is compressed, although asked for as it is")
        response.stream = _Bounded(response, _LISTING_BYTES, _LISTING_SECONDS, fails=True)


def _check_names(response: httpx2.Response) -> None:
    """The tag is to be a file's name in the cache, the commit a folder's."""
    tag = next((response.headers[name] for name in _TAGS if name in response.headers), None)
    if tag is not None and not _TAG.fullmatch(tag.removeprefix("W/").strip('"')):
        raise _wrong(response, f"the ETag {visible(tag, 80)!r} can't be a file's name")
    commit = response.headers.get("X-Repo-Commit")
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise _wrong(response, f"{visible(commit, 80)!r} is no commit")


def _wrong(response: httpx2.Response, problem: str) -> RunError:
    url = response.request.url
    return RunError(f"{url.scheme}://{visible(url.netloc.decode('ascii', 'replace'), 80)}: {problem}; is it a hub?")


class _Bounded(httpx2.SyncByteStream):
    """The body of an answer up to so many bytes and seconds; what is more is an error, or left out."""

    def __init__(self, response: httpx2.Response, most: int, seconds: float, *, fails: bool) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        self._response = response
        self._stream = response.stream
        self._most = most
        self._seconds = seconds
        self._fails = fails

    def __iter__(self) -> Iterator[bytes]:
        got, began = 0, time.monotonic()
        for chunk in self._stream:
            got += len(chunk)
            if got > self._most or time.monotonic() - began > self._seconds:
                if self._fails:
                    limits = f"{self._most:,} bytes or {self._seconds:g} s"
                    raise _wrong(self._response, f"its list of files takes more than {limits}")
                return
            yield chunk

    def close(self) -> None:
        self._stream.close()
