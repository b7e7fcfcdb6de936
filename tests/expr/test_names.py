"""The table of names is what the documentation and the help show."""

from __future__ import annotations

from pathlib import Path

from tracetui.expr.matrices import names_matrices
from tracetui.expr.names import help_lines, markdown_lines
from tracetui.expr.stop import parse_stop
from tracetui.expr.watch import parse_watch

DOCS = Path(__file__).parents[2] / "docs" / "stops.md"


def test_the_documentation_has_the_table_as_it_is() -> None:
    table = DOCS.read_text(encoding="utf-8").partition("<!-- names -->\n")[2].partition("<!-- /names -->")[0]
    assert table.splitlines() == list(markdown_lines())


def test_every_example_in_the_documentation_is_taken() -> None:
    stops, matrices, watches = DOCS.read_text(encoding="utf-8").split("```")[1::2]
    for line in stops.strip().splitlines():
        parse_stop(line[:34].strip() if line[33] == " " else line)
    for line in matrices.strip().splitlines():
        assert names_matrices(parse_stop(line).pattern)
    for line in watches.strip().splitlines():
        parse_watch(line[:34].strip())


def test_help_has_a_line_for_each_name() -> None:
    assert all(len(line) < 140 and line.startswith("  ") for line in help_lines())
