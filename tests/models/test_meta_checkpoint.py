"""Meta's folder as a weight source: names, rows, views, and what is said of how it fits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.models.meta_files import CHECKPOINT, FFN, PARAMS, State, rewrite_zip, state_dict, write_folder
from tracetui.errors import Cancelled, InputError, RunError
from tracetui.models.checkpoints.meta import MetaCheckpoint, open_meta_checkpoint
from tracetui.models.checkpoints.row_order import halves_order
from tracetui.models.weights.sources import TensorSpec
from tracetui.recipe.meta import llama_config

CONFIG = llama_config(PARAMS, "params.json")
Q = "model.layers.1.self_attn.q_proj.weight"
GATE = "model.layers.1.mlp.gate_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
SHAPES = {Q: (64, 64), GATE: (FFN, 64), EMBEDDING: (300, 64)}
LAYER_NAMES = (
    "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip


def opened(folder: Path, state: State | None = None) -> MetaCheckpoint:
    return open_meta_checkpoint(write_folder(folder, state), CONFIG)


def spec(name: str, dtype: torch.dtype = torch.float32, shape: tuple[int, ...] | None = None) -> TensorSpec:
    return TensorSpec(name, shape or SHAPES[name], dtype)


def silent(made: int) -> None:
    """Nobody watches."""


def test_the_row_order_puts_the_first_of_each_pair_before_the_second() -> None:
    assert halves_order(2, 12).tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    assert sorted(halves_order(8, 8 * 128).tolist()) == list(range(8 * 128))


def test_a_tensor_of_the_right_dtype_is_read_into_memory_of_its_own(tmp_path: Path) -> None:
    state = state_dict()
    checkpoint = opened(tmp_path / "llama", state)
    ticks: list[int] = []
    first, again = checkpoint.read(spec(GATE), None, ticks.append), checkpoint.read(spec(GATE), None, silent)
    assert first.data_ptr() != again.data_ptr()
    assert ticks == [FFN * 64 * 4]
    assert torch.equal(first, state["layers.1.feed_forward.w1.weight"])


def test_writing_into_a_weight_leaves_the_file_alone(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path / "llama")
    before = (tmp_path / "llama" / CHECKPOINT).read_bytes()
    checkpoint.read(spec(GATE), None, silent).fill_(7.0)
    assert (tmp_path / "llama" / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_dtype_is_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    state = state_dict()
    ticks: list[int] = []
    found = opened(tmp_path / "llama", state).read(spec(GATE, dtype), None, ticks.append)
    assert torch.equal(found, state["layers.1.feed_forward.w1.weight"].to(dtype))
    assert sum(ticks) == FFN * 64 * dtype.itemsize


@pytest.mark.parametrize("name", [Q, GATE, EMBEDDING])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_those_of_the_whole(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    checkpoint = opened(tmp_path / "llama")
    whole = checkpoint.read(spec(name, dtype), None, silent)
    rows = [63, 0, 17, 17, 1]
    ticks: list[int] = []
    assert torch.equal(checkpoint.read(spec(name, dtype), rows, ticks.append), whole[rows])
    assert sum(ticks) == 5 * 64 * dtype.itemsize
    assert checkpoint.read(spec(name, dtype), [], silent).shape == (0, 64)


def test_a_copy_in_pieces_is_the_copy_at_once_and_can_be_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = opened(tmp_path / "llama")
    whole = checkpoint.read(spec(Q, torch.bfloat16), None, silent)
    monkeypatch.setattr("tracetui.models.checkpoints.weight_file._PIECE_BYTES", 7 * 64 * 2)
    ticks: list[int] = []
    assert torch.equal(checkpoint.read(spec(Q, torch.bfloat16), None, ticks.append), whole)
    assert ticks == [7 * 128] * 9 + [128]

    def cancel(made: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        checkpoint.read(spec(Q), None, cancel)


def test_tensors_that_lie_askew_in_the_file_are_copied(tmp_path: Path) -> None:
    state = state_dict()
    columns = state["layers.1.feed_forward.w1.weight"].T.contiguous()
    folder = write_folder(tmp_path / "llama", state | {"layers.1.feed_forward.w1.weight": columns.T})
    assert open_meta_checkpoint(folder, CONFIG).read(spec(GATE), None, silent).is_contiguous()
    rewrite_zip(
        folder / CHECKPOINT, lambda name, content: content + b"   " if name.endswith(".format_version") else content
    )
    checkpoint = open_meta_checkpoint(folder, CONFIG)
    for name, meta in ((GATE, "layers.1.feed_forward.w1.weight"), (EMBEDDING, "tok_embeddings.weight")):
        found = checkpoint.read(spec(name), None, silent)
        assert found.data_ptr() % 4 == 0
        assert torch.equal(found, state[meta])


def test_what_the_file_lacks_has_no_provenance(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path / "llama", state_dict(layers=1))
    assert checkpoint.provenance(spec("model.layers.0.self_attn.q_proj.weight", shape=(64, 64))) == "file"
    for name in (Q, "model.layers.0.self_attn.q_proj.bias", "model.layers.00.self_attn.q_proj.weight", "other"):
        assert checkpoint.provenance(spec(name, shape=(64, 64))) is None, name


def test_another_shape_or_dtype_is_refused_by_name(tmp_path: Path) -> None:
    state = state_dict()
    state["layers.1.attention.wq.weight"] = state["layers.1.attention.wq.weight"].to(torch.int32)
    checkpoint = opened(tmp_path / "llama", state)
    path = tmp_path / "llama" / CHECKPOINT
    with pytest.raises(InputError) as shape:
        checkpoint.provenance(spec(GATE, shape=(FFN + 32, 64)))
    assert str(shape.value) == (
        f"{path}: layers.1.feed_forward.w1.weight: must have the shape [{FFN + 32}, 64], got [{FFN}, 64]"
    )
    with pytest.raises(InputError) as dtype:
        checkpoint.provenance(spec(Q))
    assert str(dtype.value) == f"{path}: layers.1.attention.wq.weight: must be of floating point, got 'int32'"


@pytest.mark.parametrize(
    ("dtype", "auto"),
    [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float16), (torch.float64, torch.float32)],
)
def test_the_dtype_is_what_most_bytes_have(tmp_path: Path, dtype: torch.dtype, auto: torch.dtype) -> None:
    state = state_dict(dtype=dtype)
    state["norm.weight"] = state["norm.weight"].float()
    state["not a weight"] = torch.zeros(10**6, dtype=torch.float32)
    assert opened(tmp_path / "llama", state).dtype == auto


def test_frequencies_of_another_head_size_are_refused(tmp_path: Path) -> None:
    state = state_dict()
    assert opened(tmp_path / "llama", state | {"rope.freqs": torch.zeros(8)}).report([]) == [
        f"{CHECKPOINT}: all 0 tensors from the file",
        f"{CHECKPOINT}: read over, no module asks for norm.weight, output.weight, tok_embeddings.weight",
    ]
    with pytest.raises(InputError, match=r"rope.freqs: must have 8 frequencies, .*, got 4"):
        opened(tmp_path / "llama", state | {"rope.freqs": torch.zeros(4)})


def model_specs(layers: int) -> list[TensorSpec]:
    """All tensors of a model, in small: shapes as in the file."""
    state = {name: tuple(tensor.shape) for name, tensor in state_dict().items()}
    names = ["attention_norm", "attention.wq", "attention.wk", "attention.wv", "attention.wo", "ffn_norm"]
    names += ["feed_forward.w1", "feed_forward.w3", "feed_forward.w2"]
    found = [spec(EMBEDDING), spec("model.norm.weight", shape=(64,)), spec("lm_head.weight", shape=(300, 64))]
    for layer in range(layers):
        for own, meta in zip(LAYER_NAMES, names, strict=True):
            found.append(spec(f"model.layers.{layer}.{own}.weight", shape=state[f"layers.0.{meta}.weight"]))
    return found


def test_the_report_tells_whole_layers_from_partial_and_absent_ones(tmp_path: Path) -> None:
    state = state_dict()
    assert opened(tmp_path / "llama", state).report(model_specs(3)) == [f"{CHECKPOINT}: all 30 tensors from the file"]
    assert opened(tmp_path / "llama", state).report(model_specs(2)) == [f"{CHECKPOINT}: all 21 tensors from the file"]
    for name in (
        "layers.1.attention.wo.weight",
        "output.weight",
        *(n for n in state_dict() if n.startswith("layers.0.")),
    ):
        del state[name]
    (line,) = opened(tmp_path / "llama", state).report(model_specs(3))
    assert line == (
        f"{CHECKPOINT}: 19 tensors from the file, 11 random: layer 2 from the file; layer 0 random; "
        "layer 1 partly, 8 of its 9 tensors from the file; lm_head.weight random"
    )


def test_the_report_names_what_no_module_asks_for(tmp_path: Path) -> None:
    state = state_dict() | {f"layers.{n}.attention.wq.weight": torch.zeros(64, 64) for n in (3, 7)}
    state |= {"rope.freqs": torch.zeros(8), "\x1bra": torch.zeros(1), "a": torch.zeros(1), "b": torch.zeros(1)}
    assert opened(tmp_path / "llama", state).report(model_specs(3))[1:] == [
        f"{CHECKPOINT}: read over, no module asks for ␛ra, a, b, layers.3.attention.wq.weight and 1 more"
    ]


def test_a_file_changed_behind_our_back_is_not_read(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path / "llama")
    path = tmp_path / "llama" / CHECKPOINT
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(RunError, match="was changed while it was open; run it again"):
        checkpoint.read(spec(GATE), None, silent)
    path.unlink()
    with pytest.raises(RunError, match="was changed while it was open; run it again"):
        checkpoint.read(spec(GATE), None, silent)


def test_a_folder_without_its_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"llama: consolidated.00.pth: its folder can't be read: No such"):
        open_meta_checkpoint(tmp_path / "llama", CONFIG)
    with pytest.raises(InputError, match=r"consolidated.00.pth: is missing; --weights random"):
        open_meta_checkpoint(tmp_path, CONFIG)
    (tmp_path / CHECKPOINT).mkdir()
    with pytest.raises(InputError, match="is not a regular file"):
        open_meta_checkpoint(tmp_path, CONFIG)


def test_a_checkpoint_that_is_a_link_out_of_its_folder_is_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", state_dict())
    (folder / CHECKPOINT).rename(tmp_path / "elsewhere.pth")
    (folder / CHECKPOINT).symlink_to("../elsewhere.pth")
    with pytest.raises(InputError, match=f"{CHECKPOINT}: is a link that leads out of its folder"):
        open_meta_checkpoint(folder, CONFIG)


def test_a_split_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "llama")
    (folder / "consolidated.01.pth").touch()
    with pytest.raises(InputError, match=r"consolidated.01.pth: the checkpoint is split.*merge them into one"):
        open_meta_checkpoint(folder, CONFIG)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds a llama; .*, got 'qwen2'"):
        open_meta_checkpoint(write_folder(tmp_path / "llama"), {**CONFIG, "model_type": "qwen2"})


def test_a_file_in_transformers_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither this nor any other .*; its first is model.norm.weight"):
        opened(tmp_path / "llama", {"model.norm.weight": torch.zeros(64)})
    with pytest.raises(InputError, match=r"neither this nor any other tensor of Meta's is there$"):
        opened(tmp_path / "llama", {})
