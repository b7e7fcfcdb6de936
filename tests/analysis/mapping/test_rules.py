"""A user's map file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.analysis.diff.made import trace_of
from tracetui.analysis.diff.report import report
from tracetui.analysis.mapping.fuzzy import Proposal
from tracetui.analysis.mapping.rules import Rules, read_rules
from tracetui.analysis.mapping.written import map_lines
from tracetui.errors import InputError
from tracetui.views.diff.report import diff_lines


def read(folder: Path, text: str) -> Rules:
    path = folder / "map.toml"
    path.write_text(text, encoding="utf-8")
    return read_rules(path)


def test_patterns_prefixes_parts_and_layouts(tmp_path: Path) -> None:
    rules = read(
        tmp_path,
        """
        strip_a = ["student."]
        strip_b = ["net.", "net2."]
        [[site]]
        a = "model.layers.{n}.mlp.experts.{e}"
        b = "net.moe_{n}.expert[{e}].out"
        [[site]]
        a = ["x.{n}.q", "x.{n}.k"]
        b = "x.{n}.qk"
        layout = "transposed, axes 1 0, pairs 4"
        """,
    )
    assert rules.of_a("student.x") == "x"
    assert rules.of_a("x") == "x"
    expert = rules.of_b("net.moe_3.expert[12].out")
    assert expert is not None
    assert expert.names == ("model.layers.3.mlp.experts.12",)
    both = rules.of_b("x.10.qk")
    assert both is not None
    assert both.names == ("x.10.q", "x.10.k")
    np.testing.assert_array_equal(both.layout.apply(np.arange(8).reshape(2, 4)), [[0, 2, 1, 3], [4, 6, 5, 7]])
    stripped = rules.of_b("net2.y")
    assert stripped is not None
    assert stripped.names == ("y",)
    assert rules.of_b("y") is None
    assert rules.of_b("netxmoe_3.expert[12].out") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("site = 3", "site: must be at most"),
        ("[[site]]\na = 'x'", r"site 1.b: must be a name of B's"),
        ("[[site]]\nb = 'x'", r"site 1.a: must be a name of A's"),
        ("[[site]]\na = 'x.{n}'\nb = 'y'", "must have {n} once"),
        ("[[site]]\na = 'x'\nb = 'y.{n}.{n}'", "must have {n} once"),
        ("[[site]]\na = 'x'\nb = 'y'\nlayout = 'sideways'", "site 1.layout: must be `transposed`"),
        ("[[site]]\na = 'x'\nb = 'y'\nlayout = 'axes 0 0'", "site 1.layout"),
        ("[[site]]\na = 'x'\nb = 'y'\nlayout = 'pairs 3'", "site 1.layout"),
        ("[[site]]\na = 'x'\nb = 'y'\nlayout = 'pairs ²'", "site 1.layout"),
        (f"[[site]]\na = 'x'\nb = 'y'\nlayout = '{'transposed,' * 999}'", "at most 16 steps, got 999"),
        ("[[site]]\na = 'x'\nb = 'y'\nlayuot = ''", "site 1.layuot: is not a key"),
        ("drop = ['x.{n}.{n}']", "drop: must have {n} and {e} once each"),
        ("drop = 'x'", "drop: must be a list of texts"),
        ("strip_b = [1]", "strip_b: must be a list of texts"),
        ("stripb = []", "stripb: is not a key"),
        ("[[site", r"is not TOML: .*; a map holds tables \[\[site\]\]"),
        ("# no rule", "has no names in it; a map holds"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read(tmp_path, text)


def test_the_documented_map_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "diff.md").read_text(encoding="utf-8")
    rules = read(tmp_path, text.split("```toml")[1].split("```")[0])
    found = rules.of_b("net/block_7/queries")
    assert found is not None
    assert found.names == ("model.layers.7.self_attn:q",)
    assert found.layout.apply(np.zeros((1, 5, 2, 128))).shape == (1, 2, 5, 128)


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0), (1, 2, 3, 6)])
def test_a_layout_that_doesn_t_fit_leaves_a_tensor_to_be_told_of(tmp_path: Path, shape: tuple[int, ...]) -> None:
    steps = ("transposed", "axes 1 0", "pairs 4", "halves 4")
    text = "".join(f"[[site]]\na = 'x.{step}'\nb = '{step}'\nlayout = '{step}'\n" for step in steps)
    rules = read(tmp_path, text + "[[site]]\na = ['q', 'k']\nb = 'qk'\n")
    a = trace_of({**{f"x.{step}": np.ones((2, 3)) for step in steps}, "q": np.ones(2), "k": np.ones(3)})
    found = report(a, trace_of({**{step: np.zeros(shape) for step in steps}, "qk": np.zeros(shape)}), rules)
    assert len(found.comparison.sites) == len(steps) + 2


def test_a_map_stands_above_names_that_are_equal(tmp_path: Path) -> None:
    """B's layer hands on what its block made, and B's block something that A lacks: equal names are other tensors."""
    rng = np.random.default_rng(0)
    mlp, stream, other = (rng.normal(size=(1, 5, 8)) for _ in range(3))
    a = trace_of({"model.layers.0.mlp": mlp, "model.layers.0": stream})
    b = trace_of({"model.layers.0.mlp": other, "model.layers.0": mlp, "sum.0": stream})
    assert not report(a, b).comparison.same
    tables = 'site = [{a = "model.layers.{n}.mlp", b = "model.layers.{n}"}, {a = "model.layers.{n}", b = "sum.{n}"}]'
    found = report(a, b, read(tmp_path, tables)).comparison
    assert found.same
    assert {site.site: site.pair.b.record.site for site in found.sites} == {
        "model.layers.0.mlp": "model.layers.0",
        "model.layers.0": "sum.0",
    }
    assert [named.site for named in found.alignment.only_b] == ["model.layers.0.mlp (its own name)"]
    assert [named.record.site for named in found.alignment.only_b] == ["model.layers.0.mlp"]


def test_a_name_can_be_dropped_though_both_have_it(tmp_path: Path) -> None:
    a = trace_of({f"model.layers.{n}.mlp.act_fn": np.ones((2, 4)) for n in range(2)} | {"logits": np.ones((2, 4))})
    b = trace_of({f"model.layers.{n}.mlp.act_fn": np.zeros((2, 4)) for n in range(2)} | {"logits": np.ones((2, 4))})
    assert not report(a, b).comparison.same
    found = report(a, b, read(tmp_path, 'drop = ["model.layers.{n}.mlp.act_fn"]')).comparison
    assert found.same
    assert [site.site for site in found.sites] == ["logits"]
    assert (len(found.alignment.only_a), len(found.alignment.only_b)) == (2, 0)
    one = report(a, b, read(tmp_path, 'drop = ["model.layers.1.mlp.act_fn"]')).comparison
    assert [site.site for site in one.sites] == ["model.layers.0.mlp.act_fn", "logits"]


def test_tables_that_fit_nothing_are_named(tmp_path: Path) -> None:
    """A map that is the other way round, or spelled otherwise, would leave all as it is without a word."""
    a = trace_of({f"blk{n}/Q": np.ones((2, 4)) for n in range(2)} | {"logits": np.ones((2, 4))})
    b = trace_of(
        {f"model.layers.{n}.self_attn.q_proj": np.ones((2, 4)) for n in range(2)} | {"logits": np.ones((2, 4))}
    )
    right = 'site = [{a = "blk{n}/Q", b = "model.layers.{n}.self_attn.q_proj"}]'
    assert report(a, b, read(tmp_path, right)).unfit == ()
    turned = 'site = [{a = "model.layers.{n}.self_attn.q_proj", b = "blk{n}/Q"}]'
    assert [words.partition(":")[0] for words in report(a, b, read(tmp_path, turned)).unfit] == ["blk{n}/Q"]
    assert "the other way round" in report(a, b, read(tmp_path, turned)).unfit[0]
    strange = right.replace("q_proj", "q_prj").replace("blk", "block")
    assert report(a, b, read(tmp_path, strange)).unfit == (
        "model.layers.{n}.self_attn.q_prj: no tensor of B's has such a name",
    )
    alone = report(a, b, read(tmp_path, right.replace("blk", "block")))
    assert alone.unfit == ("block{n}/Q: no tensor of A's has such a name",)
    assert "map        block{n}/Q: no tensor of A's has such a name" in list(diff_lines(alone, ("a", "b")))


def test_proposed_names_are_written_as_a_map_of_all_layers(tmp_path: Path) -> None:
    """What is printed is read again, and says of every layer what was proposed for each."""
    rng = np.random.default_rng(0)
    inside = {"self_attn.q_proj": "Q", "mlp": "ff_out"}
    arrays = {(n, name): rng.normal(size=(1, 5, 8)) for n in range(3) for name in inside}
    a = trace_of({f"blk{n}/{inside[name]}": array for (n, name), array in arrays.items()} | {"odd 7": np.ones(3)})
    b = trace_of({f"model.layers.{n}.{name}": array for (n, name), array in arrays.items()} | {"odd_7": np.ones(3)})
    text = "\n".join(map_lines(report(a, b).proposals))
    assert text.count("[[site]]") == 3
    assert "[[site]]  # the same norm, mean and extremes in 3 of 3" in text
    assert 'a = "blk{n}/Q"\nb = "model.layers.{n}.self_attn.q_proj"' in text
    assert 'a = "odd 7"\nb = "odd_7"' in text
    found = report(a, b, read(tmp_path, text))
    assert (found.comparison.compared, found.comparison.same, found.unfit) == (7, True, ())


@pytest.mark.parametrize(
    ("a", "b", "table"),
    [
        ("b1/ff1", "model.layers.1.mlp.up_proj", ("b1/ff1", "model.layers.1.mlp.up_proj")),  # which of the two?
        ("l2/e5/w", "model.layers.2.mlp.experts.5.w", ("l{n}/e{e}/w", "model.layers.{n}.mlp.experts.{e}.w")),
        ("model.layers.2.mlp", "blk.2.ffn", ("model.layers.{n}.mlp", "blk.{n}.ffn")),
        ('a"b', "c\\d", ('a"b', "c\\d")),
    ],
)
def test_a_number_is_a_layers_only_where_that_is_clear(a: str, b: str, table: tuple[str, str]) -> None:
    found = tomllib.loads("\n".join(map_lines([Proposal(a, b, "", 2.0)])))
    assert (found["site"][0]["a"], found["site"][0]["b"]) == table
