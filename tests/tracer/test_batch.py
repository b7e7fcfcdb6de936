"""Several prompts at once: each row's real positions are what the row alone gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tracer.recipes import CONFIG, recipe
from tracetui.analysis.prediction import next_tokens
from tracetui.debugger.session import Started
from tracetui.errors import InputError
from tracetui.recipe import Layers, Prompts, Recipe, texts
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 4200,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
}
ROWS = ("the answer", "the answer to the ultimate question of life", "is")
ROUNDING = 1e-5


def gpt2() -> Recipe:
    return replace(recipe(), config=GPT2, layers=Layers(0, 2))


def runs(of: Recipe, *prompts: str) -> tuple[Trace, list[Trace]]:
    """The prompts run at once, and each alone."""
    together = trace_recipe(replace(of, prompts=texts(*prompts)))
    return together, [trace_recipe(of, prompt) for prompt in prompts]


def real(trace: Trace, key: str, row: int) -> Any:
    """A row's real positions of a [B,T,D] or [B,H,T,K] record."""
    values, length = trace[key][row], len(trace.tokens[row])
    return values[:, :length] if values.ndim == 3 else values[:length]


def positional(trace: Trace) -> list[str]:
    """Records with one place a token and row: by roles [B,H,T,K], by modules [B,T,D]."""
    rows = len(trace.tokens)
    by_role = {"q": 4, "k": 4, "v": 4, "heads": 4, "mask": 0}
    whole = (record for record in trace.records if record.part == 0 and record.shape[0] == rows)
    return [record.key for record in whole if len(record.shape) == by_role.get(record.role, 3)]


@pytest.mark.parametrize("of", [recipe(), gpt2()], ids=["llama", "gpt2"])
def test_padded_rows_are_what_each_row_alone_gives_within_rounding(of: Recipe) -> None:
    """With a mask the kernel sums in another order, so the last bits may differ."""
    together, alone = runs(of, *ROWS)
    lengths = [len(row) for row in together.tokens]
    assert len(set(lengths)) == 3
    assert together["logits"].shape[:2] == (3, max(lengths))
    keys = positional(together)
    assert len(keys) > 20
    for row, single in enumerate(alone):
        assert together.tokens[row] == single.tokens[0]
        for key in keys:
            expected = real(single, key, 0)
            np.testing.assert_allclose(real(together, key, row), expected, rtol=0, atol=ROUNDING, err_msg=key)
        assert len(next_tokens(together, 5, row)) == 5
        for one, other in zip(next_tokens(together, 5, row), next_tokens(single, 5), strict=True):
            assert (one.token, one.token.bytes) == (other.token, other.token.bytes)
            assert one.logit == pytest.approx(other.logit, abs=ROUNDING)


def test_padding_is_hidden_by_the_mask_and_changes_nothing_else() -> None:
    together, _ = runs(recipe(), *ROWS)
    record = next(record for record in together.records if record.role == "mask")
    mask = together[record.key]  # [B,1,T,S]
    longest = max(map(len, together.tokens))
    for row, tokens in enumerate(together.tokens):
        seen = np.tril(np.ones((longest, longest), bool)) & (np.arange(longest) < len(tokens))
        np.testing.assert_array_equal(mask[row, 0], seen)


@pytest.mark.parametrize("of", [recipe(), gpt2()], ids=["llama", "gpt2"])
def test_one_row_and_rows_of_equal_length_get_no_mask(of: Recipe) -> None:
    for prompts in (("the answer",), ("the answer", "the question")):
        trace = trace_recipe(replace(of, prompts=texts(*prompts)))
        assert len({len(row) for row in trace.tokens}) == 1
        assert not [record for record in trace.records if record.role == "mask"]


def test_ids_and_random_ids_are_rows_too() -> None:
    trace = trace_recipe(replace(recipe(), prompts=Prompts(ids=((1, 2, 3), (4,)))))
    assert [[token.id for token in row] for row in trace.tokens] == [[1, 2, 3], [4]]
    drawn = [trace_recipe(replace(recipe(seed=seed), prompts=Prompts(random=(4, 7)))) for seed in (1, 1, 2)]
    assert drawn[0]["logits"].shape == (4, 7, 4200)
    assert drawn[0].tokens == drawn[1].tokens != drawn[2].tokens
    assert len({token.id for row in drawn[0].tokens for token in row}) > 20
    assert drawn[0].run.recipe["random_tokens"] == [4, 7]


def test_a_model_with_too_few_ids_for_text_runs_on_ids() -> None:
    small = recipe(config={"vocab_size": 61})
    assert len(trace_recipe(replace(small, prompts=Prompts(ids=((5, 60, 3),)))).tokens[0]) == 3
    with pytest.raises(InputError, match="give token ids instead of text"):
        trace_recipe(replace(small, prompts=texts("a")))


def test_the_plan_grows_with_the_rows() -> None:
    events: list[Any] = []
    for rows in (1, 8):
        trace_recipe(replace(recipe(), prompts=Prompts(random=(rows, 16))), emit=events.append)
    one, eight = (event.plan for event in events if isinstance(event, Started))
    assert eight.activations == 8 * one.activations
    assert eight.working == 8 * one.working
    assert eight.attending == 8 * one.attending


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (texts("a", ""), "row 1: prompt: is empty"),
        (texts("a", "b\udcff"), "row 1: the prompt: character 1: is a lone surrogate"),
        (Prompts(), "prompt: is missing"),
        (Prompts(ids=((1,), ())), "row 1: prompt: has no tokens"),
        (Prompts(ids=((1,), (2, 4200))), r"row 1: token 1: id 4200 is outside the model's vocabulary of 4200"),
        (Prompts(ids=((1,) * 65, (1,))), "row 0: prompt: has 65 tokens, and the model takes at most 64"),
        (Prompts(random=(2, 65)), "row 0: prompt: has 65 tokens"),
    ],
)
def test_a_row_that_the_model_cannot_take_is_named(prompts: Prompts, said: str) -> None:
    with pytest.raises(InputError, match=f"^{said}"):
        trace_recipe(replace(recipe(), prompts=prompts))


def test_rows_of_different_length_survive_a_file(tmp_path: Path) -> None:
    together, _ = runs(recipe(), *ROWS)
    write_trace(together, tmp_path / "t.npz")
    found = read_trace(tmp_path / "t.npz")
    assert found.tokens == together.tokens
    assert found.run.recipe["prompt"] == list(ROWS)
    for row in range(len(ROWS)):
        assert next_tokens(found, 5, row) == next_tokens(together, 5, row)
    assert CONFIG["vocab_size"] == found["logits"].shape[2]
