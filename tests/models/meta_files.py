"""Makes small folders in Meta's form: params.json and consolidated.00.pth."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tracetui.models.checkpoints.torch_zip import read_records

Params = Mapping[str, object]
State = dict[str, torch.Tensor]

PARAMS: Params = {
    "dim": 64,
    "n_layers": 3,
    "n_heads": 4,
    "n_kv_heads": 2,
    "vocab_size": 300,
    "multiple_of": 32,
    "ffn_dim_multiplier": 1.3,
    "norm_eps": 1e-5,
    "rope_theta": 500_000.0,
}
FFN = 224
"""2/3 of 4·64 is 170, times 1.3 is 221, up to the next multiple of 32."""
CHECKPOINT = "consolidated.00.pth"


def state_dict(params: Params = PARAMS, layers: int | None = None, dtype: torch.dtype = torch.float32) -> State:
    """Random weights in Meta's names for the first `layers` layers, all of them unless said."""
    generator = torch.Generator().manual_seed(7)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        drawn = torch.randn(rows, columns, generator=generator) / math.sqrt(columns)
        return drawn.to(dtype)

    def norm() -> torch.Tensor:
        return (1 + 0.3 * torch.randn(dim, generator=generator)).to(dtype)

    dim, vocabulary, count = (_int(params, field) for field in ("dim", "vocab_size", "n_layers"))
    kv = dim // _int(params, "n_heads") * _int(params, "n_kv_heads")
    state = {
        "tok_embeddings.weight": matrix(vocabulary, dim),
        "norm.weight": norm(),
        "output.weight": matrix(vocabulary, dim),
    }
    for layer in range(count):
        at = f"layers.{layer}."
        made = {
            f"{at}attention.wq.weight": matrix(dim, dim),
            f"{at}attention.wk.weight": matrix(kv, dim),
            f"{at}attention.wv.weight": matrix(kv, dim),
            f"{at}attention.wo.weight": matrix(dim, dim),
            f"{at}feed_forward.w1.weight": matrix(FFN, dim),
            f"{at}feed_forward.w2.weight": matrix(dim, FFN),
            f"{at}feed_forward.w3.weight": matrix(FFN, dim),
            f"{at}attention_norm.weight": norm(),
            f"{at}ffn_norm.weight": norm(),
        }
        if layers is None or layer < layers:
            state |= made
    return state


def write_folder(folder: Path, state: Mapping[str, object] | None = None, params: Params = PARAMS) -> Path:
    """A folder with both files; the weights are random unless given."""
    folder.mkdir(exist_ok=True)
    (folder / "params.json").write_text(json.dumps(dict(params)))
    torch.save(state_dict(params) if state is None else state, folder / CHECKPOINT)
    return folder


def rewrite_zip(
    path: Path, change: Callable[[str, bytes], bytes | None], compression: int = zipfile.ZIP_STORED
) -> None:
    """Write the archive again with every member's bytes changed, or left out where `change` returns None."""
    with zipfile.ZipFile(path) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in members:
            if (changed := change(name, content)) is not None:
                new.writestr(name, changed)


def overwrite(path: Path, record: str, content: bytes) -> None:
    """Put other bytes in a record's place, as many as fit."""
    where = read_records(path)[record]
    with path.open("r+b") as file:
        file.seek(where.start)
        file.write(content[: where.size])


def _int(params: Params, field: str) -> int:
    found = params[field]
    assert isinstance(found, int)
    return found
