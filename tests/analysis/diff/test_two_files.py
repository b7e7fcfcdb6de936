"""Two files of a script's tensors, of which no run tells the order: what comes first is the first to differ."""

from __future__ import annotations

import pytest

import tracetui
from tests.analysis.diff.made import normal
from tracetui.recording.value import Array

HYBRID = (
    *("input_layernorm", "linear_attn.in_proj_qkvz", "linear_attn.norm", "linear_attn.out_proj", "linear_attn"),
    *("post_attention_layernorm", "mlp.gate", "mlp.experts", "mlp.shared_expert.gate_proj", "mlp.shared_expert.act_fn"),
    *("mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj", "mlp.shared_expert", "mlp.shared_expert_gate", "mlp"),
)
SANDWICH = (
    *("input_layernorm", "self_attn.o_proj", "self_attn", "post_attention_layernorm", "pre_feedforward_layernorm"),
    *("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "mlp", "post_feedforward_layernorm"),
)
STRANGE = (
    "mixer.in_proj",
    "mixer.conv",
    "mixer.out_proj",
    "mixer",
    "channel_mix.key",
    "channel_mix.value",
    "channel_mix",
)
MODELS = {"hybrid": HYBRID, "sandwich": SANDWICH, "strange": STRANGE}


def files(places: tuple[str, ...], first: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """A model's tensors of two layers, and those of a port whose tensors are others from one on."""
    sites = [f"model.layers.{layer}{place and '.'}{place}" for layer in range(2) for place in (*places, "")]
    right = {site: normal(1, 6, 8, seed=at) for at, site in enumerate(sites)}
    wrong = {site: array + 1 if at >= first else array for at, (site, array) in enumerate(right.items())}
    return wrong, right


CASES = [(model, place) for model, places in MODELS.items() for place in range(len(places))]


@pytest.mark.parametrize(("model", "place"), CASES)
def test_the_first_to_differ_comes_first_as_files_kept_it(model: str, place: int) -> None:
    wrong, right = files(MODELS[model], place)
    for by_name in (wrong, dict(sorted(wrong.items()))):
        diff = tracetui.diff(by_name, right)
        assert diff.first is not None
        assert diff.first.site == f"model.layers.0.{MODELS[model][place]}"
        assert diff.report.feeds is not None
        assert all(fed.outcome.name == "SAME" for fed in diff.report.feeds.found)


@pytest.mark.parametrize("model", ["hybrid", "sandwich"])
def test_names_tell_the_order_of_two_files_without_any(model: str) -> None:
    for place, name in enumerate(MODELS[model]):
        sides = [dict(sorted(side.items())) for side in files(MODELS[model], place)]
        diff = tracetui.diff(*sides)
        assert diff.first is not None
        if not name.startswith("linear_attn."):
            assert diff.first.site == f"model.layers.0.{name}"
        else:
            assert diff.first.site.startswith("model.layers.0.linear_attn.")


def test_a_shared_expert_that_differs_acquits_the_block() -> None:
    wrong, right = files(HYBRID, HYBRID.index("mlp.shared_expert.down_proj"))
    diff = tracetui.diff(wrong, right)
    assert "shared_expert.down_proj" in diff.verdict
    block, whole = files(HYBRID, HYBRID.index("mlp"))
    fed = tracetui.diff(block, whole).report.feeds
    assert fed is not None
    assert {found.site.rpartition(".")[2] for found in fed.found} == {"experts", "shared_expert", "shared_expert_gate"}
