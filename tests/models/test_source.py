"""The code behind a record is the module's own, at its forward or at the role's line."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
import transformers

from tests.tracer.models import tiny_gpt_oss, tiny_llama
from tracetui.models.pass_through import PassThrough
from tracetui.models.source import source_of


def test_a_modules_record_shows_the_statement_that_makes_it_in_its_file() -> None:
    found = source_of(tiny_llama(), "model.layers.1.self_attn")
    assert [found.kind, found.file] == ["LlamaAttention", "transformers/models/llama/modeling_llama.py"]
    assert found.lines[found.at].strip() == "attn_output = self.o_proj(attn_output)"
    assert found.says == "the statement that makes attn_output"
    root = inspect.getsourcefile(transformers)
    assert root is not None
    file = (Path(root).parent.parent / found.file).read_text().splitlines()
    assert tuple(file[found.first - 1 : found.first - 1 + len(found.lines)]) == found.lines


@pytest.mark.parametrize(
    ("site", "kind", "line"),
    [
        ("model.layers.0", "LlamaDecoderLayer", "hidden_states = residual + hidden_states"),
        ("model.layers.0.self_attn#1", "LlamaAttention", "attn_output, attn_weights = attention_interface("),
        ("model.layers.0.self_attn.q_proj", "LlamaAttention", "query_states = self.q_proj("),
        ("model.rotary_emb", "LlamaRotaryEmbedding", "cos"),
        ("model.rotary_emb#1", "LlamaRotaryEmbedding", "sin"),
        ("logits", "LlamaForCausalLM", "logits = self.lm_head("),
        ("model.embed_tokens", "LlamaModel", "self.embed_tokens("),
    ],
)
def test_of_several_tensors_the_very_one_is_shown(site: str, kind: str, line: str) -> None:
    found = source_of(tiny_llama(), site)
    assert found.kind == kind
    assert line in found.lines[found.at]


@pytest.mark.parametrize(
    ("site", "has"),
    [
        ("model.layers.0.self_attn:q", "attention_interface("),
        ("model.layers.0.self_attn:heads", "attention_interface("),
        ("model.layers.0:attn_residual", "residual + "),
    ],
)
def test_a_roles_record_shows_the_line_that_makes_it(site: str, has: str) -> None:
    found = source_of(tiny_llama(), site)
    assert has in found.lines[found.at]
    assert found.says.endswith(site.partition(":")[2])


def test_what_is_no_module_of_its_own_shows_the_nearest_around_it() -> None:
    model = tiny_gpt_oss()
    assert source_of(model, "model.layers.0.mlp.experts.2:in").path == "model.layers.0.mlp.experts"
    assert source_of(model, "logits").kind == "GptOssForCausalLM"
    assert source_of(model, "model.layers.0:lens_ids").says == "forward"


def test_a_layer_that_was_left_out_and_a_class_without_a_file_are_told() -> None:
    model = tiny_llama()
    model.model.layers[0] = PassThrough()
    assert "this layer was left out" in source_of(model, "model.layers.0").error
    made = type("Made", (torch.nn.Module,), {"__module__": "nowhere"})
    model.model.layers[1] = made()
    assert source_of(model, "model.layers.1").error == "Made: its source isn't there"
