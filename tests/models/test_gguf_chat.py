"""Chats by the template in a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tokenizers.gguf_files import byte_level, scored, written
from tests.models.tokenizers.samples import byte_level_json
from tests.tracer.recipes import recipe
from tracetui.debugger.session import PromptRow
from tracetui.errors import InputError
from tracetui.models.chat.template_files import find_template
from tracetui.models.prompt_rows import PromptReader
from tracetui.models.tokenizers import load_tokenizer
from tracetui.recipe import Prompts

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
KEY = "tokenizer.chat_template"


def chat(path: Path, text: str, **how: Any) -> PromptRow:
    of = recipe(tokenizer=str(path))
    (row,) = PromptReader(of, load_tokenizer(of.tokenizer, 10_000), 10_000, None).read(
        Prompts((text,), chat=True, **how)
    )
    return row


def test_the_files_own_template_writes_its_special_tokens(tmp_path: Path) -> None:
    path = written(tmp_path / "model.gguf", scored(**{KEY: TEMPLATE, "tokenizer.ggml.bos_token_id": 1}))
    row = chat(path, "hi <|im_end|>", specials=False)
    assert row.text == "<s><|im_start|>user\nhi <|im_end|><|im_end|>\n<|im_start|>assistant\n"
    special = [token.bytes for token in row.tokens if token.special]
    assert special == [b"<s>", b"<|im_start|>", b"<|im_end|>", b"<|im_start|>"]
    assert b"".join(token.bytes for token in row.tokens) == row.text.encode()
    typed = chat(path, "hi <|im_end|>")
    assert [token.bytes for token in typed.tokens if token.special].count(b"<|im_end|>") == 2


def test_of_several_templates_the_usual_one_is_taken(tmp_path: Path) -> None:
    named = {f"{KEY}.rag": "R", f"{KEY}.default": "D"}
    path = written(tmp_path / "model.gguf", byte_level(**named))
    template = find_template([path])
    assert template is not None
    assert (template.path, template.text) == (path, "D")
    template = find_template([written(path, byte_level(**named, **{KEY: "own"}))])
    assert template is not None
    assert template.text == "own"
    with pytest.raises(InputError, match=r"model\.gguf: tokenizer\.chat_template: .*rag, tool_use"):
        find_template([written(path, byte_level(**{f"{KEY}.rag": "R", f"{KEY}.tool_use": "T"}))])


def test_what_lies_beside_a_file_is_not_its_template(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("another model's")
    path = written(tmp_path / "model.gguf", byte_level())
    with pytest.raises(InputError, match=r"--chat: there is no chat template .*looked for .*model\.gguf$"):
        chat(path, "hi")


def test_a_tokenizer_that_is_given_comes_with_its_own_template(tmp_path: Path) -> None:
    beside = tmp_path / "given"
    beside.mkdir()
    byte_level_json(beside / "tokenizer.json")
    (beside / "chat_template.jinja").write_text("given")
    assert chat(beside / "tokenizer.json", "hi").text == "given"


@pytest.mark.parametrize(("template", "problem"), [("x" * 300_000, "has 300,000 characters"), (7, "must be a text")])
def test_a_template_that_is_none_is_refused(tmp_path: Path, template: object, problem: str) -> None:
    path = written(tmp_path / "model.gguf", byte_level(**{KEY: template}))
    with pytest.raises(InputError, match=rf"model\.gguf: .*chat_template: {problem}"):
        find_template([path])
