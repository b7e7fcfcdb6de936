"""Swaps that run as rows of one batch, against each alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaMLP

from tests.models.hf_files import saved
from tests.models.quantised.folders import with_weights
from tracetui.analysis.quantised.damage import Reference
from tracetui.errors import Cancelled, InputError
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.record import layer_path
from tracetui.tracer.quantised.side_by_side import LayerSwap, SideBySide
from tracetui.tracer.quantised.swapping import SwappingModel, logits_of

IDS = [5, 17, 3, 99, 42]
LAYERS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = folder = tmp_path_factory.mktemp(family)
            plain = saved(folder / "plain", family, num_hidden_layers=LAYERS)
            weights = load_file(plain / "model.safetensors")
            with_weights(plain, folder / "q", {n: w + 0.003 * torch.randn_like(w) for n, w in weights.items()})
        return made[family]

    return of


class Swapped:
    """A model with its swaps, the last layer first, and how many rows its last layer was given in each call."""

    def __init__(self, folder: Path, tokens: list[list[int]], **options: Any) -> None:
        recipe = with_options(load_recipe(str(folder / "plain")), tokens=tokens, **options)
        self.prompts = recipe.prompts
        self.model = SwappingModel(recipe, load_recipe(str(folder / "q")))
        names = [spec.name for spec in self.model.specs() if layer_path(spec.name)]
        layers = dict.fromkeys(map(layer_path, reversed(names)))
        self.swaps = [LayerSwap(layer, tuple(n for n in names if layer_path(n) == layer)) for layer in layers]
        self.rows: list[int] = []
        self.last = self.model.runnable.built.module.get_submodule(self.swaps[0].layer)
        self.last.register_forward_pre_hook(self._given, with_kwargs=True)

    def _given(self, module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.rows.append(len(args[0] if args else kwargs["hidden_states"]))

    def alone(self) -> list[float]:
        original = self.model.run(self.prompts)
        reference, moved = Reference(logits_of(original), [len(IDS)] * len(original.tokens)), []
        for swap in self.swaps:
            with self.model.swapped(swap.weights):
                moved.append(reference.shift(logits_of(self.model.run_from(original, swap.layer))).divergence)
        return moved

    def together(self) -> list[float]:
        self.rows.clear()
        original = self.model.run(self.prompts)
        reference = Reference(logits_of(original), [len(IDS)] * len(original.tokens))
        begun: list[LayerSwap] = []
        runs = list(SideBySide(self.model, self.prompts).run(original, self.swaps, begun.append))
        assert set(begun) == set(self.swaps)
        return [reference.shift(run.logits).divergence for run in runs]


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize("family", ["llama", "qwen2_moe", "mamba"])
def test_rows_of_one_run_move_the_logits_as_each_swap_does_alone(
    folder: Callable[[str], Path], family: str, memory: int | None
) -> None:
    swapped = Swapped(folder(family), [IDS], memory=memory)
    assert swapped.together() == pytest.approx(swapped.alone(), rel=1e-3)
    assert max(swapped.rows) > 1


@pytest.mark.parametrize(
    ("family", "tokens", "dtype"),
    [
        ("gptj", [IDS], "float32"),
        ("llama", [IDS, IDS[::-1]], "float32"),
        ("llama", [IDS], "bfloat16"),
        ("llama", [IDS], "float16"),
    ],
)
def test_swaps_run_alone_where_rows_would_not_do(
    folder: Callable[[str], Path], family: str, tokens: list[list[int]], dtype: str
) -> None:
    swapped = Swapped(folder(family), tokens, dtype=dtype)
    assert swapped.together() == swapped.alone()
    assert max(swapped.rows) == len(tokens)


def test_no_more_rows_run_than_there_is_memory_for(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = Swapped(folder("llama"), [IDS])
    plan = swapped.model.engine.plan

    def plan_two(tokens: int, rows: int, *more: Any) -> Any:
        if rows > 2:
            raise InputError("no room")
        return plan(tokens, rows, *more)

    monkeypatch.setattr(swapped.model.engine, "plan", plan_two)
    assert swapped.together() == pytest.approx(swapped.alone(), rel=1e-3)
    assert max(swapped.rows) == 2


def test_rows_that_influence_one_another_are_noticed(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda mlp, x: forward(mlp, x) + x.mean(0, keepdim=True))
    swapped = Swapped(folder("llama"), [IDS])
    assert swapped.together() == swapped.alone()


class _OtherwiseWithoutACache(LlamaDecoderLayer):  # type: ignore[misc]
    """As it is called for a swap beside others alone."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs) + (0.1 if kwargs.get("past_key_values") is None else 0.0)


@pytest.mark.parametrize("changed", [[LAYERS - 1], [LAYERS - 2], range(LAYERS)])
def test_every_kind_of_layer_is_tried_beside_others(folder: Callable[[str], Path], changed: Sequence[int]) -> None:
    swapped = Swapped(folder("llama"), [IDS])
    for number in changed:
        swapped.model.runnable.built.module.get_submodule(f"model.layers.{number}").__class__ = _OtherwiseWithoutACache
    assert swapped.together() == swapped.alone()


def test_two_swaps_of_the_first_layer_are_tried_beside_each_other(folder: Callable[[str], Path]) -> None:
    swapped = Swapped(folder("llama"), [IDS])
    for layer in swapped.swaps:
        swapped.model.runnable.built.module.get_submodule(layer.layer).__class__ = _OtherwiseWithoutACache
    last, before, *_ = swapped.swaps
    swapped.swaps = [last, *(LayerSwap(before.layer, (name,)) for name in before.weights[:2])]
    assert swapped.together() == swapped.alone()


def test_a_run_of_several_that_is_given_up_leaves_the_model_as_it_was(folder: Callable[[str], Path]) -> None:
    swapped = Swapped(folder("llama"), [IDS])
    expected = swapped.alone()

    def begins(swap: LayerSwap) -> None:
        if swap is swapped.swaps[1]:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(SideBySide(swapped.model, swapped.prompts).run(swapped.model.run(swapped.prompts), swapped.swaps, begins))
    assert swapped.alone() == expected
