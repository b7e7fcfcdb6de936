"""Names of a long file are looked at once for all that differ in numbers alone, with what each alone would give."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.models.hf_files import header_of, saved
from tracetui.models.build import build_model
from tracetui.models.checkpoints.deepseek_names import published_name, reference_name
from tracetui.models.checkpoints.safetensors import name_forms, names
from tracetui.models.checkpoints.safetensors.name_forms import NameForm, by_form, forms_of
from tracetui.models.checkpoints.safetensors.names import match_names
from tracetui.models.checkpoints.safetensors.order import FormOrder, natural_order
from tracetui.recipe import load_recipe

PARTS = (
    "layers.0.w1",
    "layers.0.w2",
    "layers.7.w1",
    "layers.12.w1",
    "layers.07.w1",
    "7",
    "x.7",
    "x7",
    "{0}.5.{}",
    "",
    ".",
)
ODD = ("layers.٣.x", "layers.².x", "a\nb.3", "layers.3.\n", "\0.1", "é.10.x")


def grouped(texts: list[str]) -> list[list[str]]:
    members: dict[NameForm | None, list[str]] = {}
    for name, form in zip(texts, forms_of(texts), strict=True):
        members.setdefault(form, []).append(name)
    return list(members.values())


def test_names_are_of_one_form_that_differ_in_numbers_of_as_many_digits() -> None:
    assert grouped(list(PARTS)) == [
        ["layers.0.w1", "layers.7.w1"], ["layers.0.w2"], ["layers.12.w1", "layers.07.w1"], ["7"], ["x.7"], ["x7"],
        ["{0}.5.{}"], [""], ["."],
    ]  # fmt: skip


@pytest.mark.parametrize("texts", [PARTS, ODD, (*PARTS, *ODD)])
def test_the_order_of_a_form_is_that_of_its_names(texts: tuple[str, ...]) -> None:
    for name, form in zip(texts, forms_of(texts), strict=True):
        assert form is not None
        assert FormOrder(form.sample).of(form.numbers_of(name)) == natural_order(name)


def test_names_of_too_many_forms_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_forms, "_MOST_FORMS", 3)
    assert None not in forms_of(["a", "b", "c"])
    assert forms_of(["a", "b", "c", "d"]) == [None] * 4


def test_a_translation_is_asked_once_for_a_form() -> None:
    inside = [
        f"layers.{n}.ffn.experts.{m}.w{k}.weight" for n in (0, 1, 3, 61, 99) for m in (0, 3, 12, 255) for k in (1, 3)
    ]
    others = [
        "embed.weight",
        "layers.07.attn.wq_a.weight",
        "layers.7.attn.wq_a.scale",
        "layers.4.nothing",
        "norm.weight",
    ]
    asked: list[str] = []

    def counted(name: str) -> str | None:
        asked.append(name)
        return published_name(name)

    assert by_form(inside + others, counted) == {name: published_name(name) for name in inside + others}
    assert len(asked) < len(inside)
    published = [name for name in map(published_name, inside) if name is not None]
    assert by_form(published, reference_name) == dict(zip(published, inside, strict=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = saved(tmp_path_factory.mktemp("forms") / "m", "mixtral")
    built = build_model(load_recipe(str(folder / "config.json")), torch.float32).module
    return built, [name for name in header_of(folder / "model.safetensors") if name != "__metadata__"]


def test_names_that_can_not_be_a_model_s_are_told_by_their_form(
    model: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they are called, matching gives what it does when each name is asked about."""
    built, own = model
    texts = own + [f"tower.{n}.weight" for n in range(30)] + [name.removeprefix("model.") for name in own[:9]]
    texts += [f"model.layers.{n}.self_attn.q_proj.weight" for n in range(5, 40)] + [*PARTS, *ODD]
    texts = list(dict.fromkeys(texts))
    placed: list[str] = []
    of = names._Places.of

    def counted(places: names._Places, name: str) -> str:
        placed.append(name)
        return of(places, name)

    monkeypatch.setattr(names._Places, "of", counted)
    matched = match_names(built, texts)
    assert not [name for name in placed if name.startswith("tower.")]
    monkeypatch.setattr(name_forms, "_MOST_FORMS", 0)
    alone = match_names(built, texts)
    assert (matched.direct, matched.spare) == (alone.direct, alone.spare)
    assert matched.converted.keys() == alone.converted.keys()
    assert all(matched.converted[name].sources == alone.converted[name].sources for name in alone.converted)
    assert matched.converted
