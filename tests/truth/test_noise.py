"""The noise run blames a site only where nothing lies between it and what feeds it."""

from __future__ import annotations

import pytest

import tracetui
from tests.truth.decoder import attention
from tests.truth.families import FAMILIES, IDS
from tests.truth.fault import Change, scaled
from tests.truth.forward import dump
from tracetui.analysis.diff.rounding.noise import measure_noise
from tracetui.views.diff.noise import noise_verdict, site_words

SCALE = attention(scale=1.0)


@pytest.mark.parametrize(
    ("change", "kind", "where", "words"),
    [
        (
            SCALE,
            "hooks",
            "no rounding, between ",
            "made here or on the way here, in model.layers.0.self_attn's own code",
        ),
        (SCALE, "layers", "no rounding, between embed_tokens and model.layers.0", "made here or on the way here"),
    ],
)
def test_what_lies_between_is_not_acquitted(change: Change, kind: str, where: str, words: str) -> None:
    family = FAMILIES["llama"]()
    noise = measure_noise(
        tracetui.diff(dump(change(family.decoder), IDS, kind), family.reference).report, "B", family.reference
    )
    assert where in noise_verdict(noise)
    assert words in site_words(noise.suspects[0])


def test_a_norm_whose_input_agrees_is_blamed_itself() -> None:
    family = FAMILIES["llama"]()
    wrong = dump(scaled("input_layernorm.weight", 1.5, 0)(family.decoder), IDS, "hooks")
    noise = measure_noise(tracetui.diff(wrong, family.reference).report, "B", family.reference)
    assert "a fault, no rounding, at model.layers.0.input_layernorm" in noise_verdict(noise)
    assert "the difference is made here, and is no rounding" in site_words(noise.suspects[0])
