"""What goes wrong with a cache while a model generates is told with its pass and layer, beside either kind of run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from transformers import cache_utils
from transformers.models.llama.modeling_llama import LlamaModel

from tests.tracer.recipes import recipe
from tracetui.analysis.diff.report import Report, report
from tracetui.recipe import Generation, Prompts
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

PROMPT = (5, 8, 299, 3, 7, 11, 23)
WINDOW = {"model_type": "mistral", "sliding_window": 4}
# transformers' caches and models take what they take.
Call = Callable[..., Any]


def _run(config: dict[str, object], tokens: int = 3) -> Trace:
    """A model that generates; its next tokens are the same in each run up to a fault."""
    return trace_recipe(recipe(generation=Generation(tokens, stop=()), prompts=Prompts(ids=(PROMPT,)), config=config))


def _whole(generated: Trace, config: dict[str, object]) -> Trace:
    """One pass over all that was seen."""
    seen = tuple(token.id for token in generated.tokens[0][:-1])
    return trace_recipe(recipe(prompts=Prompts(ids=(seen,)), config=config))


@pytest.fixture(scope="module")
def full_attention() -> tuple[Trace, Trace]:
    right = _run({})
    return right, _whole(right, {})


@pytest.fixture(scope="module")
def windowed() -> tuple[Trace, Trace]:
    right = _run(WINDOW)
    return right, _whole(right, WINDOW)


@contextmanager
def _changed(cls: type, name: str, change: Callable[[Call], Call]) -> Iterator[None]:
    with patch.object(cls, name, change(getattr(cls, name))):
        yield


def _not_appended(update: Call) -> Call:
    def changed(self: Any, keys: torch.Tensor, values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        both = update(self, keys, values, *args, **kwargs)
        return (keys, values) if keys.shape[-2] == 1 else both

    return changed


def _of_the_layer_before(update: Call) -> Call:
    def changed(self: Any, keys: torch.Tensor, values: torch.Tensor, layer: int, *args: Any, **kwargs: Any) -> Any:
        both = update(self, keys, values, layer, *args, **kwargs)
        if keys.shape[-2] > 1 or layer != 1:
            return both
        before = self.layers[0]
        return torch.cat([before.keys[..., :-1, :], keys], -2), torch.cat([before.values[..., :-1, :], values], -2)

    return changed


def _restarted(forward: Call) -> Call:
    def changed(self: Any, input_ids: torch.Tensor, **kwargs: Any) -> Any:
        if input_ids.shape[1] == 1:
            kwargs["position_ids"] = torch.zeros_like(input_ids)
        return forward(self, input_ids, **kwargs)

    return changed


def _narrower(init: Call) -> Call:
    def changed(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.sliding_window -= 1

    return changed


def _first(found: Report) -> str:
    assert found.finding is not None
    return found.finding.site.site


FAULTS = (
    (cache_utils.DynamicLayer, "update", _not_appended, "model.layers.0.self_attn:k@1"),
    (cache_utils.Cache, "update", _of_the_layer_before, "model.layers.1.self_attn:k@1"),
    (LlamaModel, "forward", _restarted, "model.rotary_emb@1"),
)


@pytest.mark.parametrize(("cls", "name", "change", "site"), FAULTS)
def test_a_fault_of_the_cache_is_told_where_it_is_seen_first(
    full_attention: tuple[Trace, Trace], cls: type, name: str, change: Callable[[Call], Call], site: str
) -> None:
    with _changed(cls, name, change):
        wrong = _run({})
    assert [_first(report(wrong, right)) for right in full_attention] == [site] * 2


def test_the_rotation_is_not_blamed_for_positions_that_it_is_given(full_attention: tuple[Trace, Trace]) -> None:
    with _changed(LlamaModel, "forward", _restarted):
        wrong = _run({})
    finding = report(wrong, full_attention[0]).finding
    assert finding is not None
    assert not finding.at_fault


def test_a_cache_that_holds_one_key_less_than_the_window_is_told(windowed: tuple[Trace, Trace]) -> None:
    with _changed(cache_utils.DynamicSlidingWindowLayer, "__init__", _narrower):
        wrong = _run(WINDOW)
    assert [_first(report(wrong, right)) for right in windowed] == ["model.layers.0.self_attn:k@1"] * 2


def test_a_mask_that_forgets_the_cache_blames_nobody(windowed: tuple[Trace, Trace]) -> None:
    with patch.object(cache_utils.DynamicSlidingWindowLayer, "get_seq_length", lambda *args, **kwargs: 0):
        wrong = _run(WINDOW)
    for right in windowed:
        found = report(wrong, right)
        assert _first(found) == "model.layers.0.self_attn:mask@1"
        assert not found.at_fault
        assert not (found.finding and found.finding.undecided)


def test_a_cache_without_faults_is_the_same(full_attention: tuple[Trace, Trace], windowed: tuple[Trace, Trace]) -> None:
    for (right, whole), config in ((full_attention, {}), (windowed, WINDOW)):
        again = _run(config)
        assert report(again, right).comparison.same
        assert report(again, whole).comparison.same
