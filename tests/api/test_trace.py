"""What `tracetui.trace` and `open_trace` give: the numbers are the model's own, and nothing of the watching stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tracetui
from tests.hooks_left import hooks_left
from tests.tiny_moe import DEEPSEEK, whole_trace
from tests.tracer.models import prompt, tiny_gpt_oss, tiny_llama
from tracetui.analysis.attention.call import causal, softmax
from tracetui.recording.record import Record, Token
from tracetui.recording.spill import SpilledValue
from tracetui.recording.trace import RunInfo
from tracetui.recording.trace import Trace as Recorded
from tracetui.recording.value import ArrayValue, NotKeptError, StatisticsValue
from tracetui.tracer import call
from tracetui.tracer.capture import store

RECIPE = """
title = "tiny llama"
prompt = "the recipe's own"
dtype = "float32"
tokenizer = "builtin"
[config]
model_type = "llama"
vocab_size = 4200
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 3
num_attention_heads = 4
"""


@pytest.fixture(scope="module")
def llama() -> Any:
    return tiny_llama()


@pytest.fixture(scope="module")
def trace(llama: Any) -> tracetui.Trace:
    return tracetui.trace(llama, input_ids=prompt(), use_cache=False)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return str(path)


class Pair(nn.Module):
    """A module that is no language model: two inputs, positional, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, y: torch.Tensor, fail: bool = False) -> torch.Tensor:
        if fail:
            raise ArithmeticError("of the model's own")
        joined: torch.Tensor = self.dropout(self.first(x)) + y
        return joined


def test_the_name_is_the_package_and_the_function_however_it_is_imported() -> None:
    snippets = [
        "import tracetui; f = tracetui.trace",
        "import tracetui.recording.record, tracetui; f = tracetui.trace",
        "from tracetui import trace as f; import tracetui.recording.npz",
        "import tracetui; tracetui.open_trace; import tracetui.recording.record as r; r.Record; f = tracetui.trace",
    ]
    for snippet in snippets:
        check = f"{snippet}\ntry: f(3)\nexcept TypeError as error: print(error)"
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.strip() == "an nn.Module, or a recipe's name or path is needed, got int", done.stderr


def test_the_stub_names_what_there_is() -> None:
    for name in ("Attention", "Diff", "InputError", "Routing", "RunError", "Trace", "diff", "open_trace", "trace"):
        assert getattr(tracetui, name).__name__.rpartition(".")[2] == name
        assert name in dir(tracetui)
    with pytest.raises(AttributeError, match="no attribute 'debugg'"):
        getattr(tracetui, "debugg")  # noqa: B009


def test_a_model_s_logits_and_configuration_are_its_own(llama: Any, trace: tracetui.Trace) -> None:
    with torch.no_grad():
        expected = llama(prompt(), use_cache=False).logits.numpy()
    np.testing.assert_array_equal(trace["logits"], expected)
    assert [token.id for token in trace.tokens[0]] == prompt()[0].tolist()
    assert trace.run.config["hidden_size"] == 32
    assert trace.run.model == "LlamaForCausalLM"


def test_mode_hooks_and_gradients_are_left_alone_whatever_happens() -> None:
    model = Pair().train()
    before = [parameter.clone() for parameter in model.parameters()]
    torch.manual_seed(0)
    found = tracetui.trace(model, torch.ones(4, 3), torch.zeros(4, 2))
    assert found["first"].shape == (4, 2)
    assert 0 < trace_zeros(found) < 8
    assert found.tokens == ()
    with pytest.raises(ArithmeticError, match="of the model's own"):
        tracetui.trace(model, torch.ones(4, 3), torch.zeros(4, 2), fail=True)
    assert hooks_left(model) == 0
    assert model.training
    assert torch.is_grad_enabled()
    assert all(map(torch.equal, before, model.parameters()))


def trace_zeros(found: tracetui.Trace) -> int:
    """Elements that dropout made 0, as it does in training alone."""
    return found.statistics("dropout").zeros


def test_padding_at_the_right_is_no_token() -> None:
    ids = prompt(2, 6)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    found = tracetui.trace(tiny_llama(), input_ids=ids, attention_mask=mask, use_cache=False)
    assert [len(row) for row in found.tokens] == [6, 4]
    last = found["logits"][1, 3]
    assert found.predictions(k=1, row=1)[0].token.id == int(last.argmax())


def test_values_that_are_not_kept_leave_their_statistics(llama: Any, trace: tracetui.Trace) -> None:
    few = tracetui.trace(llama, input_ids=prompt(), use_cache=False, keep=["*.self_attn:q", "logits"])
    none = tracetui.trace(llama, input_ids=prompt(), use_cache=False, keep="stats")
    assert [record.key for record in few.records] == list(trace) == list(none)
    assert few["model.layers.1.self_attn:q"].shape == (1, 4, 9, 8)
    for found, site in ((few, "model.layers.0"), (none, "logits")):
        with pytest.raises(NotKeptError):
            found[site]
        assert found.statistics(site) == trace.statistics(site)
        with pytest.raises(NotKeptError):
            found.outliers(site)


def test_outliers_are_those_of_the_values(trace: tracetui.Trace) -> None:
    values, outliers = trace["model.layers.0"], trace.outliers("model.layers.0")
    assert outliers.largest is not None
    assert abs(values[outliers.largest]) == np.abs(values).max() == abs(outliers.value)
    squares = np.square(values.astype(np.float64)).sum(axis=(0, 1))
    assert outliers.channel == squares.argmax()
    assert outliers.share == pytest.approx(squares.max() / squares.sum())


def test_attention_is_that_of_the_kernel(trace: tracetui.Trace) -> None:
    attention = trace.attention(1)
    q, k, v = attention.q[0], attention.k[0], attention.v
    assert v is not None
    scores = q[3] @ k[1].T * attention.call.scale
    np.testing.assert_allclose(attention.scores(3), scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(attention.masked(-1), causal(attention.scores(3)))
    np.testing.assert_allclose(attention.probs(3), softmax(causal(attention.scores(3))))
    assert attention.heads is not None
    np.testing.assert_allclose(attention.heads[0, 3], attention.probs(3) @ v[0, 1], atol=1e-5)
    assert attention.kv_head(3) == 1
    assert repr(trace.attention("model.layers.1.self_attn")) == repr(attention)
    assert repr(attention) == (
        "<Attention model.layers.1.self_attn: 4 heads, 2 of keys and values, 9 queries × 9 keys, sdpa>"
    )


def test_what_there_is_not_is_said_with_what_there_is(trace: tracetui.Trace) -> None:
    with pytest.raises(KeyError, match="no attention of layer 2 in pass 0; layers that have one: 0, 1"):
        trace.attention(2)
    with pytest.raises(IndexError, match="head: must be 0 to 3, got 4"):
        trace.attention(0).probs(4)
    with pytest.raises(IndexError, match="row: must be 0 to 0, got 1"):
        trace.attention(0).probs(0, row=1)
    with pytest.raises(KeyError, match="no routing of layer 0"):
        trace.routing(0)
    with pytest.raises(KeyError, match=r"no 'model\.layers\.0\.mpl'; near are model\.layers\.0\.mlp"):
        trace.statistics("model.layers.0.mpl")
    with pytest.raises(IndexError, match="logits of 9 of 9 positions, not of 9"):
        trace.predictions(position=9)
    with pytest.raises(IndexError, match="row: must be 0 to 0, got 3"):
        trace.predictions(row=3)


def test_predictions_follow_each_position(trace: tracetui.Trace) -> None:
    logits = trace["logits"][0]
    for position in range(-9, 9):
        best = trace.predictions(k=2, position=position)
        assert [found.token.id for found in best] == np.argsort(-logits[position])[:2].tolist()
    assert sum(found.probability for found in trace.predictions(k=61)) == pytest.approx(1)


def test_the_last_logits_alone_are_those_of_the_last_position(llama: Any) -> None:
    found = tracetui.trace(llama, input_ids=prompt(), use_cache=False, logits_to_keep=1)
    assert found.predictions(k=1)[0].token.id == int(found["logits"][0, 0].argmax())
    assert found.predictions(position=8) == found.predictions()
    with pytest.raises(IndexError, match="logits of 1 of 9 positions, not of 7"):
        found.predictions(position=7)


def test_the_residual_stream_has_two_points_a_layer(trace: tracetui.Trace) -> None:
    labels = [point.label for point in trace.residual()]
    assert labels == ["embed", "0 attn", "0", "1 attn", "1"]
    assert trace.residual()[-1].l2 == pytest.approx(float(np.linalg.norm(trace["model.layers.1"])), rel=1e-6)


def test_routing_has_choices_weights_margins_and_load() -> None:
    found = tracetui.Trace(whole_trace().trace).routing(1)
    assert found.scores is not None
    assert found.selection is not None
    assert found.margins is not None
    assert found.weights is not None
    assert found.experts.shape == found.weights.shape == found.margins.shape == (17, DEEPSEEK.active)
    others = found.selection.copy()
    np.put_along_axis(others, found.experts, -np.inf, axis=1)
    chosen = np.take_along_axis(found.selection, found.experts, axis=1)
    np.testing.assert_allclose(found.margins, chosen - others.max(axis=1, keepdims=True), rtol=1e-6)
    assert found.load.counts.sum() == 17 * DEEPSEEK.active
    assert repr(found).startswith("<Routing model.layers.1.mlp: 17 tokens choose 4 of 16 experts, ")


def test_a_trace_is_saved_and_opened_and_saves_the_same_bytes(trace: tracetui.Trace, tmp_path: Path) -> None:
    size = trace.save(tmp_path / "a.npz")
    opened = tracetui.open_trace(tmp_path / "a.npz")
    opened.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert size == (tmp_path / "a.npz").stat().st_size
    assert repr(opened) == repr(trace)
    np.testing.assert_array_equal(opened.read("logits", (0, slice(2, 4))), trace["logits"][0, 2:4])


def text(row: Sequence[Token]) -> str:
    return b"".join(token.bytes for token in row if not token.special).decode()


def test_a_recipe_takes_the_command_line_s_options(recipe: str) -> None:
    found = tracetui.trace(recipe, prompts=["one", "two and more"], layers=1, seed=5, dtype="bfloat16")
    assert [text(row) for row in found.tokens] == ["one", "two and more"]
    assert found.run.recipe["seed"] == 5
    assert {record.layer for record in found.records} == {None, 0}
    assert found.record("model.layers.0").dtype == "bfloat16"
    own = tracetui.trace(recipe, layers="0:1")
    assert text(own.tokens[0]) == "the recipe's own"


def test_values_beyond_their_memory_are_spilled_and_beyond_the_disk_left_out(recipe: str, tmp_path: Path) -> None:
    whole = tracetui.trace(recipe, layers=1)
    spilled = tracetui.trace(recipe, layers=1, values=0, spill="1G", spill_folder=tmp_path)
    assert all(isinstance(value, SpilledValue) for value in spilled.recorded.values)
    np.testing.assert_array_equal(spilled["logits"], whole["logits"])
    left = tracetui.trace(recipe, layers=1, values=0, spill=0)
    assert all(isinstance(value, StatisticsValue) for value in left.recorded.values)


def test_a_module_s_values_leave_half_of_the_memory_free(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "available_bytes", lambda: 2 * 4 * 1000)
    monkeypatch.setattr(store, "UNASKED", 4000)
    found = tracetui.trace(llama, prompt())
    kinds = {isinstance(value, SpilledValue) for value in found.recorded.values}
    assert kinds == {True, False}
    with torch.no_grad():
        np.testing.assert_array_equal(found["logits"], llama(prompt(), use_cache=False).logits.numpy())


def test_token_ids_are_one_prompt_or_a_batch(recipe: str) -> None:
    one = tracetui.trace(recipe, tokens=[5, 6, 7], layers=1)
    batch = tracetui.trace(recipe, tokens=[[5, 6, 7], [8]], layers=1)
    assert [[token.id for token in row] for row in one.tokens] == [[5, 6, 7]]
    assert [[token.id for token in row] for row in batch.tokens] == [[5, 6, 7], [8]]
    np.testing.assert_allclose(one["logits"][0, -1], batch["logits"][0, 2], rtol=1e-4, atol=1e-5)
    assert len(tracetui.trace(recipe, random_tokens=(2, 3), layers=1).tokens) == 2


def test_a_recipe_goes_on_from_its_prompt(recipe: str) -> None:
    found = tracetui.trace(recipe, tokens=[5, 6, 7], layers=1, generate=2, eos=[])
    added = [token.id for token in found.tokens[0]][3:]
    assert added == [int(found["logits"][0, -1].argmax()), int(found["logits@1"][0, -1].argmax())]
    assert found.attention(0, pass_=1).probs(0).shape == (1, 4)
    drawn = [tracetui.trace(recipe, tokens=[5], layers=1, generate=3, sample_seed=7).tokens for _ in range(2)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"generate": -1}, "generate: must be 0 to"),
        ({"temperature": -1.0, "generate": 1}, "temperature: must be above 0"),
        ({"prompt": "x", "tokens": [1]}, "prompt and tokens: a run has one of them"),
        ({"tokens": []}, "tokens: "),
        ({"tokens": [-1]}, "tokens: must be between 0 and"),
        ({"prompts": []}, "prompts: a batch has 1 to"),
        ({"random_tokens": (0, 4)}, "random_tokens: a batch has 1 to"),
        ({"layers": 9}, "layers: must lie within the model's 3 layers"),
        ({"dtype": "float12"}, "dtype: must be one of"),
        ({"tokens": [1], "chat": True}, "chat: needs texts"),
        ({"prompt": "x", "system": "y"}, "system: is a message of a chat"),
        ({"weights": "/nowhere"}, "/nowhere"),
        ({"values": "much"}, "values: must be a size like 4G"),
        ({"spill": -1}, "spill: must be a size like 4G"),
        ({"spill_folder": "/nowhere"}, "spill_folder: /nowhere: is not a folder"),
    ],
)
def test_bad_options_are_refused_in_words(recipe: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(tracetui.InputError) as refused:
        tracetui.trace(recipe, **options)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stops": "layers.0.mpl"}, "stops: at character 1: no module layers.0.mpl; layers.0.mlp is meant?"),
        ({"stops": ["nan", "* if entropy(99) > 1"]}, "stops: "),
        ({"edits": "layers.9.mlp: zero"}, "edits: "),
        ({"keep": "layers.9.mlp"}, "keep: "),
    ],
)
def test_what_a_module_lacks_is_refused_before_it_is_called(
    llama: Any, options: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "forward", None)
    with pytest.raises(tracetui.InputError) as caught:
        tracetui.trace(llama, input_ids=prompt(), **options)
    assert str(caught.value).startswith(problem), str(caught.value)


def test_mistakes_of_types_are_named(recipe: str) -> None:
    mistaken: Any = tracetui.trace
    with pytest.raises(tracetui.InputError, match=r"^prompts: must be a list of texts, got 'one text'"):
        mistaken(recipe, prompts="one text")
    with pytest.raises(tracetui.InputError, match=r"^seed: must be an integer, got 'three'"):
        mistaken(recipe, seed="three")
    with pytest.raises(TypeError, match="prompt=, prompts= or tokens="):
        mistaken(recipe, [1, 2])
    with pytest.raises(TypeError, match="sed"):
        mistaken(recipe, sed=1)
    with pytest.raises(tracetui.InputError, match="no-such-recipe"):
        mistaken("no-such-recipe")
    with pytest.raises(tracetui.InputError, match=r"nowhere\.npz"):
        tracetui.open_trace("nowhere.npz")


def test_hostile_text_reaches_a_notebook_escaped() -> None:
    evil = "<script>alert(1)</script>\u202e&\x1b[2J"
    value = ArrayValue(np.ones((1, 2)))
    record = Record(0, evil, (1, 2), "float64", 0)
    token = Token(1, evil.encode())
    found = tracetui.Trace(Recorded(RunInfo(model=evil, notes=(evil,)), ((token,),), (record,), (value,), {}))
    html = found._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 4
    assert all(bad not in html + repr(found) + repr(found.records[0]) for bad in ("\u202e", "\x1b"))


def test_reprs_are_short(trace: tracetui.Trace) -> None:
    assert repr(trace) == f"<Trace of LlamaForCausalLM: 9 tokens, {len(trace)} records in 2 layers>"
    assert repr(trace.record("logits")) == f"<Record {len(trace) - 1} logits [1, 9, 61] float32>"
    assert repr(tracetui.Trace(whole_trace(lengths=(3, 5)).trace)).startswith("<Trace of ")
    assert "2 prompts of up to 5 tokens" in repr(tracetui.Trace(whole_trace(lengths=(3, 5)).trace))
    assert trace._repr_html_().count("<tr>") < 90


def test_a_dataframe_has_a_row_for_each_record(trace: tracetui.Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = ModuleType("pandas")
    made: dict[str, Any] = {}
    monkeypatch.setattr(
        pandas, "DataFrame", lambda rows, columns: made.update(rows=rows, columns=columns), raising=False
    )
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    trace.dataframe()
    table = [dict(zip(made["columns"], row, strict=True)) for row in made["rows"]]
    assert [row["key"] for row in table] == list(trace)
    assert table[-1]["shape"] == "1x9x61"
    assert table[-1]["l2"] == trace.statistics("logits").l2


def test_without_pandas_the_advice_is_plain(trace: tracetui.Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        trace.dataframe()


def test_a_model_with_sinks_and_experts_is_recorded_through_the_same_door() -> None:
    found = tracetui.trace(tiny_gpt_oss(), prompt(), use_cache=False)
    assert (found.attention(0).probs(0).sum(axis=1) < 1).all()
    assert found.routing(0).experts.shape == (9, 2)
