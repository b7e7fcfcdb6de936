"""The files: safe names, private, whole, and never lost."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui import paths
from tracetui.debugger.memory.keeper import Keeper
from tracetui.debugger.memory.note import NO_NOTE, SessionNote
from tracetui.debugger.memory.store import NoteStore, file_name
from tracetui.expr.watch import parse_watch
from tracetui.recipe.prompts import texts

NOTE = SessionNote(prompts=texts("hello"))
SCAN = 50


def noted(text: str) -> SessionNote:
    return replace(NO_NOTE, prompts=texts(text))


@given(st.text(), st.text())
def test_every_model_has_a_file_of_its_own_with_a_plain_name(one: str, other: str) -> None:
    name = file_name(one)
    assert len(name) <= 70
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.")
    assert not name.startswith(("-", "."))
    assert (name == file_name(other)) == (one == other)


@pytest.mark.parametrize(
    "model", ["../../x", "path /a/b", "x" * 300, "hub owner/name@main", "", "\x00", "é\udce9", "CON"]
)
def test_whatever_a_model_is_called_its_file_lies_in_the_folder_and_comes_back(model: str) -> None:
    store = NoteStore(model)
    store.write(NOTE)
    assert store.path.resolve().parent == (paths.state_dir() / "sessions").resolve()
    assert NoteStore(model).read().note == NOTE
    assert not NoteStore(model + "x").read().there


def test_the_file_is_for_its_owner_alone_also_where_it_was_not() -> None:
    store = NoteStore("m")
    store.write(NOTE)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    store.path.chmod(0o644)
    store.write(NO_NOTE)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"tracetui_session": 1}']
)
def test_a_file_that_is_no_note_is_put_aside_and_all_of_them_are_kept(content: bytes) -> None:
    store = NoteStore("m")
    store.path.parent.mkdir(parents=True)
    for turn in range(3):
        store.path.write_bytes(content)
        found = store.read()
        name = f"{store.path.name}.bad{turn or ''}"
        assert not found.there
        assert found.writable
        assert found.remarks[0].endswith(f"the file is now {name}")
        assert store.path.with_name(name).read_bytes() == content
        assert not store.path.exists()


def test_a_folder_in_the_file_s_place_is_put_aside_too() -> None:
    store = NoteStore("m")
    store.path.mkdir(parents=True)
    assert store.read().writable
    store.write(NOTE)
    assert store.read().note == NOTE


def test_after_many_broken_files_the_last_stays_where_it_is() -> None:
    store = NoteStore("m")
    store.path.parent.mkdir(parents=True)
    found = None
    for _ in range(21):
        store.path.write_bytes(b"broken")
        found = store.read()
    assert found is not None
    assert not found.writable
    assert store.path.read_bytes() == b"broken"


def test_a_newer_tracetui_s_file_is_left_as_it_is() -> None:
    store = NoteStore("m")
    store.path.parent.mkdir(parents=True)
    store.path.write_bytes(b'{"tracetui_session": 2}')
    found = store.read()
    assert not found.writable
    assert "newer" not in found.remarks[0]
    assert "format 2" in found.remarks[0]
    assert store.path.read_bytes() == b'{"tracetui_session": 2}'


def test_another_model_s_file_under_this_name_is_put_aside() -> None:
    store, other = NoteStore("m"), NoteStore("n")
    other.write(NOTE)
    other.path.rename(store.path)
    assert "model: must be m" in store.read().remarks[0]


def test_two_programs_at_once_leave_the_file_of_one_of_them_whole() -> None:
    store = NoteStore("m")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: NoteStore("m").write(noted("x" * at)), range(SCAN)))
    found = store.read()
    assert found.note in [noted("x" * at) for at in range(SCAN)]
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]


class _Disk(NoteStore):
    """Counts what is written, and fails when told to."""

    def __init__(self) -> None:
        super().__init__("m")
        self.written: list[SessionNote] = []
        self.broken = False

    def write(self, note: SessionNote) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.written.append(note)


def test_the_keeper_writes_the_newest_note_and_none_twice() -> None:
    disk = _Disk()
    keeper = Keeper(disk, NO_NOTE)
    assert not keeper.want(NO_NOTE)
    assert keeper.write() == ""
    assert disk.written == []
    for text in "abc":
        assert keeper.want(noted(text))
    assert (keeper.write(), keeper.write()) == ("", "")
    assert disk.written == [noted("c")]
    assert keeper.want(NO_NOTE)
    keeper.write()
    assert disk.written == [noted("c"), NO_NOTE]


def test_a_keeper_that_begins_afresh_writes_even_a_bare_note() -> None:
    disk = _Disk()
    keeper = Keeper(disk, None)
    assert keeper.write() == ""
    assert keeper.want(NO_NOTE)
    keeper.write()
    assert disk.written == [NO_NOTE]


def test_a_full_disk_is_told_once_and_what_was_wanted_is_written_when_there_is_room() -> None:
    disk = _Disk()
    keeper = Keeper(disk, NO_NOTE)
    disk.broken = True
    keeper.want(noted("a"))
    assert "No space left" in keeper.write()
    assert keeper.write() == ""
    disk.broken = False
    assert keeper.write() == ""
    assert disk.written == [noted("a")]


def test_a_link_to_somewhere_else_is_followed_for_writing_and_not_replaced(tmp_path: Path) -> None:
    store = NoteStore("m")
    store.path.parent.mkdir(parents=True)
    store.path.symlink_to(tmp_path / "elsewhere.json")
    store.write(replace(NOTE, watches=(parse_watch("layers.*.norm"),)))
    assert store.path.is_symlink()
    assert store.read().note.prompts == NOTE.prompts
