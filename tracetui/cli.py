"""The command line: arguments to one call each."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from tracetui import __version__
from tracetui.errors import InputError, TracetuiError, without_library
from tracetui.expr.actions import help_lines as edit_help
from tracetui.expr.names import help_lines
from tracetui.signals import catch_signals

EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong usage is bad input like any other: one line, with foreign text made visible."""
        raise InputError(f"{message}; `{self.prog} --help` lists what there is")


def main() -> int:
    """Run the command in sys.argv; returns the exit status. No traceback reaches the user: a log file has it."""
    catch_signals()
    _mend_streams()
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
        return status
    except TracetuiError as error:
        _complain(str(error), *error.details)
        return error.exit_code
    except KeyboardInterrupt:
        # Pressed again while the interpreter tidies up, it would show a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except OSError as error:
        # Every file has an error of its own: this is the terminal, or whoever read our output and has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _complain(f"the output can't be written: {error.strerror or error}")
        return 1
    except Exception as error:
        if (told := without_library(error)) is not None:
            _complain(str(told))
            return told.exit_code
        from tracetui.logs import write_log

        log = write_log("crash", error)
        _complain(f"internal error: {type(error).__name__}: {error}{log and f'; the log is in {log}'}")
        return 1


def _run(arguments: Sequence[str]) -> int:
    said = _parser().parse_args(arguments)
    if said.command is None:
        _parser().print_help()
        return 0
    said.offline = _quieten_libraries()
    from tracetui import commands

    status: int = getattr(commands, said.command)(said)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tracetui",
        description="A terminal debugger for the forward pass of language models.",
        epilog="Start with `tracetui run llama3-2layer`.",
    )
    parser.add_argument("--version", action="version", version=f"tracetui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    run = commands.add_parser("run", help="debug a prompt in the terminal")
    _add_run(run)

    trace = commands.add_parser("trace", help="the same without a screen")
    _add_run(trace)
    trace.add_argument("-o", "--output", metavar="F.npz", help="the file to write; without it only a summary is shown")
    trace.add_argument("--compress", action="store_true", help="a smaller file that is slower to write and to look at")
    trace.add_argument("--json", action="store_true", help="what came out as one JSON object, for machines")

    opened = commands.add_parser("open", help="look at a trace file; needs no torch")
    opened.add_argument("trace", metavar="F.npz", help="a trace, or a plain npz or safetensors file of named tensors")
    opened.set_defaults(command="open_trace")

    info = commands.add_parser("info", help="what is in a trace file")
    info.add_argument("trace", metavar="F.npz")

    _add_diff(commands.add_parser("diff", help="two traces: the first tensor that differs, and what fed it"))
    _add_export(commands.add_parser("export", help="a trace as tables, tensors, pictures, or a report for a browser"))

    outline = commands.add_parser("outline", help="a checkpoint's structure: tensors, shapes, parameter counts")
    _add_name(outline)
    _add_layers(outline)
    outline.add_argument("--layout", choices=("meta", "deepseek", "hf"), help="another implementation's names beside")
    outline.add_argument("--json", action="store_true", help="for machines")

    config = commands.add_parser("config", help="every field of a model's configuration, explained")
    _add_name(config)

    commands.add_parser("models", help="the recipes that ship with tracetui")

    locate = commands.add_parser("locate", help="the folders that tracetui reads and writes")
    locate.add_argument("what", choices=("config", "themes", "state", "cache"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    """What a run takes, with a screen or without."""
    _add_model(parser)
    _add_prompts(parser)
    _add_kept(parser)
    _add_generation(parser)
    _add_stops(parser)


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a trace, or a plain npz or safetensors file of named tensors")
    parser.add_argument("b", metavar="B", help="the reference: another one")
    parser.add_argument("--rtol", type=float, metavar="X", help="an element is off beyond atol + rtol·|b|")
    parser.add_argument("--atol", type=float, metavar="X", help="defaults of both are by dtype")
    parser.add_argument("--map", metavar="F.toml", help="names and layouts of your own")
    parser.add_argument("--fuzzy", action="store_true", help="compare names that may mean the same, by shape and order")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--noise", action="store_true", help="noise or bug: rerun B (else A) in float64; needs torch")
    parser.add_argument("--model", metavar="MODEL", help="with --noise: where the model is, if the trace doesn't say")
    parser.add_argument("--tui", action="store_true", help="look at both in the terminal")
    parser.add_argument("--all", action="store_true", help="every site that differs, not the next ones only")


def _add_model(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    _add_layers(parser)
    parser.add_argument(
        "--weights", metavar="random|hub|PATH", help="a folder with weights, `random`, or `hub` to fetch them"
    )
    parser.add_argument("--tokenizer", metavar="PATH|NAME", help="a tokenizer file, a tiktoken encoding, or `builtin`")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--seed", type=int, metavar="N", help="of random weights")
    parser.add_argument(
        "--mla", choices=("naive", "absorb"), help="latent attention from every head's keys and values, or the latent"
    )
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help="weights that may stay in memory for the next prompt, 0 for none; default: half of what is free",
    )


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
    parser.add_argument("--diff", metavar="OTHER", help="compare with this trace, the reference, in the report")
    picture = parser.add_argument_group("pictures of attention")
    picture.add_argument("--head", type=int, metavar="N")
    picture.add_argument("--row", type=int, metavar="N", help="of a batch")
    picture.add_argument("--kind", choices=("scores", "masked", "probs"), help="default: probs")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the file to write; tables go to the terminal without it"
    )


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    """What is run: one row, or a batch of them; without any of these the recipe's own."""
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("-p", "--prompt", metavar="TEXT|@FILE", action="append", help="given again: a batch")
    rows.add_argument("--batch", metavar="FILE", help="a file of prompts, one a line")
    rows.add_argument("--tokens", metavar="1,2,3", action="append", help="token ids instead; given again: a batch")
    rows.add_argument("--random-tokens", metavar="4x64", help="rows of random token ids")
    parser.add_argument("--chat", action="store_true", help="each prompt goes through the model's chat template")
    parser.add_argument("--system", metavar="TEXT", help="the system's message of such a chat")
    parser.add_argument(
        "--no-special", dest="special", action="store_false", help="names of special tokens in a prompt stay text"
    )


def _add_generation(parser: argparse.ArgumentParser) -> None:
    """Whether the model goes on from its prompt, and how it chooses."""
    going = parser.add_argument_group("generation")
    going.add_argument(
        "--generate", type=int, metavar="N", help="add N tokens, each the most probable; a pass for each but the last"
    )
    going.add_argument("--temperature", type=float, metavar="X", help="draw tokens instead, from logits over this")
    going.add_argument("--top-k", type=int, metavar="K", help="draw only from the K most probable")
    going.add_argument("--top-p", type=float, metavar="P", help="draw only from the most probable that have P together")
    going.add_argument("--sample-seed", type=int, metavar="N", help="of the draws; default: 0")
    going.add_argument("--eos", metavar="1,2|none", help="ids that end a row; default: the configuration's")


def _add_kept(parser: argparse.ArgumentParser) -> None:
    """What of the tensors stays, and where."""
    kept = parser.add_argument_group("what is recorded")
    kept.add_argument(
        "--keep",
        metavar="all|stats|GLOB",
        action="append",
        help="whose values are kept, such as layers.7.mlp or '*.gate'; given again: more. Of the others: statistics",
    )
    kept.add_argument(
        "--attention",
        choices=("qkv", "scores", "probs"),
        help="record the full matrices too: scores before and after the mask, and probabilities",
    )
    kept.add_argument(
        "--lens",
        type=int,
        nargs="?",
        const=5,
        metavar="K",
        help="record what each layer's residual would predict: the K most probable tokens, 5 without a number",
    )
    kept.add_argument("--values", metavar="SIZE", help="memory for values; default: half of what the run leaves free")
    kept.add_argument("--spill", metavar="SIZE", help="disk for values beyond that; default: half of what is free")
    kept.add_argument("--spill-folder", metavar="FOLDER", help="where they lie until the program ends")


def _add_stops(parser: argparse.ArgumentParser) -> None:
    """Where the run waits; without a screen: what makes it end with status 1."""
    stops = parser.add_argument_group("stops and edits")
    stops.add_argument(
        "--break",
        dest="stops",
        metavar="EXPR",
        action="append",
        help="a site, a condition, or both: layers.7.mlp, '*.mlp if norm > 100', 'nan'; given again: more",
    )
    stops.add_argument(
        "--no-default-stops", dest="default_stops", action="store_false", help="without the stops nan and inf"
    )
    stops.add_argument(
        "--edit",
        dest="edits",
        metavar="EXPR|@F.npz",
        action="append",
        help="change a tensor before the model goes on: 'layers.3.self_attn head 5: zero'; given again: more; "
        "@F.npz: a recorded run's edits",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    edits = ("edits, SITE … : ACTION:", *edit_help())
    parser.epilog = "\n".join(("names in conditions:", *help_lines(), "", *edits))


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a recipe's name or file, a model's folder, or its id on the hub"
    )


def _add_layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layers", metavar="N|A:B", help="only the first N layers, or A to B-1")


def _quieten_libraries() -> bool:
    """Nothing is downloaded unless asked for, and no library prints on our terminal; both are read at its import.

    Returns whether the user's own environment forbids the network, whatever is asked for.
    """
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    return said.upper() in ("1", "ON", "YES", "TRUE")


def _mend_streams() -> None:
    """Have all three streams open, and able to write any character."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # This takes the closed descriptor too: else the next file opened gets it, and messages go into that file.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _complain(text: str, *details: str) -> None:
    from tracetui.text import visible

    with suppress(OSError):
        for line in (f"tracetui: {text}", *details):
            print(visible(line, 2000), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
