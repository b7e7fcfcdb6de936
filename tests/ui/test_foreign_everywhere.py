"""Names, tokens, prompts and errors from strangers reach the screen as text, whatever is written in them."""

from __future__ import annotations

from dataclasses import replace

from tests.ui.driving import driven
from tests.ui.fake import OFFER
from tests.ui.tiny_llama import outline
from tracetui.debugger.session import Failed, Module, Preparing, Progress
from tracetui.recipe import texts
from tracetui.recording.record import Record
from tracetui.ui.widgets.prompt_bar import PromptInput

EVIL = "[/INST] [@click=app.quit]x[/] [red]</s>\x1b]0;pwned\x07\x9b31m\u202e"
PATH_EVIL = "mo[/]del[@click=app.quit]\x1b[2J"


def renamed(record: Record) -> Record:
    return replace(record, site=f"{PATH_EVIL}.{record.site}", dtype="[b]f", provenance="[/x]")


def evil_outline() -> Module:
    tree = outline(3)
    evil = Module(PATH_EVIL, "[/Kind]\x1b[31m", 7, (("weight", (7,)),))
    return replace(tree, kind="[bold]Llama[/]", children=(*tree.children, evil))


def assert_harmless(text: str) -> None:
    assert not any(char in text for char in "\x1b\x07\x9b\u202e")


async def test_names_tokens_and_prompt_with_markup_and_escapes() -> None:
    offer = replace(
        OFFER, title=EVIL, description=EVIL, prompts=texts(EVIL), tokenizer=EVIL, notes=(EVIL,), weights=EVIL
    )
    offer = replace(offer, facts=((EVIL, EVIL),))
    async with driven(offer=offer, outline=evil_outline()) as it:
        it.session.rename = renamed
        assert_harmless(it.text())
        await it.press("enter", "s", "s", "s", ">")
        assert [token.bytes for token in it.state.tokens][1] == b" [/INST]"
        assert "[/INST]" in it.text()
        assert_harmless(it.text())
        await it.press("c", "3")
        assert_harmless(it.text())
        await it.press("y", "5", "ctrl+o")
        assert_harmless(it.text())


async def test_events_with_markup_and_escapes() -> None:
    async with driven(hold=True, size=(180, 50)) as it:
        it.session.send(Preparing(EVIL))
        await it.settle()
        assert_harmless(it.text())
        await it.press("enter")
        it.session.send(Progress(EVIL, 1, 2))
        await it.settle()
        assert_harmless(it.text())
        it.session.send(Failed(EVIL, EVIL))
        await it.settle()
        assert "[/INST]" in it.text()
        assert_harmless(it.text())


async def test_a_prompt_with_lines_and_tabs_is_run_as_it_is() -> None:
    prompt = "first\n\tsecond\x00"
    async with driven(offer=replace(OFFER, prompts=texts(prompt))) as it:
        assert_harmless(it.text())
        assert it.screen.query_one(PromptInput).value == prompt
        await it.press("enter")
        assert it.state.trace.run.recipe["prompt"] == prompt


async def test_a_module_that_is_not_in_the_tree_is_no_trouble() -> None:
    async with driven(outline=Module("", "Own", 3)) as it:
        await it.press("enter", "c", "1", "enter", "down", "right", "left", "up")
        assert it.site == "logits"
