"""A model folder's chat template: where it stands, and what it makes of a chat."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.formats.json_text import parse_json_object
from tracetui.formats.table import MAX_CONFIG_BYTES
from tracetui.models.chat import child as chat_child
from tracetui.paths import inside, read_bounded
from tracetui.text import visible

MAX_TEMPLATE = 2**18
WALL_SECONDS = 60
"""For all of the child, its imports included; its own limit is on what it computes."""
_JINJA, _CONFIG, _OLD = "chat_template.jinja", "tokenizer_config.json", "chat_template.json"
_MAX_DIGITS = 40
"""transformers writes 10^30, as a float makes it, for a length without a limit."""
_VARIABLES = ("bos_token", "eos_token", "unk_token", "pad_token")

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


def find_template(folders: Sequence[Path]) -> ChatTemplate | None:
    """The template of the first folder that has one, as transformers looks for it. Raises InputError for a bad file."""
    for folder in folders:
        config = _read_config(folder / _CONFIG)
        variables = {name: text for name in _VARIABLES if (text := _token_text(config.get(name)))}
        jinja = folder / _JINJA
        if jinja.is_file():
            return _checked(ChatTemplate(jinja, _text(jinja), variables))
        for path, document in ((folder / _CONFIG, config), (folder / _OLD, _read_config(folder / _OLD))):
            if (template := document.get("chat_template")) is not None:
                return _checked(ChatTemplate(path, _default(template, path), variables))
    return None


def template_files(folders: Sequence[Path]) -> list[Path]:
    """The files that a template may stand in, there or not."""
    return [folder / name for folder in folders for name in (_JINJA, _CONFIG, _OLD)]


def looked_for(folders: Sequence[Path]) -> str:
    """The same, in words."""
    return ", ".join(map(str, template_files(folders))) or "no folder"


def _read_config(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    content = read_bounded(inside(path.parent, path.name), MAX_CONFIG_BYTES)
    return parse_json_object(content, path, most_digits=_MAX_DIGITS)


def _text(path: Path) -> str:
    try:
        return read_bounded(inside(path.parent, path.name), MAX_TEMPLATE).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text, at byte {error.start}") from error


def _token_text(token: object) -> str:
    """A special token's text, however the file writes it."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _default(template: object, path: Path) -> str:
    """The template itself; of several named ones the one called `default`."""
    if isinstance(template, list):
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default", template)
    if not isinstance(template, str):
        raise bad_field(
            path, "chat_template", "must be a text, or a list of templates with one named default", template
        )
    return template


def _checked(template: ChatTemplate) -> ChatTemplate:
    if len(template.text) > MAX_TEMPLATE:
        raise bad_field(
            template.path, "chat_template", f"has {len(template.text):,} characters, more than {MAX_TEMPLATE:,}"
        )
    return template
