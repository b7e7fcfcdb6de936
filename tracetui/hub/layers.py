"""Single layers of a model on the hub: only their tensors' bytes, kept as small safetensors files.

Each file has the tensors that one layer, or what stands outside of all layers, has in one of the hub's files. The
folder is one that SafetensorsFolder reads as it is, whatever part of it is there.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError
from tracetui.hub.online import endpoint
from tracetui.hub.progress import FetchLine
from tracetui.hub.ranges import RemoteFile
from tracetui.hub.whole_files import Listing, check_disk
from tracetui.models.checkpoints.safetensors.header import Stored, make_header, read_header
from tracetui.paths import inside, replacing, sync_folder
from tracetui.recipe import Layers
from tracetui.recipe.folder import CONFIG, SAFETENSORS
from tracetui.recipe.hub import PIECES, cached_snapshot, layers_folder
from tracetui.recording.record import layer_of
from tracetui.text import size, visible

Span = tuple[int, int]
"""Where bytes begin and end in a file."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one file of ours holds."""

    name: str
    layer: int | None
    """None for what stands outside of all layers."""
    shard: str
    """The hub's file."""
    tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A piece that is to be fetched."""

    piece: Piece
    source: RemoteFile
    head: bytes
    spans: tuple[Span, ...]
    """Of the source's bytes, in the order that they are written in."""
    path: Path

    @property
    def part(self) -> Path:
        """What is there of it until it is whole."""
        return self.path.with_name(f".{self.path.name}.part")

    @property
    def size(self) -> int:
        return sum(stop - start for start, stop in self.spans)

    @property
    def there(self) -> int:
        """Bytes of tensors that an earlier, interrupted run left."""
        try:
            with self.part.open("rb") as file:
                same = file.read(len(self.head)) == self.head
                length = os.fstat(file.fileno()).st_size - len(self.head)
        except FileNotFoundError:
            return 0
        return length if same and length <= self.size else 0


def fetch_layers(listing: Listing, layers: Layers, weight_map: Mapping[str, str] | None) -> Path:
    """Have the tensors of these layers, and those outside of all layers, on disk; returns their folder.

    weight_map: the hub's file that each tensor stands in; None where all stand in one. Raises InputError, RunError.
    """
    folder = layers_folder(listing.hub_id.repo, listing.commit)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        sources = _Sources(listing)
        if weight_map is None:
            weight_map = dict.fromkeys(sources.header(SAFETENSORS[0]), SAFETENSORS[0])
        pieces = plan_pieces(weight_map)
        _describe(folder, pieces, listing)
        needed = [piece for piece in pieces if piece.layer is None or piece.layer in layers]
        fetches = [_prepare(folder, piece, sources) for piece in needed if not (folder / piece.name).is_file()]
        _carry_out(fetches, listing, folder)
    return folder


def plan_pieces(weight_map: Mapping[str, str]) -> list[Piece]:
    """The pieces of a whole model, named as the shards of a folder without an index are; the same each time."""
    tensors_of: dict[tuple[int, str], list[str]] = {}
    for tensor, shard in weight_map.items():
        layer = layer_of(tensor)
        tensors_of.setdefault((-1 if layer is None else layer, shard), []).append(tensor)
    return [
        Piece(
            f"model-{number:05}-of-{len(tensors_of):05}.safetensors",
            layer if layer >= 0 else None,
            shard,
            tuple(tensors),
        )
        for number, ((layer, shard), tensors) in enumerate(sorted(tensors_of.items()), start=1)
    ]


class _Sources:
    """The hub's files, each asked about once, when it is needed."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._files: dict[str, RemoteFile] = {}
        self._headers: dict[str, dict[str, Stored]] = {}

    def file(self, name: str) -> RemoteFile:
        if name not in self._files:
            self._files[name] = RemoteFile(self._listing.pinned, name)
        return self._files[name]

    def header(self, name: str) -> dict[str, Stored]:
        if name not in self._headers:
            self._headers[name] = self.file(name).read_header()
        return self._headers[name]


def _prepare(folder: Path, piece: Piece, sources: _Sources) -> Fetch:
    header = sources.header(piece.shard)
    if absent := [name for name in piece.tensors if name not in header]:
        first = visible(absent[0], 80)
        raise InputError(f"{folder}: {SAFETENSORS[1]}: says that {first} is in {piece.shard}, which doesn't have it")
    tensors = {name: header[name] for name in sorted(piece.tensors, key=lambda name: header[name].start)}
    spans = _joined([(tensor.start, tensor.stop) for tensor in tensors.values()])
    return Fetch(piece, sources.file(piece.shard), make_header(tensors), spans, inside(folder, piece.name))


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Neighbours made one, so that one request brings both."""
    joined: list[Span] = []
    for start, stop in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)


def _carry_out(fetches: Sequence[Fetch], listing: Listing, folder: Path) -> None:
    if not fetches:
        return
    total = sum(fetch.size - fetch.there for fetch in fetches)
    check_disk(folder, total)
    line = FetchLine(total)
    layer_numbers = sorted({fetch.piece.layer for fetch in fetches if fetch.piece.layer is not None})
    layers = f"{len(layer_numbers)} layer{'' if len(layer_numbers) == 1 else 's'}"
    outside = " and what is outside of all layers" if any(fetch.piece.layer is None for fetch in fetches) else ""
    line.announce(f"fetching {layers}{outside}, {size(total)}, of {listing.hub_id} from {endpoint()}")
    try:
        for fetch in fetches:
            line.file(fetch.piece.shard if fetch.piece.layer is None else f"layer {fetch.piece.layer}")
            _write(fetch, line)
    finally:
        line.close()


def _write(fetch: Fetch, line: FetchLine) -> None:
    there = fetch.there
    with fetch.part.open("ab") as file:
        if not there:
            file.truncate(0)
            file.write(fetch.head)
        for start, stop in _rest(fetch.spans, there):
            for chunk in fetch.source.chunks(start, stop):
                file.write(chunk)
                line.add(len(chunk))
        file.flush()
        _sync(file.fileno(), fetch.part)
    read_header(fetch.part)
    fetch.part.replace(fetch.path)
    sync_folder(fetch.path.parent)


def _sync(descriptor: int, part: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError:
        # What can still be read of it may never reach the disk, and would be taken for fetched by the next run.
        part.unlink(missing_ok=True)
        raise


def _rest(spans: Sequence[Span], there: int) -> Iterator[Span]:
    """The spans without their first `there` bytes."""
    for start, stop in spans:
        skipped = min(there, stop - start)
        there -= skipped
        if start + skipped < stop:
            yield start + skipped, stop


def _describe(folder: Path, pieces: Sequence[Piece], listing: Listing) -> None:
    """Leave beside the weights which file each layer needs, and the model's configuration."""
    if (folder / PIECES).is_file():
        return
    snapshot = cached_snapshot(listing.pinned)
    assert snapshot is not None
    with replacing(folder / CONFIG) as file:
        file.write((snapshot / CONFIG).read_bytes())
    needs: dict[str, list[str]] = {}
    for piece in pieces:
        needs.setdefault("" if piece.layer is None else str(piece.layer), []).append(piece.name)
    with replacing(folder / PIECES) as file:
        file.write(json.dumps(needs).encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process writes to the folder meanwhile. Raises InputError if one does."""
    with (folder / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another tracetui is fetching into it; wait for its end") from None
        yield
