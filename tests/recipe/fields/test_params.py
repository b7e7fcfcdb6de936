"""Meta's own fields beside transformers'."""

from __future__ import annotations

import json
from pathlib import Path

from tests.models.meta_files import PARAMS
from tracetui.recipe import load_recipe
from tracetui.recipe.fields.field import Origin
from tracetui.recipe.fields.params import explained_params, flat, params_of


def test_meta_s_fields_are_read_again_from_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(dict(PARAMS)))
    assert params_of(load_recipe(str(tmp_path))) == dict(PARAMS)
    found = params_of(load_recipe("llama3-2layer"))
    assert found is not None
    assert (found["dim"], found["ffn_dim_multiplier"]) == (4096, 1.3)
    assert params_of(load_recipe("llama-tiny")) is None


def test_each_says_what_becomes_of_it() -> None:
    params = {**params_of_walk_through(), "use_scaled_rope": False, "newer_field": 1}
    becomes = {field.name: dict(field.becomes) for field in explained_params(params)}
    assert becomes["dim"] == {"hidden_size": 4096, "intermediate_size": 14336, "head_dim": 128}
    assert becomes["n_heads"] == {"num_attention_heads": 32, "head_dim": 128}
    assert becomes["multiple_of"] == becomes["ffn_dim_multiplier"] == {"intermediate_size": 14336}
    assert becomes["norm_eps"] == {"rms_norm_eps": 1e-5}
    assert becomes["use_scaled_rope"]["rope_parameters.rope_type"] == "default"
    assert becomes["newer_field"] == {}


def test_an_unknown_one_is_marked() -> None:
    (*_, last) = explained_params({**params_of_walk_through(), "newer_field": 1})
    assert (last.name, last.origin, last.explanation) == ("newer_field", Origin.UNDECLARED, "")


def test_inner_tables_are_told_by_dotted_names() -> None:
    assert flat({"a": 1, "b": {"c": 2, "d": [3]}}) == {"a": 1, "b.c": 2, "b.d": [3]}


def params_of_walk_through() -> dict[str, object]:
    found = params_of(load_recipe("llama3-2layer"))
    assert found is not None
    return found
