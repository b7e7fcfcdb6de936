"""What `tracetui export` writes: what was asked for is checked before anything is written."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from tracetui.analysis.diff.report import Report
from tracetui.errors import InputError, RunError
from tracetui.export.choice import chosen
from tracetui.export.heatmaps import Picked, heatmap
from tracetui.export.picture import Format, Picture, check_matplotlib, draw
from tracetui.export.picture_look import FONT_SIZE, PictureLook
from tracetui.export.report.document import write_report
from tracetui.export.tables import csv_lines, json_lines
from tracetui.export.tensors import write_npy, write_safetensors
from tracetui.paths import replacing
from tracetui.recording.ranks.folder import open_run
from tracetui.recording.trace import Trace
from tracetui.text import size, visible
from tracetui.views.heatmap.scale import ScaleKind

_TABLES = {"csv": csv_lines, "json": json_lines}
_PICTURES: tuple[Format, ...] = ("png", "svg")
Write = Callable[[IO[bytes]], str]
"""Writes a file; tells in words what is in it."""
Compare = Callable[[Trace, Trace], Report]
"""With the tolerances and names that the options say; B is the reference."""
_FONTS = (4, 40)
_COMPARING = ("rtol", "atol", "map", "fuzzy")


def export(arguments: Namespace, output: Path | None, compare: Compare) -> Iterator[str]:
    """Write what was asked for, and tell of it; a table without a file is what is told. Raises InputError, RunError."""
    source = Path(arguments.trace)
    _check_options(arguments, output)
    trace = open_run(source)
    for name, lines in _TABLES.items():
        if getattr(arguments, name):
            if output is None:
                yield from lines(trace)
                return
            yield from written(output, (source,), _as_text(lines, trace))
            return
    assert output is not None
    other = None if arguments.diff is None else Path(arguments.diff)
    sources = (source,) if other is None else (source, other)
    write = _writer(trace, arguments) if arguments.html is None else _report(trace, source, other, compare)
    yield from written(output, sources, write)


def _check_options(arguments: Namespace, output: Path | None) -> None:
    if output is None and not (arguments.csv or arguments.json):
        raise InputError("--output: say with -o where the file shall go")
    if arguments.diff is not None and arguments.html is None:
        raise InputError("--diff: goes with --html; `tracetui diff` compares two traces")
    for name in _COMPARING:
        if arguments.diff is None and getattr(arguments, name) not in (None, False):
            raise InputError(f"--{name}: goes with --diff")
    site = arguments.png if arguments.png is not None else arguments.svg
    for name in ("head", "row", "kind", "scale", "dark", "font_size"):
        if site is None and getattr(arguments, name) not in (None, False):
            raise InputError(f"--{name.replace('_', '-')}: goes with --png or --svg")
    size = arguments.font_size
    if size is not None and not _FONTS[0] <= size <= _FONTS[1]:
        raise InputError(f"--font-size: {_FONTS[0]} to {_FONTS[1]} points, got {size:g}")
    if site is not None:
        check_matplotlib()


def _writer(trace: Trace, arguments: Namespace) -> Write:
    if arguments.npy is not None:
        choice = chosen(trace, arguments.npy, "--npy")
        return lambda file: (
            f"{visible(choice.record.key)} {list(write_npy(trace.value(choice.record), choice.index, file))}"
        )
    for kind in _PICTURES:
        if (site := getattr(arguments, kind)) is not None:
            scale = None if arguments.scale is None else ScaleKind(arguments.scale)
            picked = Picked(arguments.head, arguments.row, arguments.kind, scale)
            look = PictureLook(arguments.dark, arguments.font_size or FONT_SIZE)
            return _picture(heatmap(trace, site, f"--{kind}", picked), kind, look)
    return lambda file: f"{write_safetensors(trace, file):,} tensors"


def _report(trace: Trace, source: Path, other: Path | None, compare: Compare) -> Write:
    if other is None:
        return lambda file: write_report(trace, file)
    report = compare(trace, open_run(other))
    return lambda file: write_report(trace, file, report, (source.name, other.name))


def _picture(picture: Picture, kind: Format, look: PictureLook) -> Write:
    def write(file: IO[bytes]) -> str:
        draw(picture, kind, file, look)
        return f"{visible(picture.title)}, {' × '.join(map(str, picture.values.shape))}"

    return write


def _as_text(lines: Callable[[Trace], Iterator[str]], trace: Trace) -> Write:
    def write(file: IO[bytes]) -> str:
        for line in lines(trace):
            file.write(f"{line}\n".encode())
        return f"{len(trace):,} records"

    return write


def written(output: Path, sources: tuple[Path, ...], write: Write) -> Iterator[str]:
    """Have a file written in place of `output`, which must be none of those that are read."""
    for source in sources:
        with suppress(OSError):
            if source.samefile(output):
                raise InputError(f"--output: {output}: is the file that is read")
    try:
        with replacing(output) as file:
            words = write(file)
            length = file.tell()
    except OSError as error:
        raise RunError(f"{output}: can't be written: {error.strerror or error}") from error
    yield f"{visible(str(output), 200)}: {words}, {size(length)}"
