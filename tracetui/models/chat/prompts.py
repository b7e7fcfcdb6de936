"""Prompts as what a user says in a chat: the text that the model gets, and its tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tracetui.errors import InputError
from tracetui.file_kinds import is_gguf
from tracetui.models.chat.template import ChatTemplate
from tracetui.models.chat.template_files import find_template, looked_for
from tracetui.models.tokenizers import Tokenizer
from tracetui.recipe import Prompts, Recipe
from tracetui.recording.record import Token

_LLAMA3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_SHIELDS = tuple(map(chr, range(0xFDD0, 0xFDF0)))
"""Characters that Unicode keeps free for a program's own use."""


class Chats:
    """The chat format of one recipe's model."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        self._places = template_places(recipe)
        self._tokenizer = tokenizer

    def render(self, prompts: Prompts, shield: str) -> list[str]:
        """What the model gets for each prompt. Raises InputError if there is no template, or if it fails.

        With a shield, names of special tokens in what users said have it after their first character.
        """
        texts = [_shielded(text, self._names, shield) for text in (prompts.system, *prompts.texts)]
        if self._template:
            return self._template.render([_messages(text, texts[0]) for text in texts[1:]])
        if self._tokenizer.is_llama3:
            return [llama3_chat(text, texts[0]) for text in texts[1:]]
        raise InputError(
            f"--chat: there is no chat template beside the tokenizer, {self._tokenizer.name}; "
            f"looked for {looked_for(self._places)}"
        )

    def encode(self, rendered: str, shield: str) -> list[Token]:
        """The tokens of a rendered chat: the template writes its special tokens itself, begin-of-text too.

        What has the shield is text, whatever it spells.
        """
        if not shield or shield not in rendered:
            return self._tokenizer.encode(rendered, around=False)
        tokens: list[Token] = []
        for place, part in enumerate(self._names.split(rendered)):
            by_template = bool(place % 2)
            plain = part if by_template else part.replace(shield, "")
            if plain:
                tokens += self._tokenizer.encode(plain, specials=by_template, around=False)
        return tokens

    def typed(self, text: str) -> tuple[str, ...]:
        """Names of special tokens in a text, each once."""
        return tuple(dict.fromkeys(self._names.findall(text)))

    @cached_property
    def _template(self) -> ChatTemplate | None:
        return find_template(self._places)

    @cached_property
    def _names(self) -> re.Pattern[str]:
        names = sorted(self._tokenizer.special_names, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, names)) or '(?!)'})")


def llama3_chat(text: str, system: str) -> str:
    """Llama 3's documented format, up to where the answer begins."""
    begin, start, end, over = _LLAMA3
    messages = "".join(
        f"{start}{message['role']}{end}\n\n{message['content'].strip()}{over}" for message in _messages(text, system)
    )
    return f"{begin}{messages}{start}assistant{end}\n\n"


def free_shield(texts: Sequence[str]) -> str:
    """A character that none of the texts has. Raises InputError if they have all there are."""
    used = set("".join(texts))
    shield = next((char for char in _SHIELDS if char not in used), "")
    if not shield:
        raise InputError("prompt: holds all of the characters U+FDD0 to U+FDEF, which stand for no text")
    return shield


def _messages(text: str, system: str) -> list[dict[str, str]]:
    user = {"role": "user", "content": text}
    return [{"role": "system", "content": system}, user] if system else [user]


def _shielded(text: str, names: re.Pattern[str], shield: str) -> str:
    return names.sub(lambda match: f"{match[0][0]}{shield}{match[0][1:]}", text) if shield else text


def template_places(recipe: Recipe) -> list[Path]:
    """Where a template may stand: in a GGUF file, or beside the tokenizer, the weights and the configuration."""
    tokenizer, origin = Path(recipe.tokenizer), Path(recipe.origin)
    alone = not tokenizer.is_file() or is_gguf(tokenizer)
    places = [tokenizer if alone else tokenizer.parent, recipe.weights]
    if origin.name == "config.json" or origin.is_dir():
        places.append(origin if origin.is_dir() else origin.parent)
    there = (place for place in places if place is not None and (place.is_dir() or is_gguf(place)))
    return list(dict.fromkeys(there))
