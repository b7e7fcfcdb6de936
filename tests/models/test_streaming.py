"""Weights that are there only while their module runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from tracetui.errors import Cancelled
from tracetui.models.build import build_model
from tracetui.models.weights.placeholder import Placeholder
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sources import FirstOf, Init, TensorSpec, Tick
from tracetui.models.weights.streaming import Reader, Weights
from tracetui.recipe import Layers, Recipe

CONFIG: dict[str, object] = {
    "model_type": "llama",
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SOURCE = RandomSource(0, 0.02)
ALL = Layers(0, 3)
PLENTY = 2**40
IDS = torch.tensor([[5, 89, 5, 0]])


class Counting:
    """A source that tells which tensors were asked for."""

    def __init__(self) -> None:
        self.read_names: list[str] = []

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str:
        return "random"

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        self.read_names.append(spec.name)
        return SOURCE.read(spec, rows, tick)


def silent(name: str, done: int, total: int) -> None:
    """Nobody watches."""


def model(tied: bool = False, layers: Layers = ALL, bias: bool = False) -> nn.Module:
    config = {**CONFIG, "tie_word_embeddings": tied, "attention_bias": bias}
    built: nn.Module = build_model(Recipe("r", "R", "r.toml", config, layers), torch.float32).module
    return built


def weights(built: nn.Module, budget: int = 0, source: Counting | None = None) -> Weights:
    return Weights(built, torch.float32, source or SOURCE, budget)


def is_placeholder(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, Placeholder)


def run_streamed(built: nn.Module, own: Weights) -> torch.Tensor:
    """Run every module with its weights put in before and taken out after: the logits [B,T,V]."""
    hooks = []
    for module, _ in own.all_slots():
        hooks.append(module.register_forward_pre_hook(_put_in(own)))
        hooks.append(module.register_forward_hook(lambda m, *_: own.take_out(m), always_call=True))
    try:
        with torch.no_grad():
            logits: torch.Tensor = built(IDS, use_cache=False).logits
        return logits
    finally:
        for hook in hooks:
            hook.remove()


def _put_in(own: Weights) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
    def hook(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        if own.needed_by(module):
            own.put_in(module, silent)

    return hook


def ordinary_logits(tied: bool = False) -> torch.Tensor:
    """The same weights in a model that transformers made and filled in its own way."""
    from transformers import LlamaConfig, LlamaForCausalLM

    fields = {name: value for name, value in CONFIG.items() if name != "model_type"}
    reference = LlamaForCausalLM(LlamaConfig(**fields, tie_word_embeddings=tied)).eval()
    own = weights(model(tied))
    made = {slot.spec.name: SOURCE.read(slot.spec, None, lambda made: None) for _, slot in own.all_slots()}
    missing, unexpected = reference.load_state_dict(made, strict=False)
    assert not unexpected
    assert missing == (["lm_head.weight"] if tied else [])
    with torch.no_grad():
        logits: torch.Tensor = reference(IDS).logits
    return logits


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("budget", [0, 40_000, PLENTY])
def test_a_streamed_model_computes_what_a_whole_one_does(tied: bool, budget: int) -> None:
    built = model(tied)
    own = weights(built, budget)
    expected = ordinary_logits(tied)
    for _ in range(2):
        torch.testing.assert_close(run_streamed(built, own), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("budget", [0, 40_000, PLENTY])
def test_after_a_run_only_what_may_stay_is_in_memory(budget: int) -> None:
    built = model()
    own = weights(built, budget)
    assert all(is_placeholder(parameter) for parameter in built.parameters())
    run_streamed(built, own)
    there = {name: parameter for name, parameter in built.named_parameters() if not is_placeholder(parameter)}
    assert sum(parameter.nbytes for parameter in there.values()) == own.kept_bytes <= budget
    assert "model.embed_tokens.weight" not in there
    for module, slot in own.all_slots():
        if slot.spec.name in there:
            expected = SOURCE.read(slot.spec, None, lambda made: None)
            assert torch.equal(module.get_parameter(slot.parameter), expected)


def test_the_budget_is_filled_in_the_order_of_the_model() -> None:
    built = model()
    own = weights(built, 40_000)
    run_streamed(built, own)
    made = [not is_placeholder(slot_module.get_parameter(slot.parameter)) for slot_module, slot in own.all_slots()]
    names = [slot.spec.name for _, slot in own.all_slots()]
    first_out = made.index(False, 1)
    assert names[0] == "model.embed_tokens.weight"
    assert all(made[1:first_out])
    largest = max((slot.spec.nbytes(), slot.spec.name) for _, slot in own.all_slots() if "embed" not in slot.spec.name)
    assert largest[1] == "lm_head.weight"
    assert own.largest_passing_bytes == largest[0]
    assert weights(built, PLENTY).largest_passing_bytes == 0


def test_what_stays_is_made_once() -> None:
    built, source = model(), Counting()
    own = weights(built, PLENTY, source)
    run_streamed(built, own)
    first = len(source.read_names)
    assert sorted(source.read_names) == sorted(slot.spec.name for _, slot in own.all_slots())
    run_streamed(built, own)
    assert source.read_names[first:] == ["model.embed_tokens.weight"]
    own.clear()
    assert all(is_placeholder(parameter) for parameter in built.parameters())


def test_only_the_layers_asked_for_have_weights() -> None:
    built, source = model(layers=Layers(1, 2)), Counting()
    run_streamed(built, weights(built, 0, source))
    assert {name.split(".")[2] for name in source.read_names if ".layers." in name} == {"1"}


def test_embedding_rows_are_made_once_each() -> None:
    built = model()
    own = weights(built)
    embedding = built.get_submodule("model.embed_tokens")
    assert isinstance(embedding, nn.Embedding)
    seen: list[tuple[str, int, int]] = []
    with own.lending(Reader(lambda *made: seen.append(made), lambda: 1, lambda seconds: None)):
        found = embedding(IDS)  # [1,T,D]
        assert seen[-1] == ("model.embed_tokens.weight", 3 * 32 * 4, 3 * 32 * 4)
        assert is_placeholder(embedding.weight)
        with pytest.raises(IndexError, match="index out of range: 0 to 90 of 90 rows"):
            embedding(IDS + (IDS == 89))
    (slot,) = own.of(embedding)
    table = SOURCE.read(slot.spec, None, lambda made: None)
    assert torch.equal(found, table[IDS])
    assert torch.equal(embedding.weight[IDS], table[IDS])
    assert torch.equal(torch.embedding(embedding.weight, IDS), table[IDS])


def test_cancelling_leaves_whole_tensors_or_none() -> None:
    """Cancelled at the first, second, … look: no slot ever holds part of a tensor."""
    at = 0
    while True:
        built = model()
        own = weights(built, PLENTY)
        left = at

        def cancel(name: str, done: int, total: int) -> None:
            nonlocal left
            if left == 0:
                raise Cancelled
            left -= 1

        layer = built.get_submodule("model.layers.1.self_attn.q_proj")
        try:
            own.put_in(layer, cancel)
        except Cancelled:
            assert is_placeholder(layer.get_parameter("weight"))
            at += 1
            continue
        break
    assert at >= 2
    assert not is_placeholder(layer.get_parameter("weight"))


def test_a_cancelled_module_with_several_parameters_has_whole_ones() -> None:
    built = model(bias=True)
    own = weights(built, PLENTY)
    layer = built.get_submodule("model.layers.0.self_attn.q_proj")

    def cancel(name: str, done: int, total: int) -> None:
        if name.endswith("bias"):
            raise Cancelled

    with pytest.raises(Cancelled):
        own.put_in(layer, cancel)
    expected = SOURCE.read(own.of(layer)[0].spec, None, lambda made: None)
    assert torch.equal(layer.get_parameter("weight"), expected)
    assert is_placeholder(layer.get_parameter("bias"))
    own.put_in(layer, silent)
    assert torch.equal(layer.get_parameter("bias"), torch.zeros(32))


@pytest.mark.parametrize("tied", [False, True])
def test_weights_that_are_not_there_are_made_for_whoever_uses_them(tied: bool) -> None:
    built = model(tied)
    own = weights(built, PLENTY)
    with torch.no_grad():
        logits = built(IDS, use_cache=False).logits
    torch.testing.assert_close(logits, ordinary_logits(tied), rtol=0, atol=1e-6)
    assert all(is_placeholder(parameter) for parameter in built.parameters())
    assert not own.loans


def test_a_tied_tensor_has_one_name() -> None:
    names = [slot.spec.name for _, slot in weights(model(tied=True)).all_slots()]
    assert names.count("model.embed_tokens.weight") == 2
    assert "lm_head.weight" not in names


class Half:
    """A source that has the first layer alone."""

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return "file" if ".layers.0." in spec.name and not spec.name.endswith("bias") else None

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        return torch.full(spec.shape, 2.0)


def test_of_stacked_sources_the_first_that_has_a_tensor_gives_it() -> None:
    built = model(bias=True)
    own = Weights(built, torch.float32, FirstOf(Half(), SOURCE), PLENTY)
    mixed, other = (built.get_submodule(f"model.layers.{n}.self_attn.q_proj") for n in (0, 1))
    assert (own.provenance(mixed), own.provenance(other)) == ("file+random", "random")
    assert own.provenance(built) == ""
    own.put_in(mixed, silent)
    own.put_in(other, silent)
    assert torch.equal(mixed.get_parameter("weight"), torch.full((32, 32), 2.0))
    assert not torch.equal(other.get_parameter("weight"), torch.full((32, 32), 2.0))
    with pytest.raises(KeyError):
        FirstOf(Half()).read(own.of(other)[0].spec, None, lambda made: None)


class Biased:
    """A source whose routers prefer some experts."""

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str:
        return "random"

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        if spec.name.endswith("e_score_correction_bias"):
            assert spec.dtype == torch.float32
            return torch.arange(spec.rows) % 3 * 0.5
        return RandomSource(0, 0.2).read(spec, rows, tick)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("budget", [0, PLENTY])
def test_a_buffer_that_checkpoints_hold_is_a_weight_like_any_other(dtype: torch.dtype, budget: int) -> None:
    """DeepSeek's selection bias decides who is chosen: the same model, filled by transformers' loading, agrees."""
    from tests.models.test_checkpoint_tree import recipe

    built = build_model(recipe("deepseek_v3"), dtype).module
    # All experts at once, as a module of any other kind.
    built.config._experts_implementation = None
    own = Weights(built, dtype, Biased(), budget)
    state = {slot.spec.name: Biased().read(slot.spec, None, lambda made: None) for _, slot in own.all_slots()}
    assert [name for name in state if name not in dict(built.named_parameters())] == [
        f"model.layers.{layer}.mlp.gate.e_score_correction_bias" for layer in (1, 2, 3)
    ]
    reference = type(built)(built.config).to(dtype)
    reference.load_state_dict(state)
    for layer in (1, 2, 3):
        gate = reference.get_submodule(f"model.layers.{layer}.mlp.gate")
        gate.e_score_correction_bias = state[f"model.layers.{layer}.mlp.gate.e_score_correction_bias"]
    reference.model.rotary_emb = built.model.rotary_emb
    with torch.no_grad():
        assert torch.equal(run_streamed(built, own), reference.eval()(IDS, use_cache=False).logits)
    left = built.get_submodule("model.layers.1.mlp.gate").get_buffer("e_score_correction_bias")
    assert is_placeholder(left) == (budget == 0)


class Tables:
    """A source that has tables of integers, and draws the rest."""

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return "file"

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        return torch.arange(3) if spec.name.endswith("table") else SOURCE.read(spec, rows, tick)


def test_a_stored_table_of_integers_is_the_file_s_or_stays() -> None:
    for source, expected in ((SOURCE, [0, 0, 0]), (Tables(), [0, 1, 2])):
        built = model()
        built.get_submodule("model").register_buffer("table", torch.zeros(3, dtype=torch.int64))
        own = Weights(built, torch.float32, source, 0)
        assert built.get_submodule("model").get_buffer("table").tolist() == expected
        assert not [slot for _, slot in own.all_slots() if slot.parameter == "table"]


def test_a_random_selection_bias_chooses() -> None:
    """At 0 it would leave every choice to the scores."""
    from tests.models.test_checkpoint_tree import recipe

    model = build_model(recipe("deepseek_v3"), torch.float32).module
    found = [slot.spec for _, slot in Weights(model, torch.float32, SOURCE, 0).all_slots()]
    biases = [spec for spec in found if spec.name.endswith("e_score_correction_bias")]
    assert biases
    for spec in biases:
        drawn = SOURCE.read(spec, None, lambda made: None)
        assert len(set(drawn.tolist())) == len(drawn)
    others = [spec for spec in found if spec.name.endswith("bias") and spec not in biases]
    assert all(spec.init is Init.ZEROS for spec in others)


def test_weights_lie_and_count_as_those_of_a_model_that_torch_made() -> None:
    built = model(tied=True, bias=True)
    made = weights(built)
    for module in built.modules():
        made.put_in(module, silent)
    # Torch chooses the kernel by both: where a matrix lies, and whether it requires a gradient.
    assert all(parameter.data_ptr() % 64 == 0 for parameter in built.parameters())
    assert all(parameter.requires_grad for parameter in built.parameters())
