"""Files that are not what torch.save makes of a state dict: refused by name, with nothing of them read or run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.meta_files import State, rewrite_zip
from tracetui.errors import InputError
from tracetui.models.checkpoints.torch_file import stored_tensors
from tracetui.models.checkpoints.torch_pickle import read_layouts
from tracetui.models.checkpoints.weight_file import StoredTensor, WeightFile


def state() -> State:
    return {"a.weight": torch.arange(12.0).view(3, 4), "b.weight": torch.arange(8, dtype=torch.bfloat16)}


def whole() -> bytes:
    out = io.BytesIO()
    torch.save(state(), out)
    return out.getvalue()


WHOLE = whole()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "consolidated.00.pth"
    torch.save(state(), path)
    return path


def stored(path: Path) -> dict[str, StoredTensor]:
    return stored_tensors(WeightFile(path))


def read(path: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.whole() for name, tensor in stored(path).items()}


def refusal(path: Path) -> str:
    """What is said of the file, without its path; checked to be one line that a terminal may show."""
    with pytest.raises(InputError) as error:
        stored(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    assert said.isprintable(), said
    assert "weights_only=False" not in said
    return said.removeprefix(f"{path}: ")


def member(path: Path, name: str, content: bytes | None, compression: int = zipfile.ZIP_STORED) -> None:
    """Write the file again with one member's content replaced, or left out."""
    rewrite_zip(path, lambda found, old: content if found.endswith(f"/{name}") else old, compression)


def program(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("consolidated.00/data.pkl")


def replace_in_program(path: Path, old: bytes, new: bytes) -> None:
    found = program(path)
    assert old in found
    member(path, "data.pkl", found.replace(old, new, 1))


def test_what_torch_saves_is_read(saved: Path) -> None:
    found = read(saved)
    assert found.keys() == state().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state().items())


def test_every_form_that_torch_saves_is_read(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 4)
    base = torch.arange(20.0)
    tied = {"one": base[2:14].view(3, 4), "other": base.view(4, 5).T, "all": base}
    kinds = {
        str(dtype): torch.zeros(3, dtype=dtype) for dtype in (torch.bool, torch.int64, torch.uint8, torch.complex64)
    }
    for index, wanted in enumerate(
        (layer.state_dict(), dict(layer.named_parameters()), tied, kinds, {"e": torch.empty(0, 3)})
    ):
        path = tmp_path / f"{index}.pth"
        torch.save(wanted, path)
        found = read(path)
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert torch.equal(found[name], tensor.detach())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
        (b"GGUF\x03\x00\x00\x00", "is a GGUF file"),
        (b"\x1f\x8b\x08\x00" + b"\0" * 60, "is gzip-compressed"),
        (b"hello, this is text", "is not a file of torch.save"),
        (b"PK\x03\x04", "is a zip file that was cut short"),
        (b"PK\x03\x04" + b"\0" * 100, "is a zip file that was cut short"),
        (b"PK\x05\x06" + b"\0" * 18, "is not a file of torch.save"),
    ],
)
def test_what_is_no_checkpoint_at_all_is_told_for_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "consolidated.00.pth"
    path.write_bytes(content)
    assert refusal(path).startswith(said)


def test_a_pipe_or_folder_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "is not a regular file but a pipe"
    assert refusal(tmp_path) == "is not a regular file but a folder"


def test_the_old_format_is_refused_with_how_to_save_it_again(saved: Path) -> None:
    torch.save(state(), saved, _use_new_zipfile_serialization=False)
    assert "old format" in refusal(saved)
    assert "torch.save(torch.load(f, weights_only=True), f)" in refusal(saved)


def test_a_file_cut_anywhere_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for size in [*range(0, len(whole), 97), len(whole) - 1, len(whole) - 22, len(whole) - 42]:
        saved.write_bytes(whole[:size])
        refusal(saved)


def test_a_compressed_record_is_refused(saved: Path) -> None:
    rewrite_zip(saved, lambda name, content: content, zipfile.ZIP_DEFLATED)
    assert "is compressed; save the file again" in refusal(saved)


@pytest.mark.parametrize("size", [0, 47, 49])
def test_a_record_of_another_size_is_refused_before_torch_maps_it(saved: Path, size: int) -> None:
    member(saved, "data/0", b"\0" * size)
    assert refusal(saved) == f"a.weight: its record data/0 must have 48 bytes, got {size}"


def test_a_missing_record_is_refused(saved: Path) -> None:
    member(saved, "data/1", None)
    assert refusal(saved) == "b.weight: its record data/1 is missing"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("byteorder", b"big", "byteorder: must be little, got b'big'"),
        ("byteorder", b"little endian", "byteorder: has 13 bytes, at most 6 are read"),
        ("data.pkl", None, "data.pkl: is missing"),
        ("data.pkl", b"", "data.pkl: is damaged"),
        ("data.pkl", b"\x80\x02}", "data.pkl: is damaged"),
        ("data.pkl", b"\x80\x02.", "data.pkl: is damaged"),
        ("data.pkl", b"\0" * (4 * 2**20 + 1), "data.pkl: has 4,194,305 bytes"),
    ],
)
def test_other_members_are_checked(saved: Path, name: str, content: bytes | None, said: str) -> None:
    member(saved, name, content)
    assert refusal(saved).startswith(said)


def test_a_file_from_before_byteorder_was_written_is_read(saved: Path) -> None:
    member(saved, "byteorder", None)
    assert torch.equal(read(saved)["a.weight"], state()["a.weight"])


def test_a_torchscript_archive_is_refused(saved: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(saved))
    assert refusal(saved).startswith("consolidated.00/code/__torch__/")


class Runs:
    """Would run a function of the attacker's choice when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (self.where,)

    def __init__(self, where: str) -> None:
        self.where = where


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": state()}, "model: must be a tensor, got a dict of 2; save that dict alone as the file"),
        ({**state(), "step": 3}, "step: must be a tensor, got a int"),
        ({**state(), "names": ["x"]}, "names: must be a tensor, got a list"),
        ({**state(), "no": None}, "no: must be a tensor, got None"),
        ({**state(), "\x1b[31mred": 1.5}, "␛[31mred: must be a tensor, got a float"),
        ({1: torch.zeros(1)}, "data.pkl: every name must be a text, got a int"),
        ({("a",): torch.zeros(1)}, "data.pkl: every name must be a text, got a tuple"),
        (torch.zeros(2), "data.pkl: must hold a dict of tensors, got a TensorLayout"),
        ([torch.zeros(2)], "data.pkl: must hold a dict of tensors, got a list"),
        ({"a": np.zeros(2)}, "data.pkl: asks for numpy"),
        ({"a": torch.zeros(2).to(torch.float8_e4m3fn)}, "data.pkl: asks for torch"),
        ({"a": torch.zeros(2).to_sparse()}, "data.pkl: asks for torch._utils._rebuild_sparse_tensor, which"),
        ({"a": torch.device("cpu")}, "data.pkl: asks for torch.device, which a plain state dict doesn't need"),
        (torch.nn.Linear(2, 2), "data.pkl: asks for torch.nn.modules.linear.Linear, which"),
    ],
)
def test_what_is_no_flat_state_dict_is_refused(saved: Path, content: object, said: str) -> None:
    torch.save(content, saved)
    assert refusal(saved).startswith(said)


def test_code_in_the_pickle_is_not_run(saved: Path, tmp_path: Path) -> None:
    torch.save({"a": Runs(str(tmp_path / "made"))}, saved)
    assert refusal(saved).startswith("data.pkl: asks for posix.mkdir, which")
    assert not (tmp_path / "made").exists()


def test_a_name_that_torch_would_allow_to_take_all_memory_is_refused(saved: Path) -> None:
    member(saved, "data.pkl", b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\0\0\0\0\0\x10\x85R.")
    assert refusal(saved).startswith("data.pkl: asks for builtins.bytearray, which")


@pytest.mark.parametrize("protocol", [3, 4])
def test_another_pickle_protocol_is_refused(saved: Path, protocol: int) -> None:
    torch.save(state(), saved, pickle_protocol=protocol)
    assert refusal(saved) == f"data.pkl: is written in pickle protocol {protocol}, torch.save's own is 2"


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(saved: Path) -> None:
    before = struct.pack("<B", 0) + b"K\x03K\x04\x86"
    assert before[1:] in program(saved)
    replace_in_program(saved, b"K\x03K\x04\x86", b"K\x03K\x05\x86")
    assert refusal(saved) == "a.weight: reaches 13 elements into a storage of 12"


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((3, 4), (4,), 0), ((3, 4), (4, -1), 0), ((-3, 4), (4, 1), 0), ((3, 4), (4, 1), -1), ((3, "4"), (4, 1), 0),
     ((3, True), (4, 1), 0), ((2**62, 1), (0, 0), 0), ((1,) * 9, (1,) * 9, 0), ((3, 4.0), (4, 1), 0)],
)  # fmt: skip
def test_shapes_that_make_no_tensor_are_refused(
    shape: tuple[object, ...], strides: tuple[object, ...], offset: int
) -> None:
    with pytest.raises(InputError, match="its shape, strides or offset make no tensor"):
        read_layouts(layout_program(shape, strides, offset, 12), Path("f.pth"))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=4), st.integers(0, 30), st.integers(0, 30))
def test_a_window_is_accepted_exactly_when_torch_finds_room_for_it(
    axes: list[tuple[int, int]], offset: int, numel: int
) -> None:
    shape, strides = tuple(size for size, _ in axes), tuple(stride for _, stride in axes)
    try:
        torch.empty(numel).as_strided(shape, strides, offset)
        fits = True
    except RuntimeError:
        fits = 0 in shape
    try:
        found = read_layouts(layout_program(shape, strides, offset, numel), Path("f.pth"))
        assert found["x"].shape == shape
        assert fits
    except InputError:
        assert not fits


def layout_program(shape: tuple[object, ...], strides: tuple[object, ...], offset: int, numel: int) -> bytes:
    """The pickle of a dict with one tensor of this description."""

    class Storage:
        pass

    class Tensor:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, shape, strides, False, None)

    class Pickler(pickle._Pickler):
        def persistent_id(self, pickled: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", numel) if isinstance(pickled, Storage) else None

    out = io.BytesIO()
    Pickler(out, 2).dump({"x": Tensor()})
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"}", "is damaged"),
        (b"r\xff\xff\xff\x7f.", "is damaged"),
        (b"h\x05.", "is damaged"),
        (b"(((((.", "is damaged"),
        (b"}]u.", "is damaged"),
        (b"X\xff\xff\xff\x7fabc.", "is damaged"),
        (b"\x85.", "is damaged: it takes from an empty stack"),
        (b"}K\x01K\x02s.", "every name must be a text, got a int"),
        (b"]X\1\0\0\0aK\x02s.", "puts items into something that is no dict"),
        (b"K\x01(K\x02e.", "appends to something that is no list"),
        (b"K\x01}b.", "sets attributes of something that is no dict"),
        (b"K\x01Q.", "describes a storage in a way that torch.save doesn't"),
        (b"ctorch\nFloatStorage\n)R.", "calls something that a plain state dict doesn't need"),
        (b"X\1\0\0\0a)R.", "calls something that a plain state dict doesn't need"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(K\1K\2K\3tR.", "calls something that a plain state dict doesn't need"),
        (b"cos\nsystem\nX\1\0\0\0a\x85R.", "asks for os.system, which a plain state dict doesn't need; nothing of it"),
        (b"\x8c\1a.", "uses the instruction SHORT_BINUNICODE, which torch.save doesn't write"),
        (b"\x82\1.", "uses the instruction EXT1, which"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "is damaged"),
        (b"\x80\x04}.", "is written in pickle protocol 4"),
        (b"}" * 10_000 + b"\x85" * 100_000 + b".", "must hold a dict of tensors, got a tuple"),
        (b"})" + b"q\x00h\x00h\x00\x87" * 200 + b"Ns.", "every name must be a text, got a tuple"),
    ],
)
def test_hostile_programs_end_in_a_refusal(content: bytes, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_layouts(b"\x80\x02" + content, Path("f.pth"))
    assert str(error.value).startswith(f"f.pth: data.pkl: {said}")


def test_one_record_described_in_two_ways_is_refused(saved: Path) -> None:
    torch.save({"a": torch.zeros(4), "b": torch.zeros(2, dtype=torch.int64)}, saved)
    replace_in_program(saved, b"X\1\0\0\x001", b"X\1\0\0\x000")
    assert refusal(saved) == "data.pkl: describes the record data/0 in two ways"


def patch(path: Path, place: int, layout: str, value: object) -> None:
    """Overwrite one field of the file."""
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, place, value)
    path.write_bytes(content)


def entry(path: Path, name: str) -> int:
    """Where the directory's entry of a member starts."""
    return path.read_bytes().rindex(name.encode()) - 46


@pytest.mark.parametrize(
    ("offset", "layout", "value", "said"),
    [
        (0, "4s", b"PK\5\5", "zip directory: is damaged"),
        (8, "<H", 1, "consolidated.00/data/1: is encrypted"),
        (10, "<H", 8, "consolidated.00/data/1: is compressed"),
        (20, "<L", 3, "consolidated.00/data/1: is compressed"),
        (24, "<L", 0xFFFFFFFF, "consolidated.00/data/1: lacks the zip64 sizes that it needs"),
        (28, "<H", 0xFFFF, "zip directory: is shorter than its members"),
        (42, "<L", 0xFFFFFF, "consolidated.00/data/1: lies outside of the file's data"),
        (42, "<L", 7, "consolidated.00/data/1: does not begin where the zip directory says"),
        (46, "13s", b"another/data/", "another/data/"),
    ],
)
def test_a_lying_entry_is_refused(saved: Path, offset: int, layout: str, value: object, said: str) -> None:
    patch(saved, entry(saved, "consolidated.00/data/1") + offset, layout, value)
    assert refusal(saved).startswith(said)


def test_a_record_that_reaches_into_the_directory_is_refused(saved: Path) -> None:
    for offset in (20, 24):
        patch(saved, entry(saved, "consolidated.00/data/1") + offset, "<L", 100_000)
    assert refusal(saved).startswith("consolidated.00/data/1: lies outside of the file's data")


@pytest.mark.parametrize(
    ("offset", "layout", "value", "said"),
    [
        (0, "4s", b"PK\5\5", "zip directory: has a zip64 record"),
        (32, "<Q", 1, "zip directory: does not lie where the zip64 record says"),
        (32, "<Q", 10**6, "zip directory: does not lie where the zip64 record says"),
        (40, "<Q", 2**60, "zip directory: does not lie where the zip64 record says"),
        (48, "<Q", 0, "zip directory: does not lie where the zip64 record says"),
        (64, "<Q", 0, "zip directory: lacks the zip64 record that it needs"),
        (64, "<Q", 2**63, "zip directory: lacks the zip64 record that it needs"),
        (96, "<H", 1, "zip directory: is of a zip file in several parts or with a comment"),
    ],
)
def test_a_lying_end_is_refused(saved: Path, offset: int, layout: str, value: object, said: str) -> None:
    patch(saved, saved.read_bytes().rindex(b"PK\6\6") + offset, layout, value)
    assert refusal(saved).startswith(said)


def test_members_in_two_folders_are_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("__MACOSX/data", b"")
    assert refusal(saved).startswith("zip directory: is not as torch.save writes it")


@given(st.integers(0, 10**6), st.integers(0, 255), st.binary(max_size=3))
@settings(max_examples=200)
def test_whatever_is_done_to_a_file_its_tensors_stay_within_it(position: int, byte: int, inserted: bytes) -> None:
    content = bytearray(WHOLE)
    place = position % len(content)
    content[place : place + 1] = bytes([byte]) + inserted
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed.pth"
        path.write_bytes(content)
        try:
            found = read(path)
        except InputError:
            refusal(path)
            return
        # Beyond the file's end there would be an error.
        for tensor in found.values():
            tensor.sum()


def test_every_byte_of_a_lying_directory_is_refused_or_of_no_weight(saved: Path) -> None:
    """Times and attributes may change; names, sizes and places may not."""
    content = saved.read_bytes()
    refused = 0
    for place in range(content.index(b"PK\x01\x02"), len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x55
        saved.write_bytes(changed)
        try:
            found = read(saved)
        except InputError:
            refused += 1
            continue
        assert found.keys() == state().keys(), place
        assert all(torch.equal(found[name], tensor) for name, tensor in state().items()), place
    assert refused > 100


def test_a_name_that_stands_twice_is_refused(saved: Path) -> None:
    for name in ("data/0", "DATA/0"):
        torch.save(state(), saved)
        with zipfile.ZipFile(saved, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr(f"consolidated.00/{name}", b"\0" * 48)
        assert refusal(saved) == f"consolidated.00/{name}: stands twice in the zip file"


def test_of_a_file_larger_than_the_machine_a_row_is_read(saved: Path) -> None:
    """Its numbers stand in 64 bits."""
    rows, columns = 2**20, 2**18
    write_sparse(saved, layout_program((rows, columns), (columns, 1), 0, rows * columns), rows * columns * 4)
    found = stored(saved)["x"]
    assert found.shape == (rows, columns)
    assert found.take([rows - 1])[0, -1] == 3.0


def write_sparse(path: Path, layout: bytes, size: int) -> None:
    """An archive whose data/0 is a hole of `size` bytes that ends with the float 3."""
    with path.open("wb") as file:

        def record(name: bytes, content: bytes, length: int) -> tuple[bytes, int, int]:
            header = file.tell()
            # As torch writes it: beyond 4 GiB the place stands in the local header too.
            wide = struct.pack("<HH3Q", 1, 24, length, length, header)
            low = (2**32 - 1, 2**32 - 1, len(name), len(wide))
            file.write(struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, *low) + name + wide)
            file.seek(length - len(content), os.SEEK_CUR)
            file.write(content)
            return name, length, header

        made = [record(b"a/data/0", struct.pack("<f", 3.0), size), record(b"a/data.pkl", layout, len(layout))]
        start = file.tell()
        for name, length, header in made:
            wide = struct.pack("<HH3Q", 1, 24, length, length, header)
            low = (2**32 - 1, 2**32 - 1, len(name), len(wide), 0, 0, 0, 0, 2**32 - 1)
            file.write(struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, *low) + name + wide)
        end = file.tell()
        file.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, end - start, start))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0))
