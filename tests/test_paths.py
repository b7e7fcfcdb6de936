"""Files are read with care and replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import injected
from tracetui import paths
from tracetui.errors import InputError

OLD, NEW = b"old content", bytes(range(256)) * 400


def replace_with(content: bytes, target: Path) -> None:
    with paths.replacing(target) as file:
        file.write(content)


def test_a_small_regular_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(NEW)
    assert paths.read_bounded(path, len(NEW)) == NEW
    with pytest.raises(InputError, match=r"f: larger than the 102,399 bytes .*, got 102,400"):
        paths.read_bounded(path, len(NEW) - 1)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InputError, match="is not a regular file"):
            paths.open_regular(tmp_path / name)
    with pytest.raises(InputError, match="can't be opened: No such file"):
        paths.open_regular(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"can't be opened: .*embedded null"):
        paths.open_regular(Path("a\0b"))
    with pytest.raises(InputError, match="is not a regular file"):
        paths.read_bounded(Path("/dev/zero"), 10)


def test_a_refused_file_is_closed_again(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(InputError):
            paths.open_regular(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("head", "needle"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"<html lang=en>", "an HTML page"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"GGUF\3", "GGUF"),
    ],
)
def test_a_file_in_disguise_is_named(tmp_path: Path, head: bytes, needle: str) -> None:
    (tmp_path / "config.json").write_bytes(head)
    with pytest.raises(InputError, match=f"config.json: is .*{needle}"):
        paths.read_bounded(tmp_path / "config.json", 1000)
    with (tmp_path / "config.json").open("ab") as file:
        file.write(bytes(2000))
    with pytest.raises(InputError, match=f"config.json: is .*{needle}"):
        paths.read_bounded(tmp_path / "config.json", 1000)


def test_a_file_is_made_with_the_mode_that_open_gives(tmp_path: Path) -> None:
    replace_with(NEW, tmp_path / "new")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "new").read_bytes() == NEW
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_private_file_stays_private(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.write_bytes(OLD)
    target.chmod(0o600)
    replace_with(NEW, target)
    assert target.read_bytes() == NEW
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_a_regular_file_is_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    target = tmp_path / "target"
    make(target)
    before = target.lstat()
    with pytest.raises(OSError, match="is not a regular file"), paths.replacing(target) as file:
        file.write(b"new")
    assert target.lstat() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(OLD)
    (tmp_path / "link").symlink_to("real")
    replace_with(NEW, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == NEW


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("strike", "expected"), [(full_disk, OSError), (interrupted, KeyboardInterrupt)])
def test_every_failure_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, strike: object, expected: type[BaseException]
) -> None:
    target = tmp_path / "t"
    assert callable(strike)
    for nth in range(1, 30):
        target.write_bytes(OLD)
        caught: BaseException | None = None
        with injected(nth, strike) as faults:
            try:
                replace_with(NEW, target)
            except expected as error:
                caught = error
        assert (caught is not None) == faults.fired
        assert target.read_bytes() in ((OLD, NEW) if caught else (NEW,))
        assert list(tmp_path.iterdir()) == [target]
        if not faults.fired:
            break
    assert nth > 5


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.write_bytes(OLD)
    with paths.replacing(target) as file:
        file.write(NEW)
        file.flush()
        assert target.read_bytes() == OLD
    assert target.read_bytes() == NEW


def test_what_a_killed_writer_left_is_swept_by_a_later_one(tmp_path: Path) -> None:
    stale, fresh, foreign = (tmp_path / name for name in (".t.abc.part", ".t.def.part", ".u.abc.part"))
    for path in (stale, fresh, foreign):
        path.write_bytes(b"half")
    long_ago = time.time() - 7200
    for path in (stale, foreign):
        os.utime(path, (long_ago, long_ago))
    replace_with(NEW, tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".t.def.part", ".u.abc.part", "t"]


def test_the_users_folders_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACETUI_CONFIG_DIR", str(tmp_path / "own"))
    monkeypatch.delenv("TRACETUI_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert paths.config_dir() == tmp_path / "own"
    assert paths.state_dir() == tmp_path / "xdg" / "tracetui"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.state_dir() == tmp_path / ".local/state/tracetui"


def test_what_ships_with_tracetui_is_there() -> None:
    assert paths.demo_configs().is_dir()
    assert paths.themes().is_dir()


def test_a_home_that_is_not_known_stays_as_it_is_written() -> None:
    assert paths.expanded("~no-such-user/m") == Path("~no-such-user/m")
    assert paths.expanded("~/m") == Path.home() / "m"
