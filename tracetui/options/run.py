"""The options of a run on the command line, with a screen or without."""

from __future__ import annotations

import argparse
from typing import Any

from tracetui.expr.actions import help_lines as edit_help
from tracetui.expr.names import help_lines
from tracetui.recipe.options import OPTIONS, Group, Option

_UNTITLED = (Group.MODEL, Group.PROMPTS)
OF_TWO_MODELS = ("prompt", "tokens", "random_tokens", "chat", "system", "dtype", "memory", "layers")
"""What a comparison of a model with a quantised one takes of a run's options."""


def add_model(parser: argparse.ArgumentParser, command: str) -> None:
    """Add to a command that takes a model what recipes and their options say."""
    if command in ("run", "trace"):
        add_run(parser, nameless=command == "run")
        return
    if command == "quantised":
        for name in OF_TWO_MODELS:
            add_option(parser, OPTIONS[name])
        return
    add_name(parser)
    if command == "outline":
        add_option(parser, OPTIONS["layers"])


def add_run(parser: argparse.ArgumentParser, nameless: bool = False) -> None:
    """What a run takes, with a screen or without; nameless: the model may be chosen later."""
    add_name(parser, "?" if nameless else None)
    for group in Group:
        options = [option for option in OPTIONS.values() if option.group is group and option.on_the_command_line]
        section = parser if group in _UNTITLED else parser.add_argument_group(group.value)
        if alternatives := [option for option in options if option.alternative]:
            one_of = section.add_mutually_exclusive_group()
            for option in alternatives:
                add_option(one_of, option)
        for option in options:
            if not option.alternative:
                add_option(section, option)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    edits = ("edits, SITE … : ACTION:", *edit_help())
    parser.epilog = "\n".join(("names in conditions:", *help_lines(), "", *edits))


def add_option(container: argparse._ActionsContainer, option: Option) -> None:
    """An option whose value in the Namespace is None unless it is given."""
    how: dict[str, Any] = {"dest": option.name, "help": option.help}
    if option.switch is not None:
        how |= {"action": "store_const", "const": option.switch}
    else:
        how |= {"metavar": option.metavar or f"{{{','.join(option.choices)}}}", "type": option.number or str}
    if option.repeated:
        how["action"] = "append"
    if option.bare is not None:
        how |= {"nargs": "?", "const": option.bare}
    container.add_argument(*(option.flags or (option.flag,)), **how)


def add_name(parser: argparse.ArgumentParser, count: str | None = None) -> None:
    parser.add_argument(
        "model", metavar="MODEL", nargs=count, help="a recipe's name or file, a model's folder, or its id on the hub"
    )
