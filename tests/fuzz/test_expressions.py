"""What strangers' configurations and people's expressions may hold: each is taken, or refused in one line by its name.

`make torture` tries many; TRACETUI_TORTURE says for how many examples.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.expr.made import layers
from tests.families.configs import tiny_config
from tracetui.errors import InputError
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.evaluate import evaluate
from tracetui.expr.moment import TraceScope
from tracetui.expr.parse import parse
from tracetui.expr.stop import parse_stop
from tracetui.expr.watch import parse_watch
from tracetui.models.build import build_model
from tracetui.models.structure import read_structure
from tracetui.recipe import load_recipe
from tracetui.text import visible

LONG = int(os.environ.get("TRACETUI_TORTURE", "0"))
"""Without it a few examples, the same every day."""
FEW = settings(max_examples=LONG or 60, derandomize=not LONG, suppress_health_check=list(HealthCheck))
MODELS = settings(FEW, max_examples=LONG // 2 or 8)
FAMILIES = ("llama", "qwen2_moe", "deepseek_v3", "gemma3_text", "gpt2", "falcon", "mamba", "gpt_oss", "phi3", "bamba")

ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63, -(2**70), 0.5, 1e-300, 1e300, -2.5]),
    st.sampled_from(["", "x", "auto", "default", "yarn", "\x1b[31m", "é\u202e", "1e9", [], {}, [1], [[]], {"a": {}}]),
    st.sampled_from([["full_attention"], ["x"] * 4, {"rope_type": "yarn"}, {"rope_type": "x", "factor": "y"}]),
    st.sampled_from([{"rope_theta": 0}, {"type": "linear", "factor": -1}, {"rope_type": "llama3"}]),
)
"""Values that a field doesn't expect."""


@cache
def config_text(family: str) -> str:
    config = tiny_config(family)
    return json.dumps({**config.to_diff_dict(), "model_type": family}, default=str)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A family's configuration in which one to three fields have other values, or are gone."""
    fields: dict[str, Any] = json.loads(config_text(draw(st.sampled_from(FAMILIES))))
    for _ in range(draw(st.integers(1, 3))):
        name = draw(
            st.sampled_from([*sorted(fields), "rope_scaling", "layer_types", "head_dim", "quantization_config"])
        )
        if draw(st.booleans()) and name in fields and name != "model_type":
            del fields[name]
        else:
            fields[name] = draw(ODD)
    return fields


@MODELS
@given(configs())
def test_a_configuration_is_built_or_refused_in_a_line(fields: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(fields))
        try:
            recipe = load_recipe(str(path))
            build_model(recipe, torch.bfloat16)
            read_structure(recipe)
        except InputError as error:
            harmless(error)


def harmless(error: InputError) -> None:
    """A terminal does nothing but show it."""
    for line in (str(error), *error.details):
        assert visible(line, 10_000) == line


WORDS = (
    *("layers.1", "*", "*.mlp", "model.layers.*.self_attn:q", " if ", "norm", "absmax", "nan", "inf", "layer", "step"),
    *("value[0,1]", "value[", "]", "prev.", "shape", "expert(3)", "token(1)", " > ", " < ", " == ", " and ", " or "),
    *(
        "not ",
        "(",
        ")",
        "1e9",
        "100",
        "-",
        "**",
        "%",
        ":",
        ": zero",
        ": skip",
        " head 3",
        " expert 1",
        "set ",
        "scale ",
    ),
    *(
        "@",
        "/",
        ".",
        ",",
        "0:2",
        "lambda x: x",
        "__class__",
        "'a'",
        '"',
        "\\",
        "\x1b",
        "é",
        "\u202e",
        "\ud800",
        "1" * 99,
    ),
)
EXPRESSIONS = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=9).map("".join)
KINDS: dict[str, Callable[[str], Any]] = {"stop": parse_stop, "edit": parse_edit, "watch": parse_watch}


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(text=EXPRESSIONS)
def test_an_expression_is_taken_or_refused_in_a_line(kind: str, text: str) -> None:
    try:
        made = KINDS[kind](text)
    except InputError as error:
        harmless(error)
        return
    again = KINDS[kind](made.text)
    assert again.text == made.text


@FEW
@given(EXPRESSIONS)
def test_what_is_taken_has_a_value_at_every_record_or_says_why_not(text: str) -> None:
    try:
        expression = parse(text)
    except InputError:
        return
    trace = layers()
    scope = TraceScope(trace)
    for record in trace.records:
        evaluate(expression, scope.moment(record))
