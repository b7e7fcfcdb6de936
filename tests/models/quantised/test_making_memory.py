"""How much memory making a weight takes beside the weight, of which a run's plan knows nothing: it has to be little."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.models.quantised.packing import FORMS
from tracetui.models.checkpoints.quantised.combine import combine
from tracetui.models.checkpoints.quantised.method import read_method
from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_MOST = 2**25


def _bytes(field: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in _STATUS.read_text().splitlines() if line.startswith(field))


@pytest.mark.parametrize("name", ["nvfp4", "mxfp8"])
def test_a_weight_is_made_in_pieces_that_take_little(tmp_path: Path, name: str) -> None:
    form, path = FORMS[name], "model.layers.0.mlp.up_proj"
    tensors, _ = form.pack(torch.randn(2048, 2048))
    save_file({f"{path}.{end}": part.contiguous() for end, part in tensors.items()}, tmp_path / "model.safetensors")
    del tensors, _
    files = SafetensorsFiles(tmp_path)
    files.combine(combine(files, read_method({form.key: dict(form.config)}, "config.json")))
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _RESET.write_text("5")  # the kernel begins to count the peak anew
    except (OSError, AttributeError):
        pytest.skip("only Linux tells the peak of a part of a process's life")
    before = _bytes("VmRSS")
    made = files.packed[f"{path}.weight"].converted(None, torch.bfloat16, lambda made: None)
    assert _bytes("VmHWM") - before - made.nbytes < _MOST
