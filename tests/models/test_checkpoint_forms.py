"""A form of checkpoint is its reader and one line: here one is made up, and everything else takes it as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from tests.models.hf_files import assert_computes, saved
from tracetui.errors import InputError
from tracetui.models.checkpoints import forms
from tracetui.models.checkpoints.forms import CheckpointForm, check_weight_files
from tracetui.models.checkpoints.protocol import Checkpoint, CheckpointSource
from tracetui.models.checkpoints.weight_file import WeightFile
from tracetui.models.weights.sources import TensorSpec, Tick
from tracetui.recipe import load_recipe
from tracetui.tracer.run import trace_recipe

FILE = "weights.npz"


class NpzCheckpoint:
    """A folder's config.json beside one npz file in the names of transformers."""

    form = "npz"
    dtype = torch.float32

    def __init__(self, folder: Path, config: Mapping[str, object], origin: str) -> None:
        self.files: tuple[WeightFile, ...] = (WeightFile(folder / FILE),)
        self._arrays = dict(np.load(folder / FILE))

    def source_for(self, model: PreTrainedModel) -> CheckpointSource:
        return self

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return "file" if spec.name in self._arrays else None

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        tensor = torch.from_numpy(self._arrays[spec.name]).to(spec.dtype)
        return tensor if rows is None else tensor[list(rows)]

    def report(self, specs: Sequence[TensorSpec]) -> list[str]:
        return [f"{FILE}: {sum(spec.name in self._arrays for spec in specs)} tensors"]


def check(folder: Path) -> None:
    if (folder / FILE).stat().st_size < 4:
        raise InputError(f"{folder}: {FILE}: is too short")


def opened(folder: Path, config: Mapping[str, object], origin: str) -> Checkpoint:
    return NpzCheckpoint(folder, config, origin)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    saved(tmp_path)
    form = CheckpointForm(lambda folder: (folder / FILE).is_file(), check, opened)
    monkeypatch.setattr(forms, "FORMS", (form, *forms.FORMS))
    state = load_file(tmp_path / "model.safetensors")
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in state.items()}
    np.savez(tmp_path / FILE, **arrays)
    return tmp_path


def test_a_form_of_one_s_own_is_recognised_read_and_told(folder: Path) -> None:
    recipe = load_recipe(str(folder))
    check_weight_files(recipe)
    (folder / "model.safetensors").rename(folder / "elsewhere.safetensors")
    trace = trace_recipe(recipe)
    (folder / "elsewhere.safetensors").rename(folder / "model.safetensors")
    assert trace.run.recipe["layout"] == "npz"
    assert any(note.startswith(f"{FILE}: 30 tensors") for note in trace.run.notes), trace.run.notes
    assert_computes(trace["logits"], folder, [token.id for token in trace.tokens[0]])


def test_its_files_are_checked_before_anything_is_opened(folder: Path) -> None:
    (folder / FILE).write_bytes(b"PK")
    with pytest.raises(InputError, match=r"weights\.npz: is too short"):
        check_weight_files(load_recipe(str(folder)))
