"""GGUF files as models: alone, in folders, in several files, quantised, and where they aren't what they should be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from tests.formats import gguf_bytes as g
from tests.models.gguf.convert import exact_model, write_gguf
from tests.models.hf_files import change_config
from tracetui.analysis.attention.scores import attention_at
from tracetui.analysis.diff.compare import compare
from tracetui.analysis.rope.pairs import STAND_IN_HALVES, RopeCheck, check_rope, rows_permuted
from tracetui.errors import FileChangedError, InputError
from tracetui.formats.gguf import read_header
from tracetui.models.checkpoints.forms import check_weight_files
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.npz.reader import read_trace
from tracetui.recording.npz.writer import write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

IDS = [5, 319, 17, 17, 0, 42]


def run(path: Path, **options: Any) -> Trace:
    return trace_recipe(with_options(load_recipe(str(path)), **options), ids=IDS)


@pytest.fixture(scope="module")
def model() -> Any:
    return exact_model("llama")


@pytest.fixture(scope="module")
def whole(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(model, tmp_path_factory.mktemp("whole") / "tiny-F32.gguf")


@pytest.fixture(scope="module")
def logits(whole: Path) -> Any:
    return run(whole)["logits"]


def test_a_file_a_folder_with_one_and_a_name_without_suffix_are_the_model(
    whole: Path, logits: Any, tmp_path: Path
) -> None:
    for name in ("sha256-abc", "folder/tiny.gguf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(whole, tmp_path / name)
    (tmp_path / "folder" / "mmproj-tiny.gguf").write_bytes(b"GGUF")
    for path in (tmp_path / "sha256-abc", tmp_path / "folder"):
        trace = run(path)
        assert np.array_equal(trace["logits"], logits)
        assert trace.run.recipe["layout"] == "gguf"
        assert trace.run.recipe["dtype"] == "float32"
    assert load_recipe(str(whole)).title == "llama, GGUF of F32"


def test_beside_a_config_json_that_is_what_counts(whole: Path, logits: Any, model: Any, tmp_path: Path) -> None:
    shutil.copy(whole, tmp_path / "tiny.gguf")
    model.config.save_pretrained(tmp_path)
    recipe = load_recipe(str(tmp_path))
    assert Path(recipe.origin).name == "config.json"
    assert np.array_equal(run(tmp_path)["logits"], logits)


def test_a_link_that_leads_out_of_its_folder_is_not_followed(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(whole)
    with pytest.raises(InputError, match=r"tiny\.gguf: is a link that leads out of its folder"):
        load_recipe(str(tmp_path))
    assert load_recipe(str(tmp_path / "tiny.gguf")).weights == tmp_path / "tiny.gguf", "named by the user"


def test_of_several_models_in_a_folder_one_has_to_be_named(whole: Path, tmp_path: Path) -> None:
    for name in ("a-Q4_0.gguf", "a-Q8_0.gguf"):
        shutil.copy(whole, tmp_path / name)
    with pytest.raises(InputError, match=r"holds several models, a-Q4_0\.gguf, a-Q8_0\.gguf; give one of them"):
        load_recipe(str(tmp_path))


def test_a_model_in_several_files_is_one(model: Any, logits: Any, tmp_path: Path) -> None:
    write_gguf(model, tmp_path / "tiny.gguf", split_max_tensors=8)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == "tiny-00001-of-00004.gguf"
    for path in (tmp_path, tmp_path / names[0], tmp_path / names[2]):
        assert np.array_equal(run(path)["logits"], logits)
    (tmp_path / names[2]).rename(tmp_path / "elsewhere")
    trace = run(tmp_path / names[0])
    assert trace.run.notes[0] == f"{names[2]}: is missing, and with it what it holds of the model"
    assert "random" in trace.run.notes[1]
    (tmp_path / names[1]).rename(tmp_path / names[2])
    with pytest.raises(InputError, match=r"00003-of-00004\.gguf: split\.no: must be 2 by the file's name, got 1"):
        load_recipe(str(tmp_path / names[0]))
    (tmp_path / names[0]).rename(tmp_path / "tiny.gguf")
    with pytest.raises(InputError, match=r"split\.count: is 4, so that the file's name must end in -00001-of-00004"):
        load_recipe(str(tmp_path / "tiny.gguf"))


def test_parts_of_another_model_and_those_without_the_first_are_told(model: Any, tmp_path: Path) -> None:
    write_gguf(model, tmp_path / "tiny.gguf", split_max_tensors=8)
    first, *_, last = sorted(tmp_path.iterdir())
    fewer = exact_model("llama", tie_word_embeddings=True)
    write_gguf(fewer, tmp_path / "other.gguf", split_max_tensors=8)
    (tmp_path / last.name.replace("tiny", "other")).rename(last)
    with pytest.raises(InputError, match=r"00004\.gguf: split\.tensors\.count: must be 30, as tiny-00001.*, got 29$"):
        load_recipe(str(first))
    first.unlink()
    with pytest.raises(
        InputError, match=r"tiny-00001-of-00004\.gguf: is missing, and tiny-00004-of-00004\.gguf is read"
    ):
        load_recipe(str(last))


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_1, Kind.BF16, Kind.F16])
def test_what_is_turned_back_is_what_gguf_turns_back(model: Any, tmp_path: Path, kind: Kind) -> None:
    path = write_gguf(model, tmp_path / "tiny.gguf", kind)
    trace = run(path, dtype="float32", memory="1")
    runnable = make_runnable(with_options(load_recipe(str(path)), dtype="float32"))
    slots = {slot.spec.name: slot for _, slot in runnable.weights.all_slots()}
    slot = slots["model.layers.1.mlp.down_proj.weight"]
    read = runnable.weights._source.read(slot.spec, [3, 1], lambda made: None)
    written = gguf.quants.quantize(model.state_dict()[slot.spec.name].numpy(), kind)
    assert np.array_equal(read.numpy(), gguf.quants.dequantize(written, kind)[[3, 1]])
    is_quantised = kind in (Kind.Q8_0, Kind.Q4_1)
    assert slot.provenance == (f"dequantised {kind.name}" if is_quantised else "file")
    assert slots["model.norm.weight"].provenance == "file"
    notes = [note for note in trace.run.notes if "dequantised" in note]
    assert notes == ([f"tiny.gguf: dequantised: 23 from {kind.name}"] if is_quantised else [])
    by_site = {record.site: record.provenance for record in trace.records if record.provenance}
    assert by_site["model.layers.0.mlp.up_proj"] == slot.provenance
    dtype = {Kind.BF16: torch.bfloat16, Kind.F16: torch.float16}.get(kind, torch.float32)
    assert make_runnable(load_recipe(str(path))).built.dtype == dtype


def trained(model: Any) -> Any:
    """Rows of queries and keys as training leaves them: those of near frequencies about as long."""
    with torch.no_grad():
        for layer in model.model.layers:
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                lengths = torch.linspace(0.2, 3, 8).repeat(2).repeat(projection.weight.shape[0] // 16)  # [H*K]
                projection.weight.mul_(lengths[:, None])
    return model


@pytest.mark.parametrize("permute", [True, False])
def test_the_order_of_rows_is_what_the_rows_show(tmp_path: Path, permute: bool) -> None:
    model = trained(exact_model("llama"))
    trace = run(write_gguf(model, tmp_path / "tiny.gguf", permute=permute))
    with torch.no_grad():
        assert np.array_equal(trace["logits"], model(input_ids=torch.tensor([IDS]), use_cache=False).logits.numpy())
    notes = [note for note in trace.run.notes if "stand in halves" in note]
    assert len(notes) == (0 if permute else 1)


def test_layers_left_out_are_no_spare_tensors(whole: Path) -> None:
    notes = run(whole, layers="1:2").run.notes
    assert not any("read over" in note for note in notes), notes


def changed(path: Path, target: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert len(old) == len(new)
    assert old in content
    target.write_bytes(content.replace(old, new))
    return target


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b".attn_q.weight",
            b".attn_x.weight",
            r"self_attn\.q_proj\.weight is missing from layers 0–2, and no module asks",
        ),
        (b"token_embd.weight", b"token_embx.weight", r"token_embd\.weight: must be there, with a row for each token"),
        (b"llama.block_count", b"llama.block_counx", r"llama\.block_count: is missing, a whole number is needed"),
        (b"llama.embedding_length", b"llama.embedding_lengtx", r"llama\.embedding_length: is missing"),
        (b"general.type", b"general.typx", ""),
    ],
)
def test_what_a_file_lacks_is_told_by_its_own_name(
    whole: Path, tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    path = changed(whole, tmp_path / "tiny.gguf", old, new)
    if not message:
        run(path)
        return
    with pytest.raises(InputError, match=message):
        run(path)


def told(tmp_path: Path, **entries: str) -> str:
    path = tmp_path / "x.gguf"
    metadata = {name.replace("_", "."): (g.TEXT, g.text(value)) for name, value in entries.items()}
    path.write_bytes(g.usual(metadata, [g.Tensor("w", [4], 0, 0)], 16))
    with pytest.raises(InputError) as error:
        load_recipe(str(path))
    return str(error.value).removeprefix(f"{path}: ")


def test_what_is_no_language_model_is_told_as_what_it_is(tmp_path: Path) -> None:
    assert told(tmp_path, general_architecture="falcon").startswith(
        "general.architecture: is an architecture of which tracetui reads no GGUF files (docs/recipes.md lists those"
    )
    assert "holds an adapter" in told(tmp_path, general_architecture="llama", general_type="adapter")
    assert "reads pictures" in told(tmp_path, general_architecture="clip")
    assert told(tmp_path, general_name="x") == "general.architecture: is missing, a text is needed"


@pytest.mark.parametrize("key", ["llama.embedding_length", "llama.attention.head_count"])
def test_a_size_of_0_is_refused_by_its_own_key(tmp_path: Path, key: str) -> None:
    sizes = {"llama.embedding_length": 64, "llama.attention.head_count": 4, key: 0}
    numbers = {name: (g.U32, size.to_bytes(4, "little")) for name, size in sizes.items()}
    path = tmp_path / "x.gguf"
    architecture = {"general.architecture": (g.TEXT, g.text("llama"))}
    path.write_bytes(g.usual({**architecture, **numbers}, [g.Tensor("w", [4], 0, 0)], 16))
    with pytest.raises(InputError, match=rf"x\.gguf: {key}: must be at least 1, got 0"):
        load_recipe(str(path))


def test_a_type_that_no_library_turns_back_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    place = read_header(whole).tensors["blk.0.attn_q.weight"]
    assert place.shape == (64, 64)
    entry = b"blk.0.attn_q.weight" + (2).to_bytes(4, "little") + (64).to_bytes(8, "little") * 2
    path = changed(whole, tmp_path / "x.gguf", entry + bytes(4), entry + (24).to_bytes(4, "little"))
    with pytest.raises(InputError, match=r"blk\.0\.attn_q\.weight: is of type I8, and must be of floats"):
        run(path)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ("blk.1.ffn_up_exps.weight", r"ffn_gate_exps\.weight: must make the shape \[6, 192, 64\] with blk\.1\.ffn_up"),
        ("blk.1.attn_output.weight", r"blk\.1\.attn_output\.weight: must make the shape \[64, 64\], got \[32, 128\]"),
        ("blk.1.attn_q.weight", r"blk\.1\.attn_q\.weight: must "),
    ],
)
def test_shapes_that_make_no_parameter_are_refused(tmp_path: Path, tensor: str, message: str) -> None:
    whole = write_gguf(exact_model("mixtral"), tmp_path / "whole.gguf")
    shape = read_header(whole).tensors[tensor].shape
    axes = [size.to_bytes(8, "little") for size in reversed(shape)]
    entry = tensor.encode() + len(axes).to_bytes(4, "little")
    half = [(shape[-1] * 2).to_bytes(8, "little"), (shape[-2] // 2).to_bytes(8, "little"), *axes[2:]]
    path = changed(whole, tmp_path / "x.gguf", entry + b"".join(axes), entry + b"".join(half))
    with pytest.raises(InputError, match=message):
        run(path)


@pytest.mark.parametrize(
    ("tensor", "axes"),
    [
        ("blk.0.attn_q.weight", ()),
        ("blk.0.attn_q.weight", (4096,)),
        ("blk.0.attn_q.weight", (0, 64)),
        ("blk.0.attn_q.weight", (64, 63)),
        ("blk.0.attn_k.weight", ()),
        ("blk.0.attn_k.weight", (2048, 1)),
    ],
)
def test_queries_and_keys_of_another_shape_are_refused_by_name(
    whole: Path, tmp_path: Path, tensor: str, axes: tuple[int, ...]
) -> None:
    path = reshaped(whole, tmp_path / "x.gguf", tensor, axes)
    with pytest.raises(InputError, match=rf"x\.gguf: {tensor}: must make the shape \[(64|32), 64\], got"):
        run(path)


def test_an_axis_of_length_1_behind_the_others_changes_nothing(whole: Path, logits: Any, tmp_path: Path) -> None:
    path = reshaped(whole, tmp_path / "x.gguf", "blk.0.attn_q.weight", (64, 64, 1))
    assert np.array_equal(run(path)["logits"], logits)


def reshaped(path: Path, target: Path, tensor: str, axes: tuple[int, ...]) -> Path:
    """The same bytes, with other axes of one tensor in the header; `axes` in the file's order."""
    header, content = read_header(path), path.read_bytes()
    first = min(place.start for place in header.tensors.values())
    entries = [
        g.Tensor(name, place.shape[::-1] if name != tensor else axes, place.type.number, place.start - first).written()
        for name, place in header.tensors.items()
    ]
    begins = min(
        content.index(g.text(name) + len(place.shape).to_bytes(4, "little")) for name, place in header.tensors.items()
    )
    head = content[:begins] + b"".join(entries)
    target.write_bytes(head + bytes(-len(head) % header.alignment) + content[first:])
    return target


def test_hostile_headers_are_refused_before_anything_large_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(g.usual({}, tensor_count=2**40))
    with pytest.raises(InputError, match="number of tensors: at most"):
        load_recipe(str(path))
    path.write_bytes(b"GGUF")
    with pytest.raises(InputError, match="version: reaches to byte 8"):
        check_weight_files(with_options(load_recipe("llama-tiny"), weights=str(path)))


def test_a_file_written_since_it_was_opened_gives_no_numbers(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(whole, tmp_path / "tiny.gguf"))
    runnable = make_runnable(load_recipe(str(path)))
    slot = next(slot for _, slot in runnable.weights.all_slots())
    with path.open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\1\2\3\4")
    with pytest.raises(FileChangedError, match=r"tiny\.gguf: was changed while it was open"):
        runnable.weights._source.read(slot.spec, [0], lambda made: None)
    with pytest.raises(FileChangedError):
        runnable.check_files()


def test_beside_the_original_s_folder_only_fields_that_differ_are_told(model: Any, whole: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    # As older files have it, and with less and more than the class needs.
    change_config(tmp_path, rope_parameters=None, rope_theta=500_000.0, hidden_act=None, pretraining_tp=1, summary="x")
    a, b = run(whole), run(tmp_path)
    # The tiny file has no vocabulary, and so no token that ends a text.
    assert [field.name for field in compare(a, b).preface.config] == ["eos_token_id", "summary"]
    change_config(tmp_path, rms_norm_eps=1e-3, attention_dropout=0.5, summary=None)
    fields = {field.name: (field.a, field.b) for field in compare(a, run(tmp_path)).preface.config}
    assert fields.keys() == {"eos_token_id", "rms_norm_eps", "attention_dropout"}
    assert fields["attention_dropout"] == (0.0, 0.5), "where the file is silent, what the class has"
    write_trace(a, tmp_path / "a.npz")
    assert dict(read_trace(tmp_path / "a.npz").run.as_built) == dict(a.run.as_built)


def test_the_check_of_rope_knows_that_rows_stood_in_pairs_in_the_file(whole: Path) -> None:
    trace = run(whole)
    view = attention_at(trace, trace.find("model.layers.0.self_attn"))  # type: ignore[arg-type]
    assert view is not None
    check = check_rope(view, 0)
    assert isinstance(check, RopeCheck)
    assert (check.layout, check.permuted) == ("halves", True)
    assert any("checkpoint: the GGUF file has adjacent pairs" in said for said in check.evidence)
    left = replace(trace, run=replace(trace.run, notes=(f"tiny.gguf: {STAND_IN_HALVES}, as their lengths show",)))
    assert not rows_permuted(replace(view, trace=left))
