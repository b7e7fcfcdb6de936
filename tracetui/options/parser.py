"""The command line's commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from tracetui import __version__
from tracetui.errors import InputError

HOME = "home"
"""The command of a line that names nothing to open."""
_NAMED_BY = {"run": "model", "open_trace": "trace"}
"""Which argument says what a command opens, where it may be missing."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong usage is bad input like any other: one line, with foreign text made visible."""
        raise InputError(f"{message}; `{self.prog} --help` lists what there is")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What a command line says. Raises InputError for wrong usage, naming the help of the command concerned."""
    command = next((word for word in arguments if not word.startswith("-")), None)
    built = parser(command)
    if command is not None and command == arguments[0] and command not in (known := _commands(built)):
        from tracetui.options.no_command import no_command

        raise InputError(no_command(command, known))
    parsed, unknown = built.parse_known_args(arguments)
    if unknown:
        raise InputError(f"unrecognized arguments: {' '.join(unknown)}; `{parsed.prog} --help` lists what there is")
    named_by = _NAMED_BY.get(parsed.command)
    if named_by is not None and getattr(parsed, named_by) is None:
        parsed.command = HOME
    parsed.options = tuple(arguments[1:])
    return parsed


def _commands(built: argparse.ArgumentParser) -> Sequence[str]:
    found = (action for action in built._actions if isinstance(action, argparse._SubParsersAction))
    return [name for action in found for name in action.choices]


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Reads a command line into a Namespace whose `command` is a function of tracetui.commands.

    only: the command that is on it; others then lack options that would have to be imported.
    """
    top = _Parser(
        prog="tracetui",
        description="A terminal debugger for the forward pass of language models.",
        epilog="Without a command it shows what can be opened.",
    )
    top.add_argument("--version", action="version", version=f"tracetui {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    run = commands.add_parser("run", help="debug a prompt in the terminal")
    _add_model(run, "run", only)
    _add_fresh(run, "this model's last session: its stops, watches, edits, prompt and layout")
    _add_ranks(run)

    trace = commands.add_parser("trace", help="the same without a screen")
    _add_model(trace, "trace", only)
    trace.add_argument("-o", "--output", metavar="F.npz", help="the file to write; without it only a summary is shown")
    trace.add_argument("--compress", action="store_true", help="a smaller file that is slower to write and to look at")
    trace.add_argument("--json", action="store_true", help="for programs: JSON lines, the last with all that came out")
    _add_ranks(trace)

    _add_open(commands.add_parser("open", help="look at a trace file; needs no torch"))
    _add_serve(commands.add_parser("serve", help="the same screen in a browser"))
    _add_info(commands.add_parser("info", help="what is in a trace file, or a GGUF file"))
    _add_diff(commands.add_parser("diff", help="two traces: the first tensor that differs, and what fed it"))
    _add_merge(commands.add_parser("merge", help="the traces of a run's ranks as the one trace of the whole model"))
    _add_export(commands.add_parser("export", help="a trace as tables, tensors, pictures, or a report for a browser"))
    _add_quantised(commands.add_parser("quantised", help="what quantising did: which matrix hurts"), only)
    _add_outline(
        commands.add_parser("outline", help="a checkpoint's structure: tensors, shapes, parameter counts"), only
    )

    config = commands.add_parser("config", help="every field of a model's configuration, explained")
    _add_model(config, "config", only)

    commands.add_parser("tour", help="ten steps through the debugger, on a small model")

    commands.add_parser("models", help="the recipes that ship with tracetui")

    locate = commands.add_parser("locate", help="the folders that tracetui reads and writes, and its compiled code")
    kinds = ("config", "themes", "state", "cache", "native")
    locate.add_argument("what", nargs="?", choices=kinds, help="without it: all of them, with their names")
    top.set_defaults(prog=top.prog)
    for command in commands.choices.values():
        command.set_defaults(prog=command.prog)
    return top


def _add_ranks(parser: argparse.ArgumentParser) -> None:
    title = "on several ranks"
    ranks = parser.add_argument_group(title, "under torchrun or srun: one model on all of them, and one trace")
    ranks.add_argument("--tp", type=int, metavar="N", help="tensor parallel; default: as many as there are ranks")
    ranks.add_argument("--pp", type=int, metavar="N", help="stages of layers")
    ranks.add_argument("--ep", type=int, metavar="N", help="experts on the ranks of --tp: 1, or as many")


def _add_model(parser: argparse.ArgumentParser, command: str, only: str | None) -> None:
    """The model and what a run of it takes: imported only where that may be on the command line."""
    if only in (None, command):
        from tracetui.options.run import add_model

        add_model(parser, command)


def _add_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "trace", metavar="F.npz", nargs="?", help="a trace, or a plain npz or safetensors file of named tensors"
    )
    _add_fresh(parser, "what was set the last time this file was open: stops, watches and layout")
    parser.set_defaults(command="open_trace")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="this machine alone without it")
    parser.add_argument("--port", default=8000, type=int, metavar="N", help="default: 8000")
    parser.add_argument("target", metavar="MODEL|F.npz", help="a model as `run` takes it, or a file as `open` does")
    parser.add_argument("rest", metavar="...", nargs=argparse.REMAINDER, help="options of `run` or `open`")


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "trace", metavar="F.npz", help="a trace, a file of named tensors (npz, safetensors), or a GGUF file"
    )
    parser.add_argument("--json", action="store_true", help="for machines: the header, with the file's name and size")
    parser.add_argument("--check", action="store_true", help="read every byte and hold it against the file's checksums")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a trace, or a plain npz or safetensors file of named tensors")
    parser.add_argument("b", metavar="B", help="the reference: another one")
    _add_comparing(parser)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--noise", action="store_true", help="noise or bug: rerun B (else A) in float64; needs torch")
    parser.add_argument("--model", metavar="MODEL", help="with --noise: where the model is, if the trace doesn't say")
    parser.add_argument("--tui", action="store_true", help="look at both in the terminal")
    parser.add_argument(
        "--all", action="store_true", help="every site that differs or isn't compared by name, not the first ones only"
    )
    parser.add_argument(
        "--print-map", action="store_true", help="print the names that may mean the same as a map for --map, no more"
    )


def _add_quantised(parser: argparse.ArgumentParser, only: str | None) -> None:
    parser.add_argument("original", metavar="ORIGINAL", help="a model's folder, file, or id on the hub")
    parser.add_argument("quantised", metavar="QUANTISED", help="the same model's, quantised")
    _add_model(parser, "quantised", only)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for machines")
    form.add_argument("--csv", action="store_true", help="a table of all that was measured")
    form.add_argument("--html", metavar="FILE", help="a report in one file, for any browser")
    form.add_argument("--tui", action="store_true", help="look at it in the terminal")
    parser.add_argument("--all", action="store_true", help="each matrix of every layer by itself; tables in full")


def _add_outline(parser: argparse.ArgumentParser, only: str | None) -> None:
    _add_model(parser, "outline", only)
    parser.add_argument("--layout", choices=("meta", "deepseek", "hf"), help="another implementation's names beside")
    parser.add_argument("--json", action="store_true", help="for machines")


def _add_comparing(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--rtol", type=float, metavar="X", help="an element is off beyond atol + rtol·|b|")
    parser.add_argument("--atol", type=float, metavar="X", help="defaults of both are by dtype")
    parser.add_argument("--map", metavar="F.toml", help="names and layouts of your own")
    parser.add_argument("--fuzzy", action="store_true", help="compare names that may mean the same, by shape and order")


def _add_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ranks", metavar="RANK.npz", nargs="+", help="each rank's file, or a folder of them")
    parser.add_argument("-o", "--output", metavar="F.npz", required=True, help="the file to write")
    parser.add_argument(
        "--replicas",
        choices=("bits", "tolerance", "off"),
        default="bits",
        help="how alike what several ranks have must be (default: bits)",
    )
    parser.add_argument("--tp", type=int, metavar="N", help="of N tensor-parallel ranks whose files don't say it")
    parser.add_argument("--compress", action="store_true", help="a smaller file that is slower to write and to look at")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", metavar="F.npz", help="a trace, or a plain npz or safetensors file of named tensors")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--csv", action="store_true", help="the statistics of every record")
    what.add_argument("--json", action="store_true", help="the same with the run, the tokens and the configuration")
    what.add_argument("--safetensors", action="store_true", help="every tensor that was kept")
    what.add_argument("--npy", metavar="SITE", help="one array, or a part of it: `model.layers.0[0, :, 2:4]`")
    what.add_argument("--png", metavar="SITE", help="a heatmap of an attention's head, or of two axes of a tensor")
    what.add_argument("--svg", metavar="SITE", help="the same in lines and letters")
    what.add_argument("--html", metavar="FILE", help="a report in one file, for any browser")
    comparing = parser.add_argument_group("comparing, in the report")
    comparing.add_argument("--diff", metavar="OTHER", help="with this trace, the reference")
    _add_comparing(comparing)
    picture = parser.add_argument_group("pictures of attention")
    picture.add_argument("--head", type=int, metavar="N")
    picture.add_argument("--row", type=int, metavar="N", help="of a batch")
    picture.add_argument("--kind", choices=("scores", "masked", "probs"), help="default: probs")
    look = parser.add_argument_group("pictures")
    look.add_argument(
        "--scale",
        choices=("root", "linear", "layer", "log", "rows"),
        help="how colours go with numbers (docs/export.md); default: root for probabilities, else linear",
    )
    look.add_argument("--dark", action="store_true", help="light on dark")
    look.add_argument("--font-size", type=float, metavar="POINTS", help="default: 9")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the file to write; tables go to the terminal without it"
    )


def _add_fresh(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--fresh", action="store_true", help=f"forget {what} (docs/sessions.md)")
    parser.add_argument("--reset-layout", action="store_true", help="forget where panes and their dividers stood")
