"""A script's names are known under another beginning, and of several calls the one that it kept is compared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
)

import tracetui
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_call
from tracetui.views.diff.report import verdict

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
_SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_MAKES: dict[str, Callable[[], PreTrainedModel]] = {
    "phi": lambda: PhiForCausalLM(PhiConfig(vocab_size=32, pad_token_id=0, **_SIZES)),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=32,
            pad_token_id=0,
            num_key_value_heads=1,
            head_dim=8,
            sliding_window=4,
            layer_types=["sliding_attention", "full_attention"],
            **_SIZES,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=32, n_positions=16)),
    "gptj": lambda: GPTJForCausalLM(
        GPTJConfig(n_embd=16, n_layer=2, n_head=2, vocab_size=32, n_positions=16, rotary_dim=4)
    ),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=32, **_SIZES)),
}


def _made(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = _MAKES[family]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def _kept(model: nn.Module, root: nn.Module | None = None, first: bool = False) -> dict[str, Array]:
    """What hooks write into a dict, where a module's later call replaces its earlier one, or doesn't."""
    seen: dict[str, Array] = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, out: object) -> None:
            out = out[0] if isinstance(out, tuple) else out
            if name and isinstance(out, Tensor) and not (first and name in seen):
                seen[name] = out.detach().numpy().copy()

        return hook

    modules = (root or model).named_modules()
    handles = [module.register_forward_hook(keep(name)) for name, module in modules]
    with torch.no_grad():
        model(IDS)
    for handle in handles:
        handle.remove()
    return seen


@pytest.fixture(scope="module")
def runs() -> dict[str, tuple[PreTrainedModel, Trace]]:
    models = {family: _made(family) for family in _MAKES}
    return {family: (model, record_call(model, input_ids=IDS)) for family, model in models.items()}


def _beside(arrays: dict[str, Array], trace: Trace) -> Report:
    return report(trace_of(arrays, dump=True), trace)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("family", ["phi", "gemma3"])
def test_one_call_of_several_is_the_one_that_a_script_kept(
    runs: dict[str, tuple[PreTrainedModel, Trace]], family: str, first: bool
) -> None:
    model, trace = runs[family]
    found = _beside(_kept(model, first=first), trace)
    assert found.comparison.same, verdict(found)
    several = {record.site for record in trace.records if record.call}
    calls = {site.pair.b.record.call for site in found.comparison.sites if site.pair.b.record.site in several}
    assert calls == {0 if first else 1}


def _decoded(model: PreTrainedModel, prompt: int) -> dict[str, Array]:
    """What the same hooks write over a prompt and each token behind it, from a cache."""
    arrays: dict[str, Array] = {}
    cache = None
    for pass_, ids in enumerate([IDS[:, :prompt], *(IDS[:, at : at + 1] for at in range(prompt, IDS.shape[1]))]):
        ending = f"@{pass_}" if pass_ else ""
        handles = [
            module.register_forward_hook(
                lambda _module, _args, out, name=f"{name}{ending}": arrays.update(
                    {name: (out[0] if isinstance(out, tuple) else out).numpy().copy()}
                )
            )
            for name, module in model.named_modules()
            if name.endswith(("rotary_emb", "dropout", "mlp", "norm"))
        ]
        with torch.no_grad():
            cache = model(ids, past_key_values=cache, use_cache=True).past_key_values
        for handle in handles:
            handle.remove()
    return arrays


@pytest.mark.parametrize("family", ["phi", "gemma3"])
def test_the_last_call_of_each_pass_is_the_one_that_a_script_kept(
    runs: dict[str, tuple[PreTrainedModel, Trace]], family: str
) -> None:
    model, trace = runs[family]
    diff = tracetui.diff(_decoded(model, IDS.shape[1] - 2), trace)
    assert diff.same, diff.verdict
    calls = {site.pair.b.record.call for site in diff.sites if site.pair.record.pass_ == 2}
    assert calls == {0, 1}


def test_a_fault_in_what_is_called_twice_is_told_at_the_last_call(
    runs: dict[str, tuple[PreTrainedModel, Trace]],
) -> None:
    model, trace = runs["phi"]
    arrays = _kept(model)
    arrays["model.layers.1.resid_dropout"] = arrays["model.layers.1.resid_dropout"] * 1.5
    found = _beside(arrays, trace)
    assert found.first is not None
    assert found.first.pair.b.record.key == "model.layers.1.resid_dropout@0.1"


@pytest.mark.parametrize(("family", "inside"), [("gpt2", "transformer"), ("gpt_neox", "gpt_neox"), ("phi", "model")])
def test_the_part_inside_a_head_is_known_without_its_own_name(
    runs: dict[str, tuple[PreTrainedModel, Trace]], family: str, inside: str
) -> None:
    model, trace = runs[family]
    whole, part = _kept(model), _kept(model, model.get_submodule(inside))
    found = _beside(part, trace)
    assert found.comparison.same
    assert found.comparison.compared == len(part)
    wrapped = _beside({f"net.{name}": value for name, value in whole.items() if inside in name}, trace)
    assert wrapped.comparison.compared == sum(inside in name for name in whole)


def test_layers_of_two_towers_are_not_taken_for_each_other() -> None:
    a = trace_of({"vision.layers.0.conv": normal(1, 4, 8), "text.layers.0.conv": normal(1, 4, 8)}, dump=True)
    b = trace_of({"model.decoder.layers.0.conv": normal(1, 4, 8)})
    assert not report(a, b).comparison.compared


def test_one_name_on_both_sides_is_never_a_wrong_pair(runs: dict[str, tuple[PreTrainedModel, Trace]]) -> None:
    """A key that is off may move nothing else by more than rounding: attention hardly looks at it."""
    model, trace = runs["gptj"]
    arrays = _kept(model)
    site = "transformer.h.1.attn.k_proj"
    for name in (site, site.removeprefix("transformer.")):
        rest = {key: value for key, value in arrays.items() if key != site}
        if name != site:
            rest = {key.removeprefix("transformer."): value for key, value in rest.items()}
        found = _beside({**rest, name: arrays[site] * 1.2}, trace)
        assert found.first is not None
        assert found.first.pair.b.record.key == site
