"""Edit expressions: what is taken, what is refused and where, and which tensors they name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.errors import InputError
from tracetui.expr.actions import ACTIONS, PLACES, help_lines, markdown_lines
from tracetui.expr.edit import Action, plain_edits
from tracetui.expr.edit_parse import parse_edit, parse_edits
from tracetui.expr.errors import BadExpressionError

DOCS = Path(__file__).parents[2] / "docs" / "edits.md"


def between(name: str) -> list[str]:
    text = DOCS.read_text(encoding="utf-8")
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0].splitlines()


def test_the_documentation_has_the_table_as_it_is() -> None:
    assert between("parts") == list(markdown_lines())
    assert len(list(help_lines())) == len(ACTIONS) + len(PLACES)


def test_every_example_in_the_documentation_is_taken_and_stands_for_itself() -> None:
    examples = [line.split("  ")[0] for line in between("examples")[1:-1]]
    assert len(examples) > 10
    for example in (*examples, *(line.split("  ")[0] for line in between("matrices")[1:-1])):
        edit = parse_edit(example)
        assert edit.text == example
        assert parse_edit(edit.text) == edit
    assert {parse_edit(example).action.name for example in examples} == {form.name for form in ACTIONS}


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("layers.3.mlp", 13, "there is no action"),
        ("head 5: zero", 1, "the site before head is missing"),
        ("", 0, "there is no action"),
        (": zero", 1, "no site"),
        ("layers.3.self_attn:heads", 20, "heads is no action; there are zero, scale X"),
        ("x: scal 2", 4, "did you mean scale?"),
        ("x: scale", 4, "is used as `scale X`"),
        ("x: scale two", 10, "a number is expected, got two"),
        ("x: scale inf", 10, "a finite number"),
        ("x: noise -1", 10, "above 0"),
        ("x: noise 1 seed -2", 17, "a seed is"),
        ("x: clamp 2 1", 10, "LO is at most HI"),
        ("x hed 3: zero", 3, "did you mean head?"),
        ("x head -1: zero", 8, "head counts from 0"),
        ("x head 1 head 2: zero", 10, "head stands there twice"),
        ("x head 3[:,2]: zero", 15, "`head N` goes with no expert, and takes a slice's second place"),
        ("x head 3 expert 1: zero", 19, "`head N` goes with no expert"),
        ("x head 3: skip", 10, "`skip` is of a whole module"),
        ("x token 1: zero", 11, "`token N` belongs to `experts A,B`"),
        ("x[0,a]: zero", 5, "a place is a whole number"),
        ("x[::-1]: zero", 2, "a slice goes forward"),
        ("x[0][1]: zero", 5, "a slice stands there already"),
        (
            "x:mask: zero",
            2,
            "of roles :q, :k, :v, :scores, :masked, :probs, :heads, :routing_weights can be edited here, not :mask",
        ),
        ("x:experts: zero", 2, "`experts A,B` chooses experts"),
        ("x expert 1: experts 2", 12, "`experts` chooses for all tokens"),
        ("x: experts 1,1", 12, "different experts"),
        ("x: experts", 4, "is used as `experts A,B,…`"),
        ("x\x1b: zero", 2, "can't be seen"),
        ("x" * 501, 501, "longer than 500"),
    ],
)
def test_a_wrong_edit_is_refused_with_its_place(text: str, at: int, problem: str) -> None:
    with pytest.raises(BadExpressionError) as refused:
        parse_edit(text, "--edit")
    told = str(refused.value)
    assert told.startswith("--edit: ")
    assert problem in told
    if text:
        assert f"at character {at}:" in told


@given(st.text(alphabet="layers.0123*?[]:#-, headxprtokngcl\tµ", max_size=60))
def test_any_text_is_an_edit_or_refused(text: str) -> None:
    try:
        edit = parse_edit(text, "--edit")
    except InputError:
        return
    assert parse_edit(edit.text) == edit


def test_a_place_may_stand_behind_the_colon_of_a_line_begun_with() -> None:
    assert parse_edit("layers.3.self_attn:  head 5: zero") == parse_edit("layers.3.self_attn head 5: zero")
    assert parse_edit("x: [0,-1]: zero").text == "x [0,-1]: zero"


def test_numbers_slices_and_seeds_are_read() -> None:
    assert parse_edit("x: noise 1e-2 seed 9").action == Action("noise", (0.01,), 9)
    assert parse_edit("x: clamp -inf 1").action.numbers == (-math.inf, 1.0)
    assert math.isnan(parse_edit("x: set nan").action.numbers[0])
    assert parse_edit("x [0, -1, 3:9:2]:zero").index == (0, -1, slice(3, 9, 2))
    assert parse_edit("layers.[0-2]: zero").index == ()


def test_an_edit_names_outputs_roles_heads_and_experts() -> None:
    plain, head = parse_edit("layers.1.self_attn: zero"), parse_edit("layers.1.self_attn head 0: zero")
    path = "model.layers.1.self_attn"
    assert [edit.is_for(path) for edit in (plain, head)] == [True, False]
    assert [edit.is_for(f"{path}:heads") for edit in (plain, head)] == [False, True]
    assert parse_edit("*:[qk] head 0: zero").is_for(f"{path}:k")
    assert not parse_edit("*:[qk] head 0: zero").is_for(f"{path}:v")
    expert = parse_edit("layers.1.mlp expert 3: zero")
    block = "model.layers.1.mlp"
    assert expert.is_for_expert(block, f"{block}.experts", 3)
    assert not expert.is_for_expert(block, f"{block}.experts", 4)
    assert not parse_edit("layers expert 1: zero").is_for("model.layers.1")
    assert parse_edit("layers.1.mlp.experts.3: zero").is_for_expert(block, f"{block}.experts", 3)
    assert parse_edit("*.gate: experts 1").chooses(block)


def test_an_edit_may_begin_at_a_pass_or_a_record() -> None:
    edit = parse_edit("x pass 1: zero")
    assert [edit.is_now(pass_, 5) for pass_ in (0, 1)] == [False, True]
    later = parse_edit("x: zero").made_at(7)
    assert later == parse_edit("x from 7: zero")
    assert [later.is_now(0, record) for record in (6, 7)] == [False, True]
    assert later.made_at(9) is later


def test_a_run_has_a_bounded_list_and_keeps_those_that_are_on() -> None:
    with pytest.raises(InputError, match="100 edits are the most"):
        parse_edits(["x: zero"] * 101, "--edit")
    assert plain_edits(parse_edits(["x: zero", "y: skip"], "")) == ["x: zero", "y: skip"]
