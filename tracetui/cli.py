"""The command line: arguments to one call each."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from tracetui import __version__
from tracetui.errors import TracetuiError

EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the command in sys.argv; returns the exit status. No traceback reaches the user: a log file has it."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(sys.argv[1:])
    except TracetuiError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from tracetui.logs import write_log

        log = write_log("crash", error)
        _complain(f"internal error: {type(error).__name__}: {error}{log and f'; the log is in {log}'}")
        return 1


def _run(arguments: Sequence[str]) -> int:
    said = _parser().parse_args(arguments)
    if said.command is None:
        _parser().print_help()
        return 0
    # Nothing is downloaded unless asked for; read by the hub's library when it is imported.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from tracetui import commands

    status: int = getattr(commands, said.command)(said)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracetui",
        description="A terminal debugger for the forward pass of language models.",
        epilog="Start with `tracetui run llama3-2layer`.",
    )
    parser.add_argument("--version", action="version", version=f"tracetui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    run = commands.add_parser("run", help="debug a prompt in the terminal")
    _add_model(run)
    run.add_argument("-p", "--prompt", metavar="TEXT|@FILE", help="offered in the prompt line")

    trace = commands.add_parser("trace", help="the same without a screen")
    _add_model(trace)
    prompt = trace.add_mutually_exclusive_group()
    prompt.add_argument("-p", "--prompt", metavar="TEXT|@FILE", help="default: the recipe's own")
    prompt.add_argument("--tokens", metavar="1,2,3", help="token ids instead of a prompt")
    trace.add_argument("-o", "--output", metavar="F.npz", help="the file to write; without it only a summary is shown")

    info = commands.add_parser("info", help="what is in a trace file")
    info.add_argument("trace", metavar="F.npz")

    commands.add_parser("models", help="the recipes that ship with tracetui")

    locate = commands.add_parser("locate", help="the folders that tracetui reads and writes")
    locate.add_argument("what", choices=("config", "themes", "state"))
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a recipe's name or file, or a folder with Meta's params.json")
    parser.add_argument("--layers", metavar="N|A:B", help="only the first N layers, or A to B-1")
    parser.add_argument("--weights", metavar="random|PATH", help="a folder with consolidated.00.pth, or `random`")
    parser.add_argument("--tokenizer", metavar="PATH|NAME", help="a tokenizer file, a tiktoken encoding, or `builtin`")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--seed", type=int, metavar="N", help="of random weights")
    parser.add_argument("--memory", metavar="SIZE", help="weights that may stay in memory, such as 4G; default: half")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave through every `finally`: a half-written file is removed on the way."""
    raise SystemExit(128 + number)


def _complain(text: str) -> None:
    from tracetui.text import visible

    print(f"tracetui: {visible(text, 2000)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
