"""Makes small folders in Hugging Face's form, with transformers' own models and save_pretrained."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

Header = dict[str, Any]
Fields = Mapping[str, Any]

LLAMA: Fields = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
GPT2: Fields = {
    "vocab_size": 320,
    "n_embd": 64,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: Mapping[str, Fields] = {
    "llama": {**LLAMA, "rope_theta": 500_000.0},
    "qwen2": {**LLAMA, "tie_word_embeddings": True},
    "mistral": {**LLAMA, "sliding_window": 5},
    "gemma2": {**LLAMA, "head_dim": 16, "sliding_window": 5},
    "gpt2": GPT2,
    "phi3": LLAMA,
}
MOE: Mapping[str, Fields] = {
    "qwen2_moe": {
        **LLAMA, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 32,
    },
    "mixtral": {**LLAMA, "num_local_experts": 6, "num_experts_per_tok": 2},
}  # fmt: skip


OWN_WAYS: Mapping[str, Fields] = {
    "gpt_neox": {**LLAMA, "rope_theta": 500.0},
    "gptj": {**GPT2, "rotary_dim": 8},
    "bloom": {"vocab_size": 320, "hidden_size": 64, "n_layer": 3, "n_head": 4},
    "falcon": {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4},
    "mpt": {"vocab_size": 320, "d_model": 64, "n_layers": 3, "n_heads": 4, "max_seq_len": 128},
    "opt": {**LLAMA, "ffn_dim": 96, "word_embed_proj_dim": 64},
    "gemma3_text": {**LLAMA, "head_dim": 16, "sliding_window": 5},
    "mamba": {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "state_size": 8},
    "qwen3_next": {
        **LLAMA, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 32,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    },
}  # fmt: skip
"""Attention outside of transformers' interface, layers that return tuples, tables of positions, scaled embeddings,
and blocks that read a child's weights without running it."""
PRECISE: Mapping[str, tuple[torch.dtype, Fields]] = {
    "ernie4_5_moe": (
        torch.bfloat16,
        {
            **LLAMA, "moe_num_experts": 6, "moe_k": 2, "moe_intermediate_size": 24, "moe_num_shared_experts": 1,
            "moe_layer_start_index": 1, "moe_layer_end_index": 2,
        },
    ),
    "gpt_oss": (torch.float16, {**LLAMA, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2}),
}  # fmt: skip
"""Families of which transformers keeps some tensors in float32 although the model has fewer bits."""


def model_of(family: str, seed: int = 3, **changes: Any) -> Any:
    """A model of a family with every parameter drawn: norms and biases too, so that none can be mistaken."""
    torch.manual_seed(seed)
    precise = {name: fields for name, (_, fields) in PRECISE.items()}
    fields = {**FAMILIES, **MOE, **OWN_WAYS, **precise}.get(family, {})
    config = CONFIG_MAPPING[family](**{**fields, **changes})
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.normal_(around, 0.3 if parameter.dim() == 1 else 0.1)
    return model.eval()


def saved(folder: Path, family: str = "llama", dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """A folder as save_pretrained writes it."""
    model_of(family, **changes).to(dtype).save_pretrained(folder)
    return folder


def sharded(folder: Path, family: str = "llama", size: str = "60KB") -> Path:
    """A folder with several files and an index."""
    model_of(family).save_pretrained(folder, max_shard_size=size)
    return folder


def expected_logits(folder: Path, ids: list[int], **options: Any) -> torch.Tensor:
    """What transformers itself computes from a folder, in float32 unless another dtype is given, [B,T,V].

    Its weights are copied to where torch would have put them: from_pretrained leaves them at any byte of the mapped
    file, on which the last bits of a matrix–vector product depend.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(folder, **{"dtype": torch.float32, **options})
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(input_ids=torch.tensor([ids]), use_cache=False).logits
    return logits


def assert_computes(logits: np.ndarray, folder: Path, ids: list[int], **options: Any) -> None:
    """Hold logits [B,T,V] against transformers' own of a folder.

    To the bit, but for experts: transformers multiplies all of them in one call, whose threads may share the work
    otherwise than those of one expert's product do.
    """
    expected = expected_logits(folder, ids, **options).float().numpy()  # [B,T,V]
    if any("experts" in name for path in folder.glob("*.safetensors") for name in header_of(path)):
        eps = torch.finfo(options.get("dtype", torch.float32)).eps
        np.testing.assert_allclose(logits, expected, rtol=0, atol=64 * eps * float(np.abs(expected).max()))
    else:
        np.testing.assert_array_equal(logits, expected)


def header_of(path: Path) -> Header:
    """A file's header."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        found: Header = json.loads(file.read(length))
    return found


def rewrite_header(path: Path, change: Callable[[Header], None]) -> None:
    """Write a file again with its header changed and the bytes after it as they were."""
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header: Header = json.loads(whole[8 : 8 + length])
    change(header)
    path.write_bytes(as_file(json.dumps(header).encode(), whole[8 + length :]))


def as_file(header: bytes, data: bytes = b"") -> bytes:
    """A file of this header and these bytes."""
    return struct.pack("<Q", len(header)) + header + data


def poison(folder: Path, part: str) -> None:
    """Fill every tensor whose name has `part` in it with NaN, in whichever file it lies."""
    for path in folder.glob("*.safetensors"):
        header = header_of(path)
        (length,) = struct.unpack("<Q", path.read_bytes()[:8])
        with path.open("r+b") as file:
            for name, said in header.items():
                if name != "__metadata__" and part in name:
                    start, stop = said["data_offsets"]
                    file.seek(8 + length + start)
                    file.write(b"\xff" * (stop - start))


def change_config(folder: Path, **changes: Any) -> Path:
    """Write a folder's config.json again; a field changed to None is left out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    return folder
