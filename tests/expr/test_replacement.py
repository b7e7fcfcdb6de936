"""Edits that take their tensors from another trace: how they are written, and what is found out before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracetui.errors import InputError
from tracetui.expr.edit import ReplacementSource
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.replacement import check_sources, key_in, open_source


@pytest.mark.parametrize(
    ("text", "kept", "source"),
    [
        ("layers.3:replace @a.npz", "layers.3: replace @a.npz", ReplacementSource("a.npz")),
        ("x :  replace  @a.npz   y.mlp:q ", "x: replace @a.npz y.mlp:q", ReplacementSource("a.npz", "y.mlp:q")),
        ('x[0,:]: replace @"a  b: c [.npz"', 'x[0,:]: replace @"a  b: c [.npz"', ReplacementSource("a  b: c [.npz")),
        (
            "x:q pass 1: replace @/t/a:b.npz y@2",
            "x:q pass 1: replace @/t/a:b.npz y@2",
            ReplacementSource("/t/a:b.npz", "y@2"),
        ),
        ('x: replace @"a.npz"', "x: replace @a.npz", ReplacementSource("a.npz")),
    ],
)  # fmt: skip
def test_the_file_and_the_site_are_read_and_written_alike(text: str, kept: str, source: ReplacementSource) -> None:
    edit = parse_edit(text)
    assert (edit.text, edit.action.source) == (kept, source)
    assert parse_edit(kept).action == edit.action
    made = edit.made_at(40).ended_at(73)
    again = parse_edit(made.text)
    assert (again.first, again.end, again.action.source) == (40, 73, source)


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("layers.3: replace", 17, "@F.npz"),
        ("layers.3: replace other.npz", 18, "@F.npz"),
        ("layers.3: replace @", 18, "@F.npz"),
        ('layers.3: replace @"a b.npz', 18, "quotes"),
        ("layers.3: replace @my run.npz x", 21, "quotes"),
        ('layers.3: replace @"a.npz"x', 26, "one SITE"),
        ("layers.3: replace @a.npz layers.*", 25, "no pattern"),
        ("layers.3 token 2: replace @a.npz", 17, "token"),
        ("layers.3:mask: replace @a.npz", 8, "can be edited"),
    ],
)
def test_a_wrong_one_is_refused_with_its_place(text: str, at: int, why: str) -> None:
    with pytest.raises(BadExpressionError, match=why) as refused:
        parse_edit(text, "--edit")
    assert refused.value.column == at


def test_a_file_is_looked_into_before_a_run(tmp_path: Path) -> None:
    path = tmp_path / "a b.npz"
    tensors: dict[str, Any] = dict.fromkeys(("layers.1.mlp", "layers.2.mlp", "x.self_attn:heads"), np.ones(3))
    np.savez(path, **tensors)
    named = f'@"{path}"'
    check_sources(
        [parse_edit(f"layers.1.mlp: replace {named}"), parse_edit(f"y head 1: replace {named} self_attn")], "e"
    )
    for text, why in (
        (f"layers.7.mlp: replace {named}", "has nothing at layers.7.mlp; name a site"),
        (f"layers.1.mlp: replace {named} layers.9", "has nothing at layers.9"),
        (f"layers.1.mlp: replace {named} mlp", "has 2 sites that end in mlp"),
        (f"layers.1.mlp: replace @{tmp_path}/none.npz", "none.npz"),
    ):
        with pytest.raises(InputError, match=why):
            check_sources([parse_edit(text)], "--edit")
    trace = open_source(str(path), "")
    assert key_in(trace, ReplacementSource("", "layers.1.mlp"), "z@2.1", "") == "layers.1.mlp@2.1"
    assert key_in(trace, ReplacementSource("", "layers.1.mlp@0"), "z@2", "") == "layers.1.mlp"
    assert key_in(trace, ReplacementSource(""), "z#1@2", "") == "z#1@2"
