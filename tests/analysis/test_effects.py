"""What a difference does to the next tokens and to the residual stream."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from tests.tracer.recipes import recipe
from tracetui.analysis.diff.effects import edits_of_sides, next_tokens_of, residual_effects
from tracetui.analysis.diff.report import report
from tracetui.analysis.prediction import next_tokens, probabilities
from tracetui.expr.edit_parse import parse_edits
from tracetui.recipe import Generation, Prompts
from tracetui.recording.keep import parse_keep
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe
from tracetui.views.diff.as_json import diff_json
from tracetui.views.diff.report import diff_lines

ROWS = ((5, 8, 299, 3), (7, 9, 11, 2))


def run(*edits: str, ids: tuple[tuple[int, ...], ...] = ROWS, **fields: Any) -> Trace:
    return trace_recipe(recipe(prompts=Prompts(ids=ids), edits=parse_edits(edits, ""), **fields))


def test_both_probabilities_of_the_best_tokens_of_either_side() -> None:
    a, b = run("layers.1.mlp: noise 3"), run()
    found = next_tokens_of(a, b)
    assert [(each.row, each.position) for each in found] == [(0, 3), (1, 3)]
    for each in found:
        of_a, of_b = probabilities(a, each.row, each.position), probabilities(b, each.row, each.position)
        assert of_a is not None
        assert of_b is not None
        ids = [candidate.token.id for candidate in each.candidates]
        assert {best.token.id for trace in (a, b) for best in next_tokens(trace, 5, each.row)} == set(ids)
        assert [candidate.a for candidate in each.candidates] == [of_a[place] for place in ids]
        assert [candidate.b for candidate in each.candidates] == sorted((of_b[place] for place in ids), reverse=True)
        np.testing.assert_allclose(of_a.sum(), 1)
        np.testing.assert_allclose(each.moved, np.maximum(of_a - of_b, 0).sum())
        assert each.moved > 0


def test_of_generated_tokens_the_last_common_place_counts() -> None:
    fields: dict[str, Any] = {"generation": Generation(4, stop=()), "ids": ROWS[:1]}
    a, b = run("layers.1 pass 2: noise 9", **fields), run(**fields)
    ids_a, ids_b = ([token.id for token in trace.tokens[0]] for trace in (a, b))
    common = next((place for place, (x, y) in enumerate(zip(ids_a, ids_b, strict=True)) if x != y), len(ids_a))
    (found,) = next_tokens_of(a, b)
    # After the last token of all no pass was made.
    assert found.position == min(common, len(ids_a) - 1) - 1
    if common < len(ids_a):
        assert found.candidates[0].token.id == ids_b[common]


def test_without_logits_or_with_other_vocabularies_there_is_no_table() -> None:
    plain = run()
    assert next_tokens_of(plain, run(keep=parse_keep(["*.mlp"], ""))) == ()
    assert next_tokens_of(plain, run(config={"vocab_size": 4300})) == ()
    assert next_tokens_of(plain, run(ids=((6, 8, 1),))) == ()
    assert next_tokens_of(plain, replace(plain, tokens=())) == ()


def test_the_residual_is_apart_from_the_edited_layer_on() -> None:
    a, b = run("layers.1.mlp: noise 1"), run()
    sites = report(a, b).comparison.sites
    found = [(layer, site.distance.relative > 0) for layer, site in residual_effects(sites) if site.distance]
    assert found == [(0, False), (1, True), (2, True)]
    assert edits_of_sides(a, b) == (("layers.1.mlp: noise 1",), ())


def test_the_output_tells_edits_next_tokens_and_residual_before_the_first_change() -> None:
    a, b = run("layers.1.mlp: noise 1"), run()
    found = report(a, b)
    text = "\n".join(diff_lines(found, ("a", "b")))
    assert "edits      layers.1.mlp: noise 1 in A" in text
    parts = [
        "Next tokens after row 0, token 3",
        "Residual stream after each layer",
        "First divergence: model.layers.1.mlp",
    ]
    assert sorted(parts, key=text.index) == parts
    assert "its inputs agree: an edit of A changed it" in text
    assert "fault" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    plain = json.loads("".join(diff_json(found)))
    assert plain["edits"] == {"a": ["layers.1.mlp: noise 1"], "b": []}
    assert [row["row"] for row in plain["next_tokens"]] == [0, 1]
    assert {"id", "bytes", "a", "b"} == plain["next_tokens"][0]["tokens"][0].keys()
    assert [each["layer"] for each in plain["residual"]] == [0, 1, 2]
    same = "\n".join(diff_lines(report(b, run()), ("a", "b")))
    assert "Next tokens" not in same
    assert "Residual" not in same


def test_of_next_tokens_that_are_the_same_there_is_no_table_of_zeros() -> None:
    a, b = run(ids=((5, 8, 299, 3),)), run(ids=((5, 8, 299, 7),))
    text = "\n".join(diff_lines(report(a, b), ("a", "b")))
    assert "Next tokens after token 2 “et”: the same\n" in text
    assert "0.00%" not in text
    assert "+0.000" not in text
