"""Attention of classes that call torch themselves is shown like any other: what their modules compute, overheard."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CodeGenConfig,
    CodeGenForCausalLM,
    CpmAntConfig,
    CpmAntForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    MptConfig,
    MptForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    ReformerConfig,
    ReformerModelWithLMHead,
    XGLMConfig,
    XGLMForCausalLM,
    XLNetConfig,
    XLNetLMHeadModel,
)

import tracetui
from tests.tracer.models import prompt, seeded
from tests.tracer.test_attention_truth import QUIET, shown, whole_rows_hidden
from tracetui.models.recordable.unshown import ATTENTION_INTERFACE

FALCON: dict[str, Any] = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES: dict[str, tuple[Any, Any]] = {
    "bloom": (BloomForCausalLM, BloomConfig(vocab_size=61, hidden_size=32, n_layer=2, n_head=4)),
    "falcon": (
        FalconForCausalLM,
        FalconConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
    ),
    "falcon alibi": (
        FalconForCausalLM,
        FalconConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True),
    ),
    "mpt": (MptForCausalLM, MptConfig(vocab_size=61, d_model=32, n_layers=2, n_heads=4, max_seq_len=64)),
    "gptj": (GPTJForCausalLM, GPTJConfig(vocab_size=61, n_embd=32, n_layer=2, n_head=4, rotary_dim=4)),
    "codegen": (CodeGenForCausalLM, CodeGenConfig(vocab_size=61, n_embd=32, n_layer=2, n_head=4, rotary_dim=4)),
    "gpt_neo": (
        GPTNeoForCausalLM,
        GPTNeoConfig(
            vocab_size=61,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=4,
        ),
    ),
    "openai-gpt": (OpenAIGPTLMHeadModel, OpenAIGPTConfig(vocab_size=61, n_embd=32, n_layer=2, n_head=4)),
    "xglm": (
        XGLMForCausalLM,
        XGLMConfig(vocab_size=61, d_model=32, ffn_dim=48, num_layers=2, attention_heads=4, max_position_embeddings=64),
    ),
}


def tiny(family: str) -> Any:
    return seeded(*FAMILIES[family])


def with_eager(model: Any) -> Any:
    """A copy with eager attention: some classes have theirs chosen when they are built."""
    eager = type(model)._from_config(copy.deepcopy(model.config), attn_implementation="eager").eval()
    eager.load_state_dict(model.state_dict())
    return eager


def given_back(model: Any, **inputs: Any) -> list[Any]:
    """The probabilities that the class returns with eager attention."""
    with torch.no_grad():
        return [each.numpy() for each in with_eager(model)(**inputs, output_attentions=True).attentions]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_probabilities_are_those_that_the_class_itself_gives_back(family: str) -> None:
    model = tiny(family) if family != "falcon alibi" else with_eager(tiny(family))
    inputs: dict[str, Any] = {"input_ids": prompt(), "use_cache": False}
    with torch.no_grad():
        plain = model(**inputs).logits.numpy()
    trace = tracetui.trace(model, **inputs)
    np.testing.assert_array_equal(trace["logits"], plain)
    for layer, probabilities in enumerate(given_back(model, **inputs)):
        np.testing.assert_allclose(shown(trace, layer), probabilities, atol=2e-6)
        assert f"{trace.attention(layer).site}:probs" not in trace
    assert not any("can't be shown" in note for note in trace.recorded.run.notes)


@pytest.mark.parametrize("family", ["bloom", "gpt_neo", "codegen", "xglm"])
def test_padding_is_what_the_class_makes_of_it(family: str) -> None:
    model = tiny(family)
    expected = given_back(model, **whole_rows_hidden(model))
    trace = tracetui.trace(model, **whole_rows_hidden(model))
    for layer, probabilities in enumerate(expected):
        np.testing.assert_allclose(shown(trace, layer), probabilities, atol=2e-6)


@pytest.mark.parametrize("family", ["bloom", "codegen", "gpt_neo", "mpt", "openai-gpt", "xglm"])
def test_an_edit_of_scores_that_changes_nothing_changes_nothing(family: str) -> None:
    model = tiny(family)
    plain = tracetui.trace(model, input_ids=prompt())
    edited = tracetui.trace(model, input_ids=prompt(), edits=[QUIET])
    np.testing.assert_allclose(edited["logits"], plain["logits"], atol=2e-5)
    np.testing.assert_allclose(shown(edited, 1), shown(plain, 1), atol=2e-6)


@pytest.mark.parametrize("family", ["bloom", "gptj"])
def test_edits_of_probabilities_values_and_heads_reach_the_model(family: str) -> None:
    model, path = tiny(family), "transformer.h.1.self_attention" if family == "bloom" else "transformer.h.1.attn"
    plain = tracetui.trace(model, input_ids=prompt())
    for role in ("probs", "v", "heads"):
        edited = tracetui.trace(model, input_ids=prompt(), edits=[f"{path}:{role}: scale 0"])
        assert not edited[f"{path}:heads"].any()
        assert np.abs(edited["logits"] - plain["logits"]).max() > 1e-3


def test_a_query_that_was_used_already_can_t_be_edited() -> None:
    model = tiny("gptj")
    with pytest.warns(UserWarning, match="computes its scores itself"):
        trace = tracetui.trace(model, input_ids=prompt(), edits=["transformer.h.1.attn:q: scale 0"])
    np.testing.assert_array_equal(trace["logits"], tracetui.trace(model, input_ids=prompt())["logits"])


def test_matrices_in_an_einsum_of_its_own_order_are_put_in_ours() -> None:
    config = XLNetConfig(vocab_size=61, d_model=32, n_layer=2, n_head=4, d_inner=48)
    model = seeded(XLNetLMHeadModel, config)
    with torch.no_grad():
        expected = model(input_ids=prompt(), output_attentions=True).attentions
    trace = tracetui.trace(model, input_ids=prompt())
    for layer, probabilities in enumerate(expected):
        attention = trace.attention(f"transformer.layer.{layer}.rel_attn")
        found = np.stack([attention.probs(head) for head in range(4)])
        np.testing.assert_allclose(found, probabilities[0].numpy(), atol=1e-6)


def test_positions_that_a_model_puts_before_the_prompt_are_left_out_as_it_does() -> None:
    config = CpmAntConfig(
        vocab_size=61,
        hidden_size=32,
        num_attention_heads=4,
        dim_head=8,
        dim_ff=48,
        num_hidden_layers=1,
        prompt_length=5,
        max_position_embeddings=64,
    )
    model = seeded(CpmAntForCausalLM, config)
    trace = tracetui.trace(model, input_ids=prompt())
    attention = trace.attention(0)
    assert attention.positions_before == 5
    assert attention.q.shape[2] == 14
    np.testing.assert_allclose(shown(trace, 0), given_back(model, input_ids=prompt())[0], atol=2e-6)


@pytest.mark.parametrize("tokens", [4, 12])
def test_attention_in_chunks_is_put_together(tokens: int) -> None:
    config = ReformerConfig(
        vocab_size=61,
        hidden_size=32,
        num_attention_heads=4,
        attention_head_size=8,
        feed_forward_size=48,
        attn_layers=["local"],
        local_attn_chunk_length=4,
        is_decoder=True,
        axial_pos_embds=False,
        max_position_embeddings=64,
    )
    model = seeded(ReformerModelWithLMHead, config)
    with torch.no_grad():
        (expected,) = model(input_ids=prompt(tokens=tokens), output_attentions=True).attentions
        plain = model(input_ids=prompt(tokens=tokens)).logits.numpy()
    trace = tracetui.trace(model, input_ids=prompt(tokens=tokens))
    np.testing.assert_array_equal(trace["logits"], plain)
    attention, found = trace.attention(0), shown(trace, 0)  # [1,H,T,T]
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    assert attention.v is not None
    assert attention.heads is not None
    np.testing.assert_allclose(found @ attention.v, attention.heads, atol=1e-5)
    if tokens == 12:
        # The second chunk's own keys come after those of the first.
        np.testing.assert_allclose(found[0, :, 4:8, :8], expected[0, :, 1].numpy(), atol=1e-6)
    else:
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


class OwnAttention(nn.Module):
    """A user's own attention, with torch's kernel or step by step."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        q, k, v = (part.view(batch, tokens, 4, 8).transpose(1, 2) for part in self.qkv(x).split(32, dim=2))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True) if self.way == "kernel" else self.steps(q, k, v)
        out: torch.Tensor = self.out(heads.transpose(1, 2).reshape(batch, tokens, 32))
        return out

    def steps(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scores = q @ k.transpose(-2, -1) / math.sqrt(8)  # [B,H,T,S]
        if self.way == "capped":
            scores = torch.tanh(scores / 3.0) * 3.0
        if self.way == "squared":
            scores = scores * scores.abs()
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        probabilities = scores.masked_fill(ahead, float("-inf")).softmax(-1)
        if self.way == "sharpened":
            probabilities = probabilities**2
        if self.way == "linear":
            return q.relu() @ (k.relu().transpose(-2, -1) @ v)
        return probabilities @ v


@pytest.fixture
def own() -> Callable[[str], nn.Sequential]:
    def build(way: str) -> nn.Sequential:
        torch.manual_seed(1)
        return nn.Sequential(nn.Embedding(61, 32), OwnAttention(way), nn.Linear(32, 61)).eval()

    return build


@pytest.mark.parametrize("way", ["kernel", "steps", "capped", "squared", "sharpened"])
def test_a_user_s_own_attention_is_shown(own: Callable[[str], nn.Sequential], way: str) -> None:
    model = own(way)
    trace = tracetui.trace(model, prompt(2))
    np.testing.assert_array_equal(trace["output"], model(prompt(2)).detach().numpy())
    attention = trace.attention("1")
    assert attention.v is not None
    assert attention.heads is not None
    for row, head in ((0, 0), (1, 3)):
        probabilities = attention.probs(head, row)
        np.testing.assert_allclose(probabilities @ attention.v[row, head], attention.heads[row, head], atol=1e-6)
        assert not np.triu(probabilities, 1).any()


class Twice(nn.Module):
    def __init__(self, attends: nn.Module) -> None:
        super().__init__()
        self.attends = attends

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.attends(self.attends(x))
        return out


def test_attention_that_runs_again_in_a_pass_is_shown_for_each_call(own: Callable[[str], nn.Sequential]) -> None:
    first, attends, last = own("steps")
    trace = tracetui.trace(nn.Sequential(first, Twice(attends), last), prompt())
    for call in (0, 1):
        attention = trace.attention("1.attends", call=call)
        assert attention.v is not None
        assert attention.heads is not None
        np.testing.assert_allclose(attention.probs(0) @ attention.v[0, 0], attention.heads[0, 0], atol=1e-6)
    with pytest.raises(KeyError, match=r"no attention at 1\.attends in pass 0, call 2"):
        trace.attention("1.attends", call=2)


class Mixer(nn.Module):
    """Two heads that attend one after the other, the second to what the first made, in a class of another name."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = _mixed(x, x)
        return x + first + F.scaled_dot_product_attention(x[:, None], first[:, None], first[:, None])[:, 0]


def _mixed(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    return torch.softmax(queries @ keys.mT, -1) @ keys


class Gate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x @ x.new_ones(32, 32), -1)


def test_attention_is_known_by_its_code_and_each_of_several_in_a_module_has_records_of_its_own(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Embedding(61, 32), Mixer(), Gate()).eval()
    recorded = tracetui.trace(model, prompt(), attention="probs")
    assert not recorded.run.notes
    recorded.save(tmp_path / "two.npz")
    for trace in (recorded, tracetui.open_trace(tmp_path / "two.npz")):
        sites = [f"{record.site}#{record.part}" for record in trace.records if record.role in ("q", "heads", "probs")]
        assert sites == ["1:q#0", "1:probs#0", "1:heads#0", "1:q#1", "1:probs#1", "1:heads#1"]
        for part in (0, 1):
            attention = trace.attention("1", part=part)
            assert attention.v is not None
            assert attention.heads is not None
            np.testing.assert_allclose(attention.probs(0) @ attention.v[0, 0], attention.heads[0, 0], atol=1e-6)
        assert np.abs(trace.attention("1").probs(0) - trace.attention("1", part=1).probs(0)).max() > 0.1
        with pytest.raises(KeyError, match="part 2"):
            trace.attention("1", part=2)


def test_a_class_with_a_softmax_of_its_own_is_known_beside_others_of_its_file(
    own: Callable[[str], nn.Sequential], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], ATTENTION_INTERFACE, object(), raising=False)
    monkeypatch.setattr(OwnAttention, "forward", _attends)
    trace = tracetui.trace(own("steps"), prompt())
    np.testing.assert_array_equal(trace.attention("1").probs(0).sum(axis=-1).round(5), 1)


def _attends(self: OwnAttention, x: torch.Tensor) -> torch.Tensor:
    q, k, v = (part.view(*part.shape[:2], 4, 8).transpose(1, 2) for part in self.qkv(x).split(32, dim=2))
    heads = (q @ k.transpose(-2, -1) / math.sqrt(8)).softmax(-1) @ v
    out: torch.Tensor = self.out(heads.transpose(1, 2).flatten(2))
    return out


def test_a_softcap_of_its_own_is_recorded_as_one(own: Callable[[str], nn.Sequential]) -> None:
    call = tracetui.trace(own("capped"), prompt()).attention("1").call
    assert call.softcap == pytest.approx(3)
    assert call.scale == pytest.approx(8**-0.5)


def test_scores_that_nobody_knows_are_not_made_up(own: Callable[[str], nn.Sequential]) -> None:
    attention = tracetui.trace(own("squared"), prompt()).attention("1")
    with pytest.raises(tracetui.errors.TracetuiError, match="isn't known"):
        attention.scores(0)


def test_attention_without_a_softmax_is_named(own: Callable[[str], nn.Sequential]) -> None:
    trace = tracetui.trace(own("linear"), prompt())
    assert "OwnAttention computes attention in its own way: its attention can't be shown" in trace.recorded.run.notes
    with pytest.raises(KeyError):
        trace.attention("1")


@pytest.mark.filterwarnings("ignore")
def test_one_remark_says_how_to_see_the_layers_of_an_encoder_that_packs_prompts() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.ModuleDict({"encoder": nn.TransformerEncoder(layer, 2)}).eval()
    model.forward = model["encoder"].forward
    x, hidden = torch.randn(2, 5, 16), torch.arange(5).expand(2, 5) > 3
    (remark,) = tracetui.trace(model, x, src_key_padding_mask=hidden).run.notes
    assert remark.startswith("encoder.layers: its layers hand on prompts of different lengths in nested tensors")
    assert "enable_nested_tensor=False" in remark
    assert not tracetui.trace(model, x).run.notes


def test_torch_s_own_encoder_runs_module_by_module_while_it_is_watched() -> None:
    """Unwatched its layers are one operation each, and padding packs prompts into what can't be read."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    inputs: dict[str, Any] = {"src": torch.randn(2, 5, 16), "src_key_padding_mask": torch.arange(5).expand(2, 5) > 3}
    trace = tracetui.trace(model, **inputs)
    with torch.no_grad():
        np.testing.assert_allclose(trace["output"], model(**inputs).numpy(), atol=1e-5)
    assert trace["layers.1.linear1"].shape == (2, 5, 32)


class WithSinks(nn.Module):
    """An attention by hand, one column of sinks behind the keys, which the product with the values leaves out."""

    def __init__(self, level: bool, by_token: bool) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.sinks = nn.Parameter(torch.randn(4))
        self.level, self.by_token = level, by_token

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, _ = x.shape
        q, k, v = (part.view(B, T, 4, 8).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))  # [B,H,T,K]
        scores = q @ k.transpose(-1, -2) * 8**-0.5
        scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf)
        column = self.sinks.view(1, -1, 1, 1).expand(B, -1, T, 1)
        if self.by_token:
            column = column * torch.arange(T)[:, None]
        scores = torch.cat([scores, column], dim=-1)
        if self.level:
            scores = scores - scores.max(dim=-1, keepdim=True).values
        probabilities = scores.softmax(dim=-1)[..., :-1]
        heads: torch.Tensor = self.out((probabilities @ v).transpose(1, 2).flatten(2))
        return heads


@pytest.mark.parametrize("level", [False, True])
def test_sinks_beside_the_scores_are_made_out(level: bool) -> None:
    torch.manual_seed(0)
    module, x = WithSinks(level, by_token=False).eval(), torch.randn(2, 5, 32)
    trace = tracetui.trace(nn.Sequential(module), x)
    assert np.allclose(trace["0:sinks"], module.sinks.detach())
    attention = trace.attention("0")
    for head in range(4):
        q, k = trace["0:q"][1, head], trace["0:k"][1, head]
        masked = np.where(np.tri(5), q @ k.T * 8**-0.5, -np.inf)
        exact = np.exp(masked) / (np.exp(masked).sum(-1, keepdims=True) + np.exp(module.sinks[head].item()))
        assert np.allclose(attention.probs(head, row=1), exact, atol=1e-6)
        assert np.allclose(exact @ trace["0:v"][1, head], trace["0:heads"][1, head], atol=1e-6)


def test_a_column_that_is_no_sinks_is_not_taken_for_them() -> None:
    torch.manual_seed(0)
    trace = tracetui.trace(nn.Sequential(WithSinks(level=False, by_token=True).eval()), torch.randn(1, 5, 32))
    assert not any(record.role in ("sinks", "q", "probs") for record in trace.records)
