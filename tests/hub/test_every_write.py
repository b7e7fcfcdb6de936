"""Whichever write, sync or renaming fails while layers are fetched: what is there afterwards is whole, or taken up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.faults import SHORT, broken_disk, full_disk, injected
from tracetui.hub import layers
from tracetui.hub.layers import Fetch, Piece
from tracetui.hub.ranges import RemoteFile
from tracetui.hub.whole_files import Listing
from tracetui.models.checkpoints.safetensors.header import make_header, read_header
from tracetui.recipe.folder import CONFIG
from tracetui.recipe.hub import PIECES, HubId

STATE: dict[str, np.ndarray] = {"a": np.arange(9000, dtype=np.float32), "b": np.arange(300, dtype=np.int64)}
STRIKES = {"full disk": full_disk, "broken disk": broken_disk, "short write": lambda: SHORT}


class Served:
    """A file on the hub, in small chunks."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, 8000):
            yield self.content[at : min(stop, at + 8000)]


class NoLine:
    def add(self, count: int) -> None:
        """Nobody looks."""


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    save_file(STATE, tmp_path / "served.safetensors")
    header = read_header(tmp_path / "served.safetensors")
    spans = tuple((tensor.start, tensor.stop) for tensor in header.values())
    source = cast(RemoteFile, Served((tmp_path / "served.safetensors").read_bytes()))
    (tmp_path / "kept").mkdir()
    path = tmp_path / "kept" / "model-00001-of-00001.safetensors"
    return Fetch(Piece(path.name, None, "served.safetensors", tuple(header)), source, make_header(header), spans, path)


@pytest.mark.parametrize("strike", STRIKES)
def test_a_piece_is_whole_or_not_there_and_the_next_run_has_it(strike: str, fetch: Fetch) -> None:
    for nth in range(1, 40):
        with injected(nth, STRIKES[strike]) as faults, suppress(*(() if strike == "short write" else (OSError,))):
            layers._write(fetch, cast(Any, NoLine()))
        if fetch.path.exists():
            assert_whole(fetch.path)
        layers._write(fetch, cast(Any, NoLine()))
        assert_whole(fetch.path)
        shutil.rmtree(fetch.path.parent)
        fetch.path.parent.mkdir()
        if not faults.fired:
            break
    assert nth > 6


def assert_whole(path: Path) -> None:
    read = load_file(path)
    assert {name: array.tobytes() for name, array in read.items()} == {
        name: array.tobytes() for name, array in STATE.items()
    }


def test_what_a_disk_lost_is_not_taken_for_fetched(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a sync that failed, a file may read well until its pages are dropped."""

    def fails(descriptor: int) -> None:
        broken_disk()

    with monkeypatch.context() as patch, suppress(OSError):
        patch.setattr("os.fsync", fails)
        layers._write(fetch, cast(Any, NoLine()))
    assert fetch.there == 0


@pytest.mark.parametrize("strike", STRIKES)
def test_a_folder_says_what_its_pieces_are_when_all_else_is_there(
    strike: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, folder = tmp_path / "snapshot", tmp_path / "kept"
    snapshot.mkdir()
    (snapshot / CONFIG).write_text('{"model_type": "llama"}')
    monkeypatch.setattr(layers, "cached_snapshot", lambda hub_id: snapshot)
    listing = Listing(HubId("someone/model", "0" * 40), "0" * 40, {})
    pieces = [Piece("p", 3, "s", ("a",))]
    for nth in range(1, 40):
        folder.mkdir()
        with injected(nth, STRIKES[strike]) as faults, suppress(*(() if strike == "short write" else (OSError,))):
            layers._describe(folder, pieces, listing)
        if (folder / PIECES).exists():
            assert (folder / PIECES).read_text() == '{"3": ["p"]}'
            assert (folder / CONFIG).read_bytes() == (snapshot / CONFIG).read_bytes()
        assert not (folder / CONFIG).exists() or (folder / CONFIG).stat().st_size == 23
        layers._describe(folder, pieces, listing)
        assert {path.name for path in folder.iterdir()} == {CONFIG, PIECES}
        shutil.rmtree(folder)
        if not faults.fired:
            break
    assert nth > 8
