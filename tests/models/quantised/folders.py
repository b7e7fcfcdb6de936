"""Folders of quantised weights, and those of the plain weights that they mean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.models.hf_files import change_config
from tests.models.quantised.packing import Published, Tensors


def quantised(
    plain: Path, folder: Path, form: Published, picked: Callable[[str], bool] | None = None
) -> tuple[Path, Tensors]:
    """A plain folder's projections in a published form, and the weights of the whole that they mean.

    picked: which of the projections' names; all if it isn't given.
    """
    folder.mkdir()
    shutil.copy(plain / "config.json", folder)
    stored: Tensors = {}
    meant = load_file(plain / "model.safetensors")
    for name, weight in list(meant.items()):
        if not name.endswith("proj.weight") or (picked is not None and not picked(name)):
            stored[name] = weight
            continue
        tensors, meant[name] = form.pack(weight)
        stored |= {name.removesuffix("weight") + end: tensor.contiguous() for end, tensor in tensors.items()}
    save_file(stored, folder / "model.safetensors")
    if form.file:
        (folder / form.file).write_text(json.dumps(form.config))
    else:
        change_config(folder, **{form.key: dict(form.config)})
    return folder, meant


def with_weights(plain: Path, folder: Path, weights: Mapping[str, torch.Tensor]) -> Path:
    """A folder of a plain one's configuration and other weights."""
    folder.mkdir()
    shutil.copy(plain / "config.json", folder)
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder
