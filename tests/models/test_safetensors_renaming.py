"""Names are renamed as transformers' rules do it, although these are asked once for all that differ in numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from transformers import conversion_mapping
from transformers.core_model_loading import (
    GroupWeightRename,
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    apply_converters,
    apply_renamings,
)

from tracetui.models.checkpoints.safetensors import name_forms, renaming
from tracetui.models.checkpoints.safetensors.renaming import Renamed, Renaming

NUMBERS = ("1", "3", "11", "256")


def rules_of(kind: str) -> list[Any]:
    """A family's rules; some remember what they saw, and each call gives others."""
    return list(conversion_mapping.get_checkpoint_conversion_mapping(kind) or ())


def families() -> list[str]:
    """A family for each set of rules."""
    first: dict[str, str] = {}
    conversion_mapping.get_checkpoint_conversion_mapping("llama")
    for kind, rules in (conversion_mapping._checkpoint_conversion_mapping_cache or {}).items():
        first.setdefault(str([(type(rule), rule.source_patterns, rule.target_patterns) for rule in rules]), kind)
    return list(first.values())


def kinds(rules: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    return renamings, [rule for rule in rules if isinstance(rule, WeightConverter)]


def asked(name: str, rules: Sequence[Any]) -> Renamed:
    renamings, converters = kinds(rules)
    plain = apply_renamings(name, renamings)
    return Renamed(plain, *apply_converters(plain, converters))


def names_for(rules: Sequence[Any]) -> Iterator[str]:
    """Names that a family's patterns are about, each with several numbers in the places of its own."""
    sources = {source for rule in rules for source in (*rule.source_patterns, *rule.target_patterns)}
    for source in sorted(sources):
        text = re.sub(r"\(\?[^)]*\)|[\^$?\\]|\[[^]]*\]", "", source.replace(r"\d+", "#").replace("*.", "#."))
        core = re.sub(r"[()]|\|.*", "", text).replace(".+", "x")
        for start in ("", "model.layers.#.")[: 1 if source.startswith("^") else 2]:
            for place, number in enumerate(NUMBERS):
                other = NUMBERS[(place * 7 + 3) % len(NUMBERS)]
                yield f"{start}{core}.weight".replace("#", number, 1).replace("#", other)
                yield f"{start}{core}".replace("#", number)


def test_every_familys_rules_give_what_they_give_when_asked_for_each_name() -> None:
    for kind in families():
        renamed, rules = Renaming(*kinds(rules_of(kind))), rules_of(kind)
        for name, each in all_renamed(renamed, list(dict.fromkeys(names_for(rules)))).items():
            assert each == asked(name, rules), (kind, name)


def all_renamed(renaming: Renaming, names: Sequence[str]) -> dict[str, Renamed]:
    return {name: renaming(name, form) for name, form in zip(names, renaming.forms_of(names), strict=True)}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def count(name: str, rules: Any) -> str:
        names.append(name)
        return str(apply_renamings(name, rules))

    monkeypatch.setattr(renaming, "apply_renamings", count)
    return names


def experts(count: int) -> list[str]:
    parts = ("block_sparse_moe.experts.{}.w1.weight", "block_sparse_moe.experts.{}.w2.weight", "mlp.{}.{{x}}.weight")
    return [f"model.layers.{layer}.{part.format(n)}" for layer in range(4) for n in range(count) for part in parts]


def test_rules_are_asked_once_for_all_names_of_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = rules_of("mixtral")
    names = counted(monkeypatch)
    renamed = Renaming(*kinds(rules))
    each = all_renamed(renamed, experts(100))
    # Once with numbers that stand for others and once to see that these do; and where two numbers are the same.
    assert len(names) < 3 * 2 * 2 + 3 * 4
    assert each["model.layers.2.block_sparse_moe.experts.31.w1.weight"] == Renamed(
        "model.layers.2.mlp.experts.31.w1.weight", "model.layers.2.mlp.experts.gate_up_proj", ".experts.*.w1.weight"
    )
    assert each == {name: asked(name, rules) for name in experts(100)}


def of_digits(source: str, target: str) -> list[Any]:
    return [WeightRenaming(source, target)]


@pytest.mark.parametrize(
    "rules",
    [
        of_digits(r"mlp\.3\.", "mlp.fc2."),
        of_digits(r"1\.x", "one.x"),
        of_digits(r"layers\.[0-4]\.", "early."),
        of_digits(r"layers\.\d{2}\.", "late."),
        of_digits(r"layers\.(\d+)", r"layer\1"),
        of_digits(r"layers\.(\d+)\.x", r"layers.\1.0.x"),
        of_digits(r"layers\.(?P<n>\d+)\.(?P=n)\.", "diagonal."),
        [PrefixChange(prefix_to_add="model")],
        [GroupWeightRename([r"layers\.9\.x", r"layers\.(\d+)\.x"], ["layers.0.x", r"layers.\1.y"])],
        [],
    ],
    ids=lambda rules: rules[0].source_patterns[0] if rules else "none",
)
def test_rules_that_treat_numbers_differently_are_asked_for_each_name(rules: list[Any]) -> None:
    names = [f"layers.{n}.{part}.w" for n in NUMBERS for part in ("x", "mlp.3", "3.x", "{0}", n)]
    other = [
        rule.copy(rule.source_patterns, rule.target_patterns) for rule in rules[:1] if type(rule) is WeightRenaming
    ]
    renamed = Renaming(*kinds(rules))
    ours = [renamed(name, form) for name, form in zip(names, renamed.forms_of(names), strict=True)]
    for rule in rules:
        if isinstance(rule, GroupWeightRename):
            rule._active = None
    assert ours == [asked(name, other or rules) for name in names]


def test_names_that_have_nothing_in_common_are_asked_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_forms, "_MOST_FORMS", 5)
    renamed = Renaming(*kinds(rules_of("mixtral")))
    names = [f"p{n}.block_sparse_moe.experts.{n}.w1.weight" for n in range(20)]
    rules = rules_of("mixtral")
    assert list(all_renamed(renamed, names).values()) == [asked(name, rules) for name in names]
