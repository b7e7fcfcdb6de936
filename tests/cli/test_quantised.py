"""A folder of quantised weights, as at a shell."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import Here
from tests.models.hf_files import saved
from tests.models.test_safetensors_packed import FORMS, with_tensors


def test_an_old_quantised_folder_ends_with_2_and_names_its_form(tracetui: Here, tmp_path: Path) -> None:
    folder = with_tensors(saved(tmp_path / "plain"), tmp_path / "m", FORMS["gptq"][0])
    (folder / "quantize_config.json").write_text('{"bits": 4, "group_size": 64}')
    told = tracetui.refused("trace", str(folder), "--tokens", "1,2,3", "-o", str(tmp_path / "t.npz"))
    assert "the weights are quantised, GPTQ; tracetui doesn't read it; --weights random" in told
    assert not (tmp_path / "t.npz").exists()
    asked = ("trace", str(folder), "--weights", "random", "--tokens", "1,2,3", "-o", str(tmp_path / "t.npz"))
    assert tracetui(*asked).status == 0
