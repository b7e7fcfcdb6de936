"""Chat templates: found where transformers finds them, run in a cage, and special tokens only by leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from tests.models.tokenizers.samples import byte_level_json, llama3_file
from tests.tracer.recipes import recipe
from tracetui.debugger.session import PromptRow
from tracetui.errors import InputError
from tracetui.models.chat import child as chat_child
from tracetui.models.chat.prompts import free_shield, llama3_chat
from tracetui.models.chat.template_files import MAX_TEMPLATE
from tracetui.models.prompt_rows import PromptReader
from tracetui.models.tokenizers import load_tokenizer
from tracetui.recipe import Prompts, Recipe

SIMPLE = (
    "{{ bos_token }}{% for message in messages %}<|end_of_text|>{{ message.role }}\n{{ message.content | trim }}"
    "{% endfor %}{% if add_generation_prompt %}<|end_of_text|>assistant\n{% endif %}"
)
BIG = 300_000


def folder_with(folder: Path, template: object = SIMPLE, **config: object) -> Recipe:
    """A recipe whose tokenizer.json has a tokenizer_config.json with this template beside it."""
    byte_level_json(folder / "tokenizer.json")
    said = {"bos_token": {"content": "<s>"}, "chat_template": template, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps({key: it for key, it in said.items() if it is not None}))
    return recipe(tokenizer=str(folder / "tokenizer.json"))


def reader(of: Recipe) -> PromptReader:
    return PromptReader(of, load_tokenizer(of.tokenizer, BIG), BIG, None)


def chat(of: Recipe, *said: str, system: str = "", specials: bool = True) -> tuple[PromptRow, ...]:
    return reader(of).read(Prompts(said, chat=True, system=system, specials=specials))


def special(row: PromptRow) -> list[bytes]:
    return [token.bytes for token in row.tokens if token.special]


@pytest.mark.parametrize("system", ["", "be short"])
def test_a_chat_is_what_transformers_makes_of_it(tmp_path: Path, system: str) -> None:
    of = folder_with(tmp_path)
    library = PreTrainedTokenizerFast(tokenizer_file=of.tokenizer, bos_token="<s>", chat_template=SIMPLE)
    messages = [{"role": "system", "content": system}] if system else []
    for row, said in zip(chat(of, "the the\n", "é {{ 1 }}", system=system), ("the the\n", "é {{ 1 }}"), strict=True):
        whole = [*messages, {"role": "user", "content": said}]
        expected = library.apply_chat_template(whole, tokenize=False, add_generation_prompt=True)
        assert row.text == expected
        ids = library.apply_chat_template(whole, add_generation_prompt=True, return_dict=False)
        assert [token.id for token in row.tokens] == ids
        assert b"".join(token.bytes for token in row.tokens) == row.text.encode()
        assert row.typed == ()


def test_templates_stand_in_three_files_and_the_jinja_file_comes_first(tmp_path: Path) -> None:
    of = folder_with(tmp_path, None)
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "old"}))
    assert chat(of, "x")[0].text == "old"
    folder_with(tmp_path, [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "named"}])
    assert chat(of, "x")[0].text == "named"
    (tmp_path / "chat_template.jinja").write_text("own {{ messages[0].content }}")
    assert chat(of, "x")[0].text == "own x"


def test_llama_3_has_its_documented_format(tmp_path: Path) -> None:
    of = recipe(tokenizer=str(llama3_file(tmp_path / "tokenizer.model")))
    (row,) = chat(of, " hello ", system="be short")
    assert row.text == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nbe short<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert [name.decode() for name in special(row)] == [
        "<|begin_of_text|>",
        *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>") * 2,
        *("<|start_header_id|>", "<|end_header_id|>"),
    ]
    assert b"".join(token.bytes for token in row.tokens).decode() == row.text
    assert llama3_chat("a", "").count("<|eot_id|>") == 1


@pytest.mark.parametrize("kind", ["json", "llama3"])
def test_typed_special_tokens_are_told_and_can_be_kept_text(tmp_path: Path, kind: str) -> None:
    if kind == "json":
        of, name = folder_with(tmp_path), "<|end_of_text|>"
    else:
        of, name = recipe(tokenizer=str(llama3_file(tmp_path / "tokenizer.model"))), "<|eot_id|>"
    said = f"a {name} b {name}c \ufdd0"
    clean, typed = chat(of, "a b c", said)
    assert typed.typed == (name,)
    assert special(typed).count(name.encode()) == special(clean).count(name.encode()) + 2
    (kept,) = chat(of, said, specials=False)
    assert kept.typed == ()
    assert special(kept) == special(clean)
    assert kept.text == typed.text
    assert b"".join(token.bytes for token in kept.tokens).decode() == kept.text


def test_special_tokens_in_the_system_s_message_are_told_too(tmp_path: Path) -> None:
    of = recipe(tokenizer=str(llama3_file(tmp_path / "tokenizer.model")))
    assert chat(of, "a b c", system="<|eot_id|>")[0].typed == ("<|eot_id|>",)


def test_without_a_chat_typed_special_tokens_are_told_too(tmp_path: Path) -> None:
    of = recipe(tokenizer=str(llama3_file(tmp_path / "tokenizer.model")))
    for specials in (True, False):
        (row,) = reader(of).read(Prompts(("a<|eot_id|>",), specials=specials))
        assert row.typed == (("<|eot_id|>",) if specials else ())
        assert (b"<|eot_id|>" in special(row)) == specials


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
BROKEN = [
    ("{% for x in", "line 1: TemplateSyntaxError: "),
    ("{{ raise_exception('no system role') }}", "TemplateError: no system role"),
    ("{{ messages.__class__.__mro__ }}", "SecurityError: access to attribute '__class__'"),
    ("{{ cycler.__init__.__globals__.os.system('true') }}", "SecurityError: access to attribute '__init__'"),
    ("{{ 'x' * 10**10 }}", "it takes more than 256 MiB of memory"),
    ("{{ 'x' * 2**21 }}", "it makes 2,097,152 characters, more than 1,048,576"),
    (ENDLESS, f"it computed for {chat_child.CPU_SECONDS} s without an end"),
]


@pytest.mark.parametrize(("template", "said"), BROKEN)
def test_a_broken_or_hostile_template_is_named_with_what_it_did(tmp_path: Path, template: str, said: str) -> None:
    of = folder_with(tmp_path, template)
    with pytest.raises(InputError) as refused:
        chat(of, "x")
    problem = f"{tmp_path / 'tokenizer_config.json'}: the chat template failed: {said}"
    assert str(refused.value).startswith(problem), refused.value


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (3, "chat_template: must be a text, or a list of templates with one named default, got 3"),
        ([{"name": "rag", "template": "x"}], "chat_template: must be a text, or a list of templates"),
        ("x" * (MAX_TEMPLATE + 1), "chat_template: has 262,145 characters, more than 262,144"),
    ],
)
def test_what_is_no_template_is_refused(tmp_path: Path, template: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        chat(folder_with(tmp_path, template), "x")


def test_without_a_template_the_files_looked_for_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no chat template beside the tokenizer") as refused:
        chat(folder_with(tmp_path, None), "x")
    for name in ("chat_template.jinja", "tokenizer_config.json", "chat_template.json"):
        assert str(tmp_path / name) in str(refused.value)
    with pytest.raises(InputError, match="looked for no folder"):
        chat(recipe(), "x")


def test_a_template_outside_of_its_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "model"
    folder.mkdir()
    of = folder_with(folder, None)
    (folder / "chat_template.jinja").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="is a link that leads out of its folder"):
        chat(of, "x")


def test_an_empty_or_unreadable_row_is_named(tmp_path: Path) -> None:
    of = folder_with(tmp_path)
    with pytest.raises(InputError, match="row 1: prompt: is empty"):
        chat(of, "a", "")
    with pytest.raises(InputError, match="all of the characters U\\+FDD0 to U\\+FDEF"):
        free_shield(["".join(map(chr, range(0xFDD0, 0xFDF0)))])


def test_a_folder_as_transformers_saves_it_serves_for_chats(tmp_path: Path) -> None:
    """A tokenizer that knows no longest text is saved with the length 10^30, in 31 digits."""
    byte_level_json(tmp_path / "plain.json")
    library = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "plain.json"), bos_token="<s>", chat_template=SIMPLE
    )
    library.save_pretrained(tmp_path / "saved")
    assert f"{library.model_max_length}" in (tmp_path / "saved" / "tokenizer_config.json").read_text()
    of = recipe(tokenizer=str(tmp_path / "saved" / "tokenizer.json"))
    expected = library.apply_chat_template(
        [{"role": "user", "content": "the"}], tokenize=False, add_generation_prompt=True
    )
    assert [row.text for row in chat(of, "the")] == [expected]
    (plain,) = reader(of).read(Prompts(("the",)))
    assert [token.id for token in plain.tokens] == library.encode("the")


def test_other_numbers_in_a_tokenizers_file_stay_bounded(tmp_path: Path) -> None:
    of = folder_with(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": ' + "1" * 4000 + "}")
    with pytest.raises(InputError, match="an integer of 4000 digits is too large"):
        chat(of, "the")
