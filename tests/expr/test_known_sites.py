"""Sites are checked against a module tree, and against what a recipe tells, before anything runs."""

from __future__ import annotations

import pytest

from tests.ui.tiny_llama import outline
from tracetui.errors import InputError
from tracetui.expr.completion import Completion, complete_edit, complete_site, complete_stop, complete_watch
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.known_sites import NOTHING_KNOWN, sites_of
from tracetui.expr.model_facts import NO_FACTS, ModelFacts, check_all, check_edit, check_stop, check_watch
from tracetui.expr.stop import parse_stop
from tracetui.expr.watch import parse_watch
from tracetui.recipe import load_recipe
from tracetui.recipe.model_facts import facts_of_recipe
from tracetui.recording.keep import parse_keep
from tracetui.recording.outline import Module

SITES = sites_of(outline(2))
EXPERTS = sites_of(
    Module(
        "",
        "M",
        0,
        children=(
            Module(
                "layers",
                "ModuleList",
                0,
                children=(
                    Module(
                        "layers.0",
                        "L",
                        0,
                        children=(
                            Module(
                                "layers.0.mlp",
                                "Moe",
                                0,
                                children=(
                                    Module(
                                        "layers.0.mlp.experts",
                                        "Experts",
                                        0,
                                        children=(Module("layers.0.mlp.experts.0–7", "", 0, indices=tuple(range(8))),),
                                    ),
                                ),
                            ),
                        ),
                    ),
                    Module("layers.1–3", "L", 0, skipped=True, indices=(1, 2, 3)),
                ),
            ),
        ),
    )
)


@pytest.mark.parametrize(
    "site",
    [
        *("layers.1.mlp", "*.mlp", "mlp", "layers.*", "model.layers.0.self_attn:q", "*:probs", "*probs", "logits", "*"),
        *("lm_head", "layers.?.self_attn.[qk]_proj", "layers.1#1", "layers.0:input", "*_proj", "layers.0.mlp:lens_ids"),
    ],
)
def test_a_site_that_the_tree_has_is_no_problem(site: str) -> None:
    assert SITES.problem(site) == ""
    assert NOTHING_KNOWN.problem("no such site at all") == ""


@pytest.mark.parametrize(
    ("site", "told"),
    [
        ("layers.1.mpl", "no module layers.1.mpl; layers.1.mlp is meant?"),
        ("layrs.1.mpl", "layers.1.mlp is meant?"),
        ("layers.99.mlp", "no layers.99; layers has 0 to 1"),
        ("nosuch", "no module nosuch; there are"),
        ("layers", "is a list, which has no record of its own; layers.* is meant?"),
        ("layers.0.self_attn:prbos", "no module computes :prbos; :probs is meant?"),
        ("probs", "*:probs names what attention computes"),
        ("layers.0.mlp.wrong", "layers.0.mlp has gate_proj"),
    ],
)
def test_a_site_that_it_lacks_is_told_with_the_nearest_one(site: str, told: str) -> None:
    assert told in SITES.problem(site)


def test_experts_and_layers_that_are_not_run_are_told_by_their_numbers() -> None:
    assert EXPERTS.problem("layers.0.mlp.experts.7") == EXPERTS.problem("*.gate") == ""
    assert "no layers.0.mlp.experts.8" in EXPERTS.problem("layers.0.mlp.experts.8")
    assert EXPERTS.problem("layers.2.mlp") == "layer 2 is not run: --layers leaves it out"
    facts = ModelFacts(EXPERTS)
    with pytest.raises(InputError, match="no expert 9: a block has 8 experts, 0 to 7"):
        check_edit("x", parse_edit("layers.0.mlp expert 9: zero"), facts)
    with pytest.raises(InputError, match="no expert 8"):
        check_stop("x", parse_stop("*.mlp if expert(8)"), facts)
    check_edit("x", parse_edit("layers.0.mlp expert 7: zero"), facts)


@pytest.mark.parametrize(
    ("edit", "told", "column"),
    [
        ("layers.1.self_attn head 50: zero", "no head 50: a layer has 4 heads, 0 to 3", 19),
        ("layers.1.self_attn:k head 2: zero", "no kv head 2: a layer has 2 kv heads, 0 to 1", 21),
        ("layers.1.mlp pass 3: zero", "no pass 3: the run has 2 passes, 0 to 1; --generate 4", 13),
        ("layers.1.mpl: zero", "layers.1.mlp is meant?", 0),
    ],
)
def test_an_edit_of_what_is_not_there_is_refused_at_its_place(edit: str, told: str, column: int) -> None:
    facts = ModelFacts(SITES, heads=4, kv_heads=2, passes=2, longer="--generate {} makes that pass")
    with pytest.raises(InputError) as caught:
        check_edit(edit, parse_edit(edit), facts, "--edit")
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"--edit: at character {column + 1}: ")
    check_edit("x", parse_edit(edit), NO_FACTS)


def test_watches_conditions_and_kept_values_are_checked_too() -> None:
    facts = ModelFacts(SITES, heads=4)
    with pytest.raises(InputError, match="meant"):
        check_watch("w", parse_watch("layers.*.mpl.norm"), facts)
    check_watch("w", parse_watch("layers.*.norm"), facts)
    with pytest.raises(InputError, match="no head 4"):
        check_stop("s", parse_stop("*.self_attn if entropy(head=4) > 1"), facts)
    with pytest.raises(InputError, match=r"--keep: .*layers\.1\.mlp is meant"):
        check_all((), (), parse_keep(["layers.1.mpl"], "--keep"), facts, ("--break", "--edit", "--keep"))


def test_a_recipe_tells_names_layers_and_heads_without_a_model() -> None:
    facts = facts_of_recipe(load_recipe("llama-tiny"))
    assert "layers.3.mlp is meant" in facts.sites.problem("layers.3.mpl")
    assert facts.sites.problem("layers.6") == "no layers.6; layers has 0 to 5"
    assert facts.sites.problem("model.layers.5.self_attn.q_proj") == facts.sites.problem("*:probs") == ""
    assert "no module computes :prbs" in facts.sites.problem("layers.1.mlp:prbs")
    assert facts.heads > 0
    assert facts.passes == 1
    experts = facts_of_recipe(load_recipe("deepseek-v3"))
    assert experts.experts == 256
    assert experts.sites.problem("layers.9.mlp") == "layer 9 is not run: --layers leaves 0 to 3"


def test_what_is_begun_is_completed() -> None:
    def lines(offered: list[Completion]) -> list[str]:
        return [each.line for each in offered]

    assert lines(complete_site("layers.1.m", SITES)) == ["layers.1.mlp"]
    assert "layers.1.mlp" in lines(complete_site("layers.1.", SITES))
    assert lines(complete_site("layers.0.self_attn:pr", SITES)) == ["layers.0.self_attn:probs"]
    assert lines(complete_stop("*.mlp if nor", SITES)) == ["*.mlp if norm"]
    assert lines(complete_stop("*.mlp if norm > ent", SITES)) == ["*.mlp if norm > entropy("]
    assert complete_stop("*.mlp if norm > 3", SITES) == []
    assert lines(complete_edit("layers.1.mlp: sc", SITES)) == ["layers.1.mlp: scale "]
    assert lines(complete_edit("layers.1.self_attn h", SITES)) == ["layers.1.self_attn head "]
    assert "layers.*.mlp.norm" in lines(complete_watch("layers.*.mlp.no", SITES))
    assert lines(complete_watch("norm / prev.norm at layers.1.ml", SITES)) == ["norm / prev.norm at layers.1.mlp"]
