"""A folder of quantised weights, as at a shell."""

from __future__ import annotations

import json
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


def test_what_quantising_did_is_told(tracetui: Here, tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", num_hidden_layers=1)
    folder, _ = quantised(plain, tmp_path / "m", FORMS["nf4"])
    asked = ("quantised", str(plain), str(folder), "--tokens", "1,2,3", "--tokens", "4,5")
    document = json.loads(tracetui(*asked, "--json").out)
    assert [part["part"] for part in document["parts"]] == ["layer", *["kind"] * 7, *["matrix"] * 7]
    assert document["whole"]["kl"] > 0
    assert document["positions"] == 5
    assert "model.safetensors: dequantised: 7 from bitsandbytes nf4" in document["notes"]


def test_a_model_without_weights_can_not_be_quantised(tracetui: Here, tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", num_hidden_layers=1)
    told = tracetui.refused("quantised", str(plain / "config.json"), str(plain), "--tokens", "1,2")
    assert "has no weights of its own" in told
