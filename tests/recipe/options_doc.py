"""docs/options.md as the table of options makes it: `python -m tests.recipe.options_doc` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tracetui.recipe.options import OPTIONS, Group, Option

DOC = Path(__file__).parents[2] / "docs" / "options.md"
_HEAD = """# Options of a run

What `tracetui run` and `tracetui trace` take, `tracetui.trace(MODEL, …)` in Python, and a [recipe file](recipes.md) as
a key. An option that is given stands in place of the recipe's own. Sizes are texts such as `2G`, or bytes.
Of one command alone: `trace` takes `-o FILE`, `--compress` and `--json` ([recording.md](recording.md)), `run` takes
`--fresh` ([sessions.md](sessions.md)).
"""


def options_doc() -> str:
    """The whole file."""
    return "\n".join([_HEAD, *(line for group in Group for line in _section(group))])


def _section(group: Group) -> Iterator[str]:
    yield f"## {group.value.capitalize()}\n"
    yield "| command line | Python | recipe | |"
    yield "|---|---|---|---|"
    yield from (_row(option) for option in OPTIONS.values() if option.group is group)
    yield ""


def _row(option: Option) -> str:
    value = option.metavar or "|".join(option.choices)
    flags = ", ".join(option.flags or (option.flag,))
    line = f"`{flags} {value}".rstrip().replace("|", "\\|") + "`"
    python = f"`{option.example or option.name}`" if option.in_python else ""
    key = f"`{option.name}`" if option.in_recipes else ""
    return f"| {line if option.on_the_command_line else ''} | {python} | {key} | {option.help} |"


if __name__ == "__main__":
    DOC.write_text(options_doc())
