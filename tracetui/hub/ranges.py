"""Parts of a file on the hub, by HTTP byte ranges, and the checks that all parts are of one file.

The hub sends requests for large files on to a file server with a signed address: the range goes along,
the token doesn't.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import tracetui
from tracetui.errors import InputError, RunError
from tracetui.formats.safetensors import header_length
from tracetui.hub.online import SECONDS
from tracetui.models.checkpoints.safetensors.header import LENGTH_BYTES, Stored, parse_header
from tracetui.recipe.hub import HubId
from tracetui.text import visible

if TYPE_CHECKING:
    import httpx2

_ATTEMPTS = 5
_PAUSE_SECONDS = 1.0
_BUSY = (429, 500, 502, 503, 504)


class RemoteFile:
    """A file of a model at one commit."""

    def __init__(self, pinned: HubId, name: str) -> None:
        """Asks the hub for the file's size and tag. Raises RunError if they are of another commit."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        self.name = name
        self._where = Path(pinned.repo) / name
        self._url = hf_hub_url(pinned.repo, name, revision=pinned.revision)
        self._headers = build_hf_headers(library_name="tracetui", library_version=tracetui.__version__)
        metadata = get_hf_file_metadata(self._url, timeout=SECONDS, headers=self._headers, retry_on_errors=True)
        if metadata.commit_hash != pinned.revision:
            raise RunError(f"{self._where}: is of commit {metadata.commit_hash}, and not of {pinned.revision} as asked")
        if metadata.size is None:
            raise RunError(f"{self._where}: the hub doesn't say how large it is")
        self.size = metadata.size
        self._tag = metadata.etag
        self._stored_tag: str | None = None

    def read_header(self) -> dict[str, Stored]:
        """The tensors of a safetensors file, checked against its size as if it were here. Raises InputError."""
        length = header_length(self._where, self.size, self.read(0, min(self.size, LENGTH_BYTES)))
        return parse_header(self._where, self.read(LENGTH_BYTES, LENGTH_BYTES + length), self.size)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop` - 1."""
        return b"".join(self.chunks(start, stop))

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The same piece by piece, going on where the connection broke.

        Raises InputError if the server gives no parts, RunError if it breaks off again and again or gives other bytes.
        """
        import httpx2

        failures = 0
        while start < stop:
            try:
                for chunk in self._request(start, stop):
                    start += len(chunk)
                    failures = 0
                    yield chunk
                reason = "the answer ended early"
            except httpx2.TransportError as error:
                reason = visible(str(error), 120) or type(error).__name__
            if start < stop:
                failures += 1
                if failures >= _ATTEMPTS:
                    raise RunError(f"{self._where}: {stop - start:,} bytes are still missing: {reason}; try again")
                time.sleep(_PAUSE_SECONDS)

    def _request(self, start: int, stop: int) -> Iterator[bytes]:
        from huggingface_hub.utils import hf_raise_for_status, http_stream_backoff  # type: ignore[attr-defined]

        headers = {**self._headers, "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with http_stream_backoff(
            "GET",
            self._url,
            headers=headers,
            timeout=SECONDS,
            retry_on_exceptions=(),
            retry_on_status_codes=_BUSY,
            max_retries=_ATTEMPTS,
        ) as response:
            hf_raise_for_status(response)
            self._check(response, f"bytes {start}-{stop - 1}/{self.size}")
            got = 0
            for chunk in response.iter_raw():
                got += len(chunk)
                if got > stop - start:
                    raise RunError(f"{self._where}: the server sent more than the {stop - start:,} bytes asked for")
                yield chunk

    def _check(self, response: httpx2.Response, expected: str) -> None:
        """Refuse an answer that isn't the wanted part of the one file."""
        if response.status_code == 200:
            raise InputError(
                f"{self._where}: the server ignores byte ranges, so that single layers can't be fetched; "
                f"without --layers whole files are, {self.size:,} bytes this one"
            )
        content_range = response.headers.get("Content-Range")
        if content_range != expected:
            raise RunError(
                f"{self._where}: asked for {expected!r}, the server sent {visible(str(content_range), 80)!r}"
            )
        tags = [step.headers["X-Linked-Etag"] for step in response.history if "X-Linked-Etag" in step.headers]
        for tag in tags:
            self._check_tag(self._tag, _plain(tag))
        stored = _plain(response.headers.get("ETag") or "")
        self._check_tag(self._stored_tag if self._stored_tag is not None else stored, stored)
        self._stored_tag = stored

    def _check_tag(self, before: str | None, now: str) -> None:
        if before != now:
            change = f"from {visible(str(before), 80)!r} to {visible(now, 80)!r}"
            raise RunError(f"{self._where}: was changed on the server meanwhile, its ETag {change}; try again")


def _plain(tag: str) -> str:
    return tag.removeprefix("W/").strip('"')
