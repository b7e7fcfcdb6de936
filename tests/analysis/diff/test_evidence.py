"""A hint names a cause only where all that the cause would change differs: its own fault, a neighbouring one, none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tracetui
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import report
from tracetui.recording.value import Array

LAYER = "model.layers.1"
X = normal(1, 12, 16, seed=1)
IDS = [[5, 3, 9, 1, 7, 8, 2, 11, 4, 10, 6, 0]]


def hints_of(site: str, a: Array, b: Array, **fed: Array) -> list[str]:
    """The titles of what is found where a port's tensor is `a`, the reference's `b`, and what feeds it agrees."""
    before = {name.replace("__", "."): array for name, array in fed.items()} or {f"{LAYER}.input_layernorm": X}
    before = {name if name.startswith("model") else f"{LAYER}.{name}": array for name, array in before.items()}
    diff = tracetui.diff({**before, site: a}, trace_of({**before, site: b}, tokens=IDS))
    return [hint.title for hint in diff.report.hints]


def test_rows_of_a_weight_are_others_at_all_tokens() -> None:
    site, right = f"{LAYER}.self_attn.q_proj", normal(1, 12, 24, seed=2)
    rows = right.copy()
    rows[..., 3:6] = normal(1, 12, 3, seed=3)
    assert hints_of(site, rows, right) == ["Only rows 3 to 5 of q_proj's weight are others"]
    assert not hints_of(site, right.clip(-1.2, 1.2), right)
    assert not hints_of(site, right, right)


def logits_of(matrix: Array) -> Array:
    return X @ matrix.T  # [1,T,V]


def test_another_matrix_makes_all_logits_others() -> None:
    table, other = normal(12, 16, seed=4), normal(12, 16, seed=5)
    fed = {"model__norm": X, "model__embed_tokens": table[IDS[0]][None]}
    tied = logits_of(table)
    (title,) = hints_of("lm_head", logits_of(other), tied, **fed)
    assert title == "B's logits are made with the embedding matrix, A's with another"
    last, column = tied.copy(), tied.copy()
    last[:, -1] *= np.float32(1.5)
    column[..., 3] += 1
    for faulty in (last, column, tied * (1 + normal(1, 12, 12, seed=6) * np.float32(1e-2))):
        assert not [title for title in hints_of("lm_head", faulty, tied, **fed) if "embedding" in title]
    assert not hints_of("lm_head", tied, tied, **fed)


def test_weights_of_experts_are_others_at_all_tokens() -> None:
    right = normal(12, 16, seed=7)
    fed = {"post_attention_layernorm": X, "mlp__gate": normal(12, 4, seed=8)}
    factors = np.linspace(0.5, 0.9, 12, dtype=np.float32)[:, None]
    site = f"{LAYER}.mlp.experts"
    assert hints_of(site, right * factors, right, **fed) == [
        "The experts' weights are normalised on one side only, or scaled"
    ]
    last = right.copy()
    last[-1] *= np.float32(1.5)
    assert not hints_of(site, last, right, **fed)
    assert not hints_of(site, right, right, **fed)


def test_experts_whose_sum_agrees_have_the_right_weights() -> None:
    right = normal(12, 16, seed=9)
    fed = {"post_attention_layernorm": X, "mlp__gate": normal(12, 4, seed=8)}
    assert hints_of(f"{LAYER}.mlp", -right, right, **fed) == ["Expert weights are scaled: A's are -1 times B's"]
    assert hints_of(f"{LAYER}.mlp", -right, right, **fed, mlp__experts=right) == [
        "A adds -1 times the experts, B the experts"
    ]


@pytest.mark.parametrize("recorded", [False, True])
def test_a_window_is_one_of_two_ways_where_keys_and_values_are_not_known(recorded: bool) -> None:
    right, wrong = (normal(1, 12, 16, seed=seed) for seed in (10, 11))
    wrong[:, :5] = right[:, :5]
    known = {f"self_attn__{name}_proj": normal(1, 12, 16, seed=12) for name in ("kv" if recorded else "")}
    (title,) = hints_of(f"{LAYER}.self_attn.o_proj", wrong, right, input_layernorm=X, **known)
    assert "see 5 keys back" in title
    assert ("what position 5 hands on to later ones is another" in title) is not recorded


def test_what_one_side_alone_recorded_in_between_is_no_agreeing_input() -> None:
    before = {f"{LAYER}.post_attention_layernorm": X}
    site, right = f"{LAYER}.mlp.act_fn", normal(1, 12, 24, seed=13)
    reference = {**before, f"{LAYER}.mlp.gate_proj": right, site: right}
    diff = tracetui.diff({**before, site: right + 1}, trace_of(reference, tokens=IDS))
    assert "inputs agree" not in str(diff)
    assert "made there or in what one side alone recorded between" in diff.verdict
    whole = tracetui.diff({**reference, site: right + 1}, trace_of(reference, tokens=IDS))
    assert "whose inputs agree" in whole.verdict


def test_rounding_is_no_term_of_a_sum() -> None:
    """In bfloat16 the share of a norm in a sum is never quite zero."""
    rng = np.random.default_rng(3)
    before, added, normed = (rng.normal(size=(1, 12, 16)).astype(np.float32) for _ in range(3))
    names = {"input_layernorm": normed, "self_attn": added, "model.layers.0": before}
    site, right = f"{LAYER}:attn_residual", before + added
    rough = right - np.float32(0.002) * normed

    def told(a: Array, b: Array) -> list[str]:
        one, other = (
            trace_of(
                {(name if name.startswith("model") else f"{LAYER}.{name}"): array for name, array in names.items()}
                | {site: side},
                dtypes=dict.fromkeys([site, f"{LAYER}.input_layernorm"], "bfloat16"),
                dump=True,
            )
            for side in (a, b)
        )
        return [hint.title for hint in report(one, other).hints]

    assert told(before + 0.5 * added, rough) == ["The sum differs: 0.5·self_attn in A, 1 in B"]
    assert told(right + 0.1 * normed, right) == ["The sum differs: 0.1·input_layernorm in A, 0 in B"]
    assert not told(rough, right)


def test_tokens_that_other_scores_hardly_change_are_within_no_window() -> None:
    """A mean of two values, alike by chance, moves by less than the tolerance, and by more than rounding."""
    right = normal(1, 12, 16, seed=14)
    wrong = right + normal(1, 12, 16, seed=15) * np.float32(0.05)
    wrong[:, 0], wrong[:, 1] = right[:, 0], right[:, 1] * np.float32(1 + 3e-5)
    known = {f"self_attn__{name}_proj": normal(1, 12, 16, seed=12) for name in "qkv"}
    (title,) = hints_of(f"{LAYER}.self_attn.o_proj", wrong, right, input_layernorm=X, **known)
    assert title.startswith("The scores differ and nothing else")
    wrong[:, 1] = right[:, 1]
    (title,) = hints_of(f"{LAYER}.self_attn.o_proj", wrong, right, input_layernorm=X, **known)
    assert "2 keys back" in title


def test_a_norm_that_is_given_a_gate_too_is_judged_by_what_it_normalises() -> None:
    """Qwen3-Next's norms return what they normalise times a gate; the epsilon goes with the first of these."""
    site = f"{LAYER}.linear_attn.norm"
    x = normal(40, 16, seed=16) * np.float32(0.05) * np.linspace(1, 3, 40, dtype=np.float32)[:, None]
    gate, square = normal(40, 16, seed=17), np.square(x).mean(-1, keepdims=True)
    right, wrong, coarse = (gate * x / np.sqrt(square + eps) for eps in (1e-6, 3e-4, 1e-2))
    rough = gate * x / np.sqrt(square + 1e-3)
    fed = {f"{site}:input": x, f"{site}:input#1": gate}

    def told(a: Array, b: Array = right) -> list[str]:
        sides = [trace_of({**fed, site: side}) for side in (a, b)]
        records = [tuple(replace(each, inputs=(0, 1)[: each.index]) for each in side.records) for side in sides]
        one, other = (replace(side, records=each) for side, each in zip(sides, records, strict=True))
        return [hint.title for hint in report(one, other).hints]

    assert told(wrong) == ["The norm's epsilon is larger in A by 0.000299"]
    assert told(coarse, rough) == ["The norm's epsilon is larger in A by 0.009"]
    assert told(right * np.linspace(0.5, 2, 40, dtype=np.float32)[:, None]) == ["The norm's scale is another"]
    assert told(right * np.float32(1.3)) == ["The norm's scale is another"]
    assert not told(right)


def test_a_norm_whose_last_token_is_scaled_has_no_other_scale() -> None:
    site, right = f"{LAYER}.input_layernorm", normal(1, 12, 16, seed=18)
    last = right.copy()
    last[:, -1] *= np.float32(1.5)
    fed = {"model__layers__0": X}
    assert hints_of(site, last, right, **fed) == ["What the norm returns is scaled in 1 of 12 tokens"]
    factors = np.linspace(1.2, 2, 12, dtype=np.float32)[None, :, None]
    assert hints_of(site, right * factors, right, **fed) == ["The norm's scale is another"]
