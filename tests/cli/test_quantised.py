"""A folder of quantised weights, as at a shell."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import Here
from tests.models.hf_files import saved
from tests.models.quantised.folders import quantised
from tests.models.quantised.packing import FORMS
from tests.models.test_safetensors_packed import FORMS as UNREAD
from tests.models.test_safetensors_packed import with_tensors


def test_an_old_quantised_folder_runs_and_says_of_what_its_weights_are_made(tracetui: Here, tmp_path: Path) -> None:
    folder, _ = quantised(saved(tmp_path / "plain"), tmp_path / "m", FORMS["gptq, beside"])
    told = tracetui("trace", str(folder), "--tokens", "1,2,3", "-o", str(tmp_path / "t.npz"))
    assert told.status == 0
    assert "note: model.safetensors: dequantised: 21 from GPTQ, 4 bits" in told.out


def test_a_form_that_is_not_read_ends_with_2_and_its_name(tracetui: Here, tmp_path: Path) -> None:
    folder = with_tensors(saved(tmp_path / "plain"), tmp_path / "m", UNREAD["mlx"][0])
    told = tracetui.refused("trace", str(folder), "--tokens", "1,2,3", "-o", str(tmp_path / "t.npz"))
    assert "the weights are quantised, MLX; tracetui doesn't read it; --weights random" in told
    assert not (tmp_path / "t.npz").exists()
    asked = ("trace", str(folder), "--weights", "random", "--tokens", "1,2,3", "-o", str(tmp_path / "t.npz"))
    assert tracetui(*asked).status == 0
