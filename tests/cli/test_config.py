"""`tracetui config` as at a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.running import Here
from tracetui.recipe import shipped_recipes


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_configuration_is_explained_in_80_columns(tracetui: Here, name: str) -> None:
    said = tracetui("config", name)
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert not [line for line in lines if line.startswith("!")]
    assert "hidden_size = " in said.out
    assert "No explanation" not in said.out


def test_hostile_names_and_contradictions_are_shown_as_text(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    config = '[config]\nmodel_type = "llama"\nvocab_size = 90\nhidden_size = 32\nintermediate_size = 48\n'
    config += "num_hidden_layers = 2\nnum_attention_heads = 4\nbos_token_id = 90\n"
    path.write_text(config + '"\\u001b[31mred\\u202e" = "\\u001b]0;title\\u0007"\n')
    said = tracetui("config", str(path))
    assert said.status == 0
    assert not set(said.out) & set("\x1b\x07\u202e")
    assert "! bos_token_id: 90 is no token, vocab_size is 90" in said.out
    assert "unknown to its class" in said.out


def test_what_can_t_be_read_is_told(tracetui: Here) -> None:
    assert "isn't in the local cache; HF_HUB_OFFLINE is set" in tracetui.refused("config", "nobody/nothing")
