"""Child processes that have imported torch already; importing it again was a quarter of what they took.

A test worker forks one process before its first test, when all is imported and nothing has run; that one starts no
thread, and forks for each child that is asked for. The child belongs to the worker, which waits for it, sends it
signals and gives it a terminal, as if it had started it itself. A test whose subject is the start, or what is imported
when, starts a process anew.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import fcntl
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn, Self, TextIO

_SET_CHILD_SUBREAPER = 36
_IMPORTED = (
    "torch",
    "transformers.modeling_utils",
    "transformers.models.llama.modeling_llama",
    "transformers.generation",
    "tracetui.tracer.live",
    "tracetui.tracer.run",
    "tracetui.api",
    "tracetui.ui.app",
    "tracetui.commands",
)
_connection: socket.socket | None = None
"""To the process that forks."""


class WarmProcess:
    """What tests use of subprocess.Popen, for a child forked from the process that has imported everything."""

    def __init__(
        self,
        arguments: Sequence[str],
        descriptors: tuple[int, int, int],
        *,
        cwd: Path,
        env: Mapping[str, str],
        terminal: bool,
    ) -> None:
        """`arguments` as Python takes them: a script, -m and a module or -c and a program, and what it is given.

        `descriptors` become its stdin, stdout and stderr. With `terminal` it leads a session whose terminal is stdin.
        """
        self.args = list(arguments)
        self.returncode: int | None = None
        self.stdout: TextIO | None = None
        self.stderr: TextIO | None = None
        request = {"arguments": self.args, "cwd": str(cwd), "env": dict(env), "terminal": terminal}
        server = _connection
        assert server is not None
        socket.send_fds(server, [json.dumps(request).encode()], descriptors)
        self.pid = int(server.recv(32))

    @classmethod
    def with_pipes(cls, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Self:
        """One whose `stdout` and `stderr` can be read here, and whose stdin is empty."""
        with ExitStack() as stack:
            nothing = stack.enter_context(Path(os.devnull).open())
            (out, its_out), (err, its_err) = os.pipe(), os.pipe()
            for descriptor in (its_out, its_err):
                stack.callback(os.close, descriptor)
            child = cls(arguments, (nothing.fileno(), its_out, its_err), cwd=cwd, env=env, terminal=False)
        child.stdout, child.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        return child

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that is still written to both pipes."""
        assert self.stdout is not None
        assert self.stderr is not None
        with ThreadPoolExecutor(2) as pool, self.stdout, self.stderr:
            reads = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                out, err = (read.result(timeout) for read in reads)
            except TimeoutError:
                self.kill()
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
        self.wait(timeout)
        return out, err

    def poll(self) -> int | None:
        """The exit status of one that has ended, minus the signal for one that died of it."""
        return self._waited(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self._waited(0 if end is None else os.WNOHANG)) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _waited(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def begin() -> None:
    """Fork the process that forks the others. It ends with this one, whose connection to it ends then."""
    global _connection
    # A child's parent ends as soon as it has forked it, so that the child becomes ours.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _connection, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        if os.fork():
            return
        try:
            _forget_the_tests(its.fileno())
            serve(its)
        finally:
            os._exit(0)


def _forget_the_tests(kept: int) -> None:
    """What a process has that runs tests, and a new one has not."""
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    faulthandler.disable()
    atexit._clear()
    # They would remove the folders of the tests; those of a child's own are to be removed.
    vars(weakref.finalize)["_registry"].clear()
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
    threading.excepthook = threading.__excepthook__
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As if nobody had imported readline, which has settings of its own while it waits for a line.
    ctypes.c_void_p.in_dll(ctypes.pythonapi, "PyOS_ReadlineFunctionPointer").value = None
    gc.set_threshold(700, 10, 10)


def serve(connection: socket.socket) -> None:
    """Import everything, then answer each request with the id of a child that does it."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not request:
            return
        for name in _IMPORTED:
            importlib.import_module(name)
        reading, writing = os.pipe()
        if (between := os.fork()) == 0:
            if child := os.fork():
                os.write(writing, str(child).encode())
                os._exit(0)
            connection.close()
            os.close(reading)
            os.close(writing)
            _end_as(partial(_become, json.loads(request), descriptors))
        os.waitpid(between, 0)
        connection.send(os.read(reading, 32))
        for descriptor in (reading, writing, *descriptors):
            os.close(descriptor)


def _end_as(program: Callable[[], NoReturn]) -> NoReturn:
    """Run a program and end as Python ends, whose own way out would lead through the tests."""
    try:
        program()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _become(request: dict[str, object], descriptors: Sequence[int]) -> NoReturn:
    """Be the process that was asked for, as Python starts one, to its end."""
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    if request["terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(str(request["cwd"]))
    environment = request["env"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    # Made anew: whether lines go out one by one follows from what the descriptor is, but for stderr.
    for descriptor, (name, mode, buffering) in enumerate((("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1))):
        stream = os.fdopen(descriptor, mode, buffering, encoding="utf-8", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    arguments = request["arguments"]
    assert isinstance(arguments, list)
    _run(arguments)
    sys.exit(0)


def _run(arguments: list[str]) -> None:
    """As Python does with what stands behind its name."""
    sys.path[0] = str(Path.cwd())
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        # A test may have imported the very module, which a new process has not.
        sys.modules.pop(f"{sys.argv[0]}.__main__", None)
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(sys.argv[0], run_name="__main__")
