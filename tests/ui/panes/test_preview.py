"""What Enter would run is shown before it does, and never for another text."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.ui.driving import Driven, driven
from tests.ui.fake import OFFER, FakeSession
from tracetui.debugger.session import Failed, Prepared, Preview, PromptRow
from tracetui.recipe import Prompts
from tracetui.recording.record import Token
from tracetui.ui.panes.tensor.welcome import Welcome
from tracetui.ui.widgets.prompt_bar import PromptInput

CHAT = Prompts(("hello\x1b[31m",), chat=True)
TOKENS = (Token(7, b"<|eot_id|>", special=True), Token(8, b" hello"))
RENDERED = PromptRow("<|eot_id|>\n hello\x1b[31m", TOKENS, ("<|eot_id|>",))
OFFERED = replace(OFFER, prompts=CHAT)


def showing(*rows: PromptRow) -> Preview:
    return Preview(CHAT, rows)


def told(it: Driven) -> str:
    return it.screen.query_one(Welcome).render().plain


async def test_a_chat_is_shown_with_its_tokens_and_what_was_typed_as_special() -> None:
    async with driven(offer=OFFERED, prepare=lambda session: session.send(showing(RENDERED))) as it:
        assert "chat, 2 tokens: <|eot_id|>⏎ hello␛[31m" in told(it)
        assert "[<|eot_id|>] 7  ·hello 8" in told(it)
        assert "! typed in the prompt and taken as special: <|eot_id|>; --no-special keeps" in told(it)
        assert "\x1b" not in it.text()


async def test_rows_are_told_apart_and_many_are_counted() -> None:
    async with driven(offer=OFFERED, prepare=lambda session: session.send(showing(*[RENDERED] * 9))) as it:
        assert "chat, row 3 of 0–8, 2 tokens: " in told(it)
        assert "row 4 of" not in told(it)
        assert "and 5 more" in told(it)


async def test_why_a_prompt_cannot_run_is_told_before_it_does() -> None:
    problem = Preview(CHAT, problem="no chat template\x1b")
    async with driven(offer=OFFERED, prepare=lambda session: session.send(problem)) as it:
        assert "no chat template␛" in told(it)


async def test_why_a_prompt_cannot_run_is_told_once_when_it_was_run_all_the_same() -> None:
    def prepare(session: FakeSession, error: str) -> None:
        session.send(Preview(CHAT, problem="id 999 is outside"))
        session.send(Failed(error))

    async with driven(offer=OFFERED, prepare=partial(prepare, error="id 999 is outside")) as it:
        assert told(it).count("id 999 is outside") == 1
    async with driven(offer=OFFERED, prepare=partial(prepare, error="out of memory")) as it:
        assert "id 999 is outside" in told(it)
        assert "out of memory" in told(it)


async def test_a_changed_text_is_never_shown_with_the_old_tokens() -> None:
    def prepare(session: FakeSession) -> None:
        session.send(showing(RENDERED))

    async with driven(offer=OFFERED, prepare=prepare) as it:
        prompt = it.screen.query_one(PromptInput)
        prompt.value = "another word"
        await it.pilot.pause()
        assert "eot_id" not in told(it)
        await it.pilot.pause(0.4)
        assert it.state.preview.prompts == replace(CHAT, texts=("another word",))
        assert "chat, 3 tokens: another word" in told(it)
        assert it.session.previews == [it.state.preview.prompts]


async def test_a_preview_that_comes_late_is_passed_over_and_one_of_a_typed_text_asked_for() -> None:
    async with driven(offer=OFFERED) as it:
        it.screen.query_one(PromptInput).value = "typed while the model was built"
        await it.pilot.pause()
        it.session.send(showing(RENDERED))
        it.session.send(Prepared(it.state.outline, "words", (), it.state.plan, showing(RENDERED)))
        await it.pilot.pause()
        assert "eot_id" not in told(it)
        assert "tokens: 2: [<|eot_id|> 7] ·hello 8" in it.log, "the log keeps what was offered, whole"
        await it.pilot.pause(0.4)
        assert "chat, 7 tokens: typed while the model was built" in told(it)


async def test_an_unchanged_prompt_is_not_worked_out_again() -> None:
    async with driven(offer=OFFERED, prepare=lambda session: session.send(showing(RENDERED))) as it:
        await it.pilot.pause(0.4)
        assert it.session.previews == []
        assert "eot_id" in told(it)


async def test_plain_prompts_are_not_shown_twice() -> None:
    row = PromptRow("hello", TOKENS[1:])
    prompts = Prompts(("hello",))
    async with driven(
        offer=replace(OFFER, prompts=prompts), prepare=lambda session: session.send(Preview(prompts, (row,)))
    ) as it:
        assert "tokens: " not in told(it)
