"""The command that shows the screen in a browser."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from pathlib import Path

from tracetui.errors import InputError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MISSING = "serve: needs textual-serve, which isn't installed: pip install 'tracetui[serve]'"


def serve(arguments: Namespace) -> int:
    """Serve a model or a recording until the program is told to end; returns its exit status."""
    from tracetui.options.parser import parse

    words = [_command_for(arguments.target), arguments.target, *arguments.rest]
    _check(parse(words))
    try:
        from tracetui.web.server import ScreenServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("textual_serve", "aiohttp", "aiohttp_jinja2"):
            raise InputError(_MISSING) from error
        raise
    command = shlex.join([sys.executable, "-m", "tracetui", *words])
    if arguments.host not in _LOOPBACK:
        print("Whoever has this address can use the debugger as you can; what goes to and fro isn't encrypted.")
    ScreenServer(command, arguments.host, arguments.port, Path(arguments.target).name, _say).listen()
    return 0


def _command_for(target: str) -> str:
    """`open` of a file of tensors or a folder of ranks, `run` of whatever is a model."""
    path = Path(target)
    return "open" if path.suffix in (".npz", ".safetensors", ".trace") else "run"


def _check(parsed: Namespace) -> None:
    """Raise InputError now for what each visitor would be told."""
    if parsed.command == "run":
        from tracetui.commands.read_options import read_recipe, read_stops

        read_stops(parsed)
        read_recipe(parsed)
    else:
        from tracetui.debugger.recorded_session import open_recording

        open_recording(Path(parsed.trace))


def _say(address: str) -> None:
    print(f"tracetui is at {address}\nCtrl-C ends it.", flush=True)
