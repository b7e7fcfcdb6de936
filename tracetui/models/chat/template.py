"""A chat template: what it makes of a chat."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError
from tracetui.models.chat import child as chat_child
from tracetui.text import visible

WALL_SECONDS = 60
"""For all of the child, its imports included; its own limit is on what it computes."""

Chat = Sequence[Mapping[str, str]]
"""Messages: `role` and `content`."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A jinja template, a stranger's program."""

    path: Path
    text: str
    variables: Mapping[str, str]
    """Special tokens by the names under which templates know them."""

    def render(self, chats: Sequence[Chat]) -> list[str]:
        """What the model gets for each chat, up to where its answer begins.

        transformers' own sandboxed renderer runs it, in a process with little time and memory. Raises InputError
        naming the file and what the template did.
        """
        job = json.dumps({"template": self.text, "chats": chats, "variables": dict(self.variables)})
        command = [sys.executable, "-P", str(chat_child.__file__)]
        try:
            done = subprocess.run(  # noqa: S603
                command, input=job, capture_output=True, text=True, timeout=WALL_SECONDS, start_new_session=True
            )
        except subprocess.TimeoutExpired:
            raise self._failed(f"it ran for {WALL_SECONDS} s without an end") from None
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            raise self._failed(f"it computed for {chat_child.CPU_SECONDS} s without an end")
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise self._failed(f"its process ended with status {done.returncode}: {last}")
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise self._failed(answer["error"])
        return list(answer["texts"])

    def _failed(self, problem: str) -> InputError:
        return InputError(f"{self.path}: the chat template failed: {visible(problem, 300)}")
