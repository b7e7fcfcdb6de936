"""The command line: arguments to one call each."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

from tracetui.errors import TracetuiError, in_words, without_library
from tracetui.options.parser import HOME, parse, parser
from tracetui.signals import catch_signals, check_signals, told_to_end
from tracetui.startup_line import begin_for, startup_line


def main() -> int:
    """Run the command in sys.argv; returns the exit status. No traceback reaches the user: a log file has it."""
    catch_signals()
    _mend_streams()
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
        # A signal's exception may have come to nothing.
        check_signals()
        return status
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else told_to_end()
        return _failed(error) if number is None else _interrupted(number)


def _interrupted(number: int) -> int:
    """The end of a command that a signal ended, whatever its exception became in the code that it met."""
    if number == signal.SIGINT:
        _complain("interrupted")
    return 128 + number


def _failed(error: BaseException) -> int:
    if isinstance(error, TracetuiError):
        _complain(str(error), *error.details)
        return error.exit_code
    if isinstance(error, OSError):
        # Every file has an error of its own: this is the terminal, or whoever read our output and has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:
            _complain(f"the output can't be written: {error.strerror or error}")
        return 1
    if isinstance(error, Exception) and (missing := without_library(error)) is not None:
        _complain(str(missing))
        return missing.exit_code
    from tracetui.logs import write_log

    log = write_log("crash", error)
    _complain(f"internal error: {in_words(error)}{log and f'; the log is in {log}'}")
    return 1


def _run(arguments: Sequence[str]) -> int:
    begin_for(arguments)
    try:
        return _command(arguments)
    finally:
        startup_line.end()


def _command(arguments: Sequence[str]) -> int:
    parsed = parse(arguments)
    if parsed.command is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            parser().print_help()
            return 0
        parsed.command = HOME
    parsed.offline = _quieten_libraries()
    _have_threads_rest()
    from tracetui.bus_error import catch_bus_errors
    from tracetui.commands import command

    catch_bus_errors()
    return command(parsed.command)(parsed)


def _quieten_libraries() -> bool:
    """Nothing is downloaded unless asked for, and no library prints on our terminal; both are read at its import.

    Returns whether the user's own environment forbids the network, whatever is asked for.
    """
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    return offline.upper() in ("1", "ON", "YES", "TRUE")


def _have_threads_rest() -> None:
    """OpenMP's threads sleep soon after a step, unless the user says how they wait: read when torch is imported.

    On their own they spin for milliseconds, on the processors that then make the next weights: a sixth of all the time
    of a model whose weights are made as it runs. A forward pass has its next step within a tenth of this.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["GOMP_SPINCOUNT"] = "10000"


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
    # `python -m tracetui.cli` ran it before `python -m tracetui` did: doing nothing, it would pass for a success.
    sys.exit(main())
