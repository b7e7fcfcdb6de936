"""`tracetui outline` as at a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.running import Here
from tests.models.meta_files import PARAMS


@pytest.mark.parametrize("extra", [(), ("--layers", "1:2"), ("--layout", "hf"), ("--layout", "deepseek")])
def test_a_deepseek_s_outline_fits_80_columns(tracetui: Here, extra: tuple[str, ...]) -> None:
    said = tracetui("outline", "deepseek-v3", *extra)
    assert (said.status, said.err) == (0, "")
    assert max(map(cell_len, said.out.splitlines())) <= 80
    assert "671,026,404,352" in said.out
    assert "37,552,282,624" in said.out
    assert ("0–255: 256 ×" in said.out) == (extra == ())


def test_the_outline_of_a_folder_needs_no_weights(tracetui: Here, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(dict(PARAMS)))
    said = tracetui("outline", str(tmp_path), "--layout", "meta")
    assert said.status == 0
    assert "feed_forward.w2" in said.out
    assert "Meta turns adjacent pairs" in said.out
    assert list(tmp_path.iterdir()) == [tmp_path / "params.json"]


def test_the_outline_for_machines(tracetui: Here) -> None:
    found = json.loads(tracetui("outline", "qwen2-moe-57b-a14b", "--json").out)
    assert (found["parameters"], found["active_parameters"]) == (57_408_658_944, 14_249_270_784)


def test_what_can_t_be_outlined_is_told(tracetui: Here) -> None:
    assert "isn't in the local cache" in tracetui.refused("outline", "nobody/nothing")
    assert "this model is a llama" in tracetui.refused("outline", "llama-tiny", "--layout", "deepseek")
    assert "layers" in tracetui.refused("outline", "llama-tiny", "--layers", "9")
    assert "--layout" in tracetui.refused("outline", "llama-tiny", "--layout", "gguf")
