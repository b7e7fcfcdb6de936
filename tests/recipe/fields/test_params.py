"""Other implementations' own fields beside transformers'."""

from __future__ import annotations

import json
from pathlib import Path

from tests.models.deepseek_files import BASE
from tests.models.meta_files import PARAMS
from tracetui.recipe import load_recipe
from tracetui.recipe.fields.field import FieldOrigin
from tracetui.recipe.fields.params import META, REFERENCE, explained_params, flat, params_of


def test_meta_s_fields_are_read_again_from_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(dict(PARAMS)))
    assert params_of(load_recipe(str(tmp_path))) == (META, dict(PARAMS))
    found = params_of_walk_through()
    assert (found["dim"], found["ffn_dim_multiplier"]) == (4096, 1.3)
    assert params_of(load_recipe("llama-tiny")) is None


def test_the_reference_code_s_fields_are_read_again_from_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "config_mini.json").write_text(json.dumps(dict(BASE)))
    for place in (tmp_path, tmp_path / "config_mini.json"):
        assert params_of(load_recipe(str(place))) == (REFERENCE, dict(BASE))
    found = params_of(load_recipe("deepseek-v3-ref"))
    assert found is not None
    assert (found[0], found[1]["dim"], found[1]["score_func"]) == (REFERENCE, 7168, "sigmoid")


def test_each_of_the_reference_code_s_says_what_becomes_of_it() -> None:
    becomes = {field.name: dict(field.becomes) for field in explained_params(REFERENCE, {**BASE, "dtype": "fp8"})}
    assert becomes["dim"] == {"hidden_size": 32}
    assert becomes["n_heads"] == {"num_attention_heads": 3, "num_key_value_heads": 3}
    assert becomes["score_func"] == {"scoring_func": "sigmoid", "norm_topk_prob": True}
    assert becomes["mscale"] == {"rope_parameters.mscale": 0.707, "rope_parameters.mscale_all_dim": 0.707}
    assert becomes["n_expert_groups"] == {"n_group": 4}
    assert becomes["dtype"] == {}


def test_each_says_what_becomes_of_it() -> None:
    params = {**params_of_walk_through(), "use_scaled_rope": False, "newer_field": 1}
    becomes = {field.name: dict(field.becomes) for field in explained_params(META, params)}
    assert becomes["dim"] == {"hidden_size": 4096, "intermediate_size": 14336, "head_dim": 128}
    assert becomes["n_heads"] == {"num_attention_heads": 32, "head_dim": 128}
    assert becomes["multiple_of"] == becomes["ffn_dim_multiplier"] == {"intermediate_size": 14336}
    assert becomes["norm_eps"] == {"rms_norm_eps": 1e-5}
    assert becomes["use_scaled_rope"]["rope_parameters.rope_type"] == "default"
    assert becomes["newer_field"] == {}


def test_an_unknown_one_is_marked() -> None:
    (*_, last) = explained_params(META, {**params_of_walk_through(), "newer_field": 1})
    assert (last.name, last.origin, last.explanation) == ("newer_field", FieldOrigin.UNDECLARED, "")


def test_inner_tables_are_told_by_dotted_names() -> None:
    assert flat({"a": 1, "b": {"c": 2, "d": [3]}}) == {"a": 1, "b.c": 2, "b.d": [3]}


def params_of_walk_through() -> dict[str, object]:
    found = params_of(load_recipe("llama3-2layer"))
    assert found is not None
    return found[1]
