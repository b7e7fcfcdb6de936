"""Two traces as one tree, what can be stopped at in it, and the values that stand beside each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of, without_values
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.sides import Sides, sides
from tracetui.analysis.diff.survey import Survey, survey
from tracetui.analysis.diff.tree import Node, Standing, TreeRow, rows_of, tree_of, ways_of
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.views.diff.as_json import diff_json
from tracetui.views.diff.counts import brief
from tracetui.views.diff.report import diff_lines
from tracetui.views.diff.rows import BARS, level, row_text, scientific


def arrays(layers: Sequence[int] = (0, 1, 2, 3)) -> dict[str, Array]:
    found = {"model.embed_tokens": normal(1, 5, 8)}
    for layer in layers:
        path = f"model.layers.{layer}"
        for place, name in enumerate((":input", ".input_layernorm", ".self_attn.q_proj", ".self_attn:q", "")):
            found[path + name] = normal(1, 5, 8, seed=10 * layer + place)
    return found


def surveyed(a: Trace, b: Trace) -> Survey:
    return survey(report(a, b))


def off(found: dict[str, Array], *sites: str, by: float = 0.5) -> dict[str, Array]:
    return {site: array + np.float32(by * (site in sites)) for site, array in found.items()}


def every(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from every(node.children)


def test_every_site_stands_once_in_order_of_execution() -> None:
    a, b = trace_of(off(arrays(), "model.layers.1")), trace_of(arrays())
    top = tree_of(surveyed(a, b))
    sites = [node.site for node in every(top) if node.site]
    assert sorted(sites) == sorted(arrays())
    assert len({node.path for node in every(top)}) == len(list(every(top)))
    layer = next(node for node in top if node.name == "layers.1")
    assert [child.name for child in layer.children] == [":input", "input_layernorm", "self_attn"]
    assert [child.name for child in layer.children[2].children] == ["q_proj", ":q"]
    assert layer.site == "model.layers.1", "a module's line is its output"


def test_neighbours_that_agree_are_one_line_and_others_are_not() -> None:
    a, b = trace_of(off(arrays(), "model.layers.2:input")), trace_of(arrays())
    top = tree_of(surveyed(a, b))
    assert [node.name for node in top] == ["model.embed_tokens", "layers.0–1", "layers.2", "layers.3"]
    run = top[1]
    assert (run.standing, run.sites, run.apart) == (Standing.AGREES, 10, 0)
    assert [child.name for child in run.children] == ["layers.0", "layers.1"]
    ways = dict(ways_of(top))
    assert ways["model.layers.1.self_attn:q"][0] == run.path
    rows = list(rows_of(top, frozenset(ways["model.layers.1.self_attn:q"][:-1])))
    assert [row.node.name for row in rows][1:5] == ["layers.0–1", "layers.0", "layers.1", ":input"]
    assert rows[-1].depth == 0


def test_a_group_stands_as_the_worst_of_what_it_holds() -> None:
    sites = ("model.layers.1.self_attn.q_proj", "model.layers.1.self_attn:q")
    a, b = trace_of(off(arrays(), *sites)), trace_of(arrays())
    found = surveyed(a, b)
    layer = next(node for node in tree_of(found) if node.name == "layers.1")
    assert layer.own is Standing.AGREES
    assert layer.standing is Standing.MADE
    assert layer.apart == 2
    assert layer.worst == max(found.sites[site].distance.furthest for site in sites)  # type: ignore[union-attr]
    assert found.made == {sites[0]}, "what it feeds differs because of it"
    folded, opened = (row_text(TreeRow(layer, 0, is_open), 40) for is_open in (False, True))
    assert folded.mark == "◆ "
    assert "2 off" in folded.number
    assert opened.mark == "✓ "


def test_what_one_side_lacks_stands_where_the_other_computed_it() -> None:
    a, b = trace_of(arrays((0, 1))), trace_of(arrays((0, 1, 2, 3)))
    lone = {**arrays((0, 1)), "model.layers.1.extra": normal(1, 5, 8)}
    top = tree_of(surveyed(a, b))
    assert [(node.name, node.standing) for node in top][-1] == ("layers.2–3", Standing.ONLY_B)
    found = tree_of(surveyed(trace_of(lone), b))
    layer = next(node for node in found if node.name == "layers.1")
    assert next(child.standing for child in layer.children if child.name == "extra") is Standing.ONLY_A


def test_passes_and_calls_have_places_of_their_own() -> None:
    trace = trace_of({"model.norm": normal(1, 5, 8)})
    record = trace.records[0]
    records = (record, replace(record, index=1, pass_=1), replace(record, index=2, pass_=1, call=2))
    trace = replace(trace, records=records, values=(trace.values[0],) * 3)
    top = tree_of(surveyed(trace, trace))
    assert [node.name for node in top] == ["model.norm", "pass 1"]
    assert [child.site for child in top[1].children] == ["model.norm@1", "model.norm@1.2"]


@pytest.mark.parametrize("width", [20, 34, 50, 80])
def test_a_line_takes_exactly_its_width(width: int) -> None:
    renamed = {
        site.replace("model.", "").replace("self_attn.q_proj", "attention.wq"): a for site, a in arrays().items()
    }
    a, b = trace_of(off(arrays(), "model.layers.1.self_attn.q_proj")), trace_of(renamed, dump=True)
    top = tree_of(surveyed(a, b))
    for row in rows_of(top, frozenset(node.path for node in every(top))):
        text = row_text(row, width)
        assert len(text.mark + text.name + text.other + text.number) == width
        if row.node.site.endswith("q_proj") and width >= 80:
            assert "attention.wq" in text.other


def test_a_distance_is_told_by_a_block_and_a_number() -> None:
    assert [level(distance) for distance in (1e-8, 1e-4, 1e-2, 1, np.inf, np.nan)] == ["▁", "▃", "▆", "█", "█", "█"]
    assert [scientific(distance) for distance in (0.0, 1.234e-5, np.inf, 12.0)] == ["0", "1.2e-05", "inf", "1.2e+01"]


def test_where_there_is_room_a_bar_goes_by_decades_and_its_ends_are_told() -> None:
    def bar(width: int, relative: float) -> str:
        node = Node(
            "x", "x", site="x", own=Standing.DIFFERS, relative=relative, standing=Standing.DIFFERS, worst=relative
        )
        return row_text(TreeRow(node, 0, False), width).number.split()[0]

    assert [bar(60, distance) for distance in (1.1e-7, 10**-3.5, 1.0)] == ["▏", "██", "████"]
    assert "1e-7 to 1" in BARS


def test_clues_are_hints_and_changed_routing_in_order() -> None:
    x = normal(1, 6, 8)
    found = {"model.layers.1:input": x, "model.layers.1.input_layernorm": x / np.sqrt((x * x).mean(-1, keepdims=True))}
    scaled = {site: array * np.float32(1 + 0.3 * site.endswith("norm")) for site, array in found.items()}
    told = surveyed(trace_of(scaled), trace_of(found))
    assert told.apart == told.clues == ("model.layers.1.input_layernorm",)
    finding = told.finding(told.clues[0])
    assert finding is not None
    assert [hint.name for hint in finding.hints] == ["norm-scale"]
    assert told.finding("nowhere") is None


def test_sides_are_laid_out_as_they_were_compared() -> None:
    heads = normal(1, 4, 5, 2)
    a = trace_of({"model.layers.0.self_attn:q": heads})
    flat = {"layers.0.self_attn.q": heads.swapaxes(1, 2).reshape(1, 5, 8)}
    b = trace_of({"model.layers.0.self_attn:q": flat["layers.0.self_attn.q"]}, dump=True)
    found = report(a, b)
    both = sides(found.comparison, found.comparison.sites[0])
    assert isinstance(both, Sides)
    np.testing.assert_array_equal(both.a.read(), both.b.read())
    assert both.record.shape == heads.shape


def test_sides_end_where_the_prompts_part() -> None:
    found = arrays((0,))
    a, b = trace_of(found, [[1, 2, 3, 4, 5]]), trace_of(found, [[1, 2, 9, 9, 9]])
    compared = report(a, b).comparison
    both = sides(compared, compared.sites[0])
    assert isinstance(both, Sides)
    assert both.a.shape == both.b.shape == both.record.shape == (1, 2, 8)


def test_why_there_are_no_sides_is_said() -> None:
    found = arrays((0,))
    bare = report(without_values(trace_of(found)), trace_of(found)).comparison
    assert "not kept in A, only its statistics" in str(sides(bare, bare.sites[0]))
    other = report(trace_of({"model.norm": normal(1, 5, 8)}), trace_of({"model.norm": normal(1, 5, 9)})).comparison
    assert "[1, 5, 8] in A, [1, 5, 9] in B" in str(sides(other, other.sites[0]))


def test_an_empty_pair_of_traces_has_an_empty_tree() -> None:
    found = surveyed(trace_of({}), trace_of({}))
    assert tree_of(found) == ()
    assert not found.apart
    assert not found.clues


@pytest.mark.parametrize("waits", ["A", "B"])
def test_what_a_run_has_not_come_to_is_no_difference(waits: str) -> None:
    whole, part = trace_of(arrays()), trace_of(dict(list(arrays().items())[:8]))
    part = replace(part, complete=False)
    found = report(part, whole) if waits == "A" else report(whole, part)
    alignment = found.comparison.alignment
    ahead = alignment.ahead_b if waits == "A" else alignment.ahead_a
    assert [named.site for named in ahead] == list(arrays())[8:]
    assert not (*alignment.only_a, *alignment.only_b)
    assert found.comparison.preface.layers is None
    told = " ".join(" ".join(diff_lines(found, ("mine", "other"))).split())
    assert f"not run in {waits} yet: layers.2–3, layers.1.self_attn.q_proj, layers.1.self_attn:q, layers.1" in told
    assert "Same: 8 of 8 sites compared" in told
    assert brief(found.comparison) == f"{len(ahead)} sites not run yet in {waits}"
    nodes = {node.site: node for node in every(tree_of(survey(found)))}
    assert {nodes[named.site].standing for named in ahead} <= {Standing.AHEAD, Standing.AGREES}
    assert nodes["model.layers.3.self_attn:q"].own is Standing.AHEAD
    assert "not run yet" in row_text(TreeRow(nodes["model.layers.3.self_attn:q"], 0, False), 40).number
    document = json.loads("".join(diff_json(found)))
    assert document[f"not_run_in_{waits.lower()}"] == [named.site for named in ahead]
    assert (document["only_in_a"], document["only_in_b"]) == ([], [])


def test_machines_are_told_the_token_of_the_worst_element() -> None:
    a = {"model.embed_tokens": normal(1, 5, 8), "loss": np.array(1.0, np.float32)}
    moved = a["model.embed_tokens"].copy()
    moved[0, 3, 2] += 1
    b = {"model.embed_tokens": moved, "loss": np.array(2.0, np.float32)}
    tokens = (tuple(Token(number, b"t") for number in range(5)),)
    one, other = (replace(trace_of(arrays), tokens=tokens) for arrays in (a, b))
    document = json.loads("".join(diff_json(report(one, other))))
    assert {site["site"]: site["worst_token"] for site in document["sites"]} == {"model.embed_tokens": 3, "loss": None}


def test_what_a_waiting_run_lacks_of_the_part_it_has_run_is_missing() -> None:
    part = {site: array for site, array in list(arrays().items())[:8] if site != "model.layers.0.self_attn:q"}
    found = report(replace(trace_of(part), complete=False), trace_of(arrays()))
    assert [named.site for named in found.comparison.alignment.only_b] == ["model.layers.0.self_attn:q"]


def test_names_of_its_own_may_be_what_the_other_has_ahead() -> None:
    a = {"model.embed_tokens": normal(1, 5, 8), "block": normal(1, 5, 8, seed=1)}
    b = {"model.embed_tokens": normal(1, 5, 8), "model.layers.0": normal(1, 5, 8, seed=1)}
    found = report(replace(trace_of(a), complete=False), trace_of(b))
    assert [named.site for named in found.comparison.alignment.only_b] == ["model.layers.0"]
