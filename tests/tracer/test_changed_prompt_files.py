"""Tokenizers, chat templates and recipes written while a model is open: a prompt is read by what is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.tokenizers.samples import byte_level_json, sentencepiece_json
from tests.tracer.recipes import CONFIG
from tests.tracer.test_live import Driver, driven
from tracetui.debugger.session import Finished, Prepared, until_end
from tracetui.models.chat.prompt_files import PromptFiles
from tracetui.recipe import Prompts, load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.engine import Engine

FIRST, SECOND = "{{ messages[0].content }} the", "the {{ messages[0].content }}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    byte_level_json(tmp_path / "tokenizer.json")
    (tmp_path / "chat_template.jinja").write_text(FIRST)
    return path


def ids_of(driver: Driver, prompts: Prompts) -> list[int]:
    driver.session.start(prompts, until_end)
    trace = driver.wait(Finished).trace
    assert trace is not None
    return [token.id for token in trace.tokens[0]]


@pytest.mark.parametrize("chat", [False, True])
def test_a_prompt_is_read_by_the_files_that_are_there(config: Path, chat: bool) -> None:
    recipe, prompts = load_recipe(str(config)), Prompts(texts=("the thing",), chat=chat)
    with driven(with_options(recipe, layers="1")) as driver:
        before = ids_of(driver, prompts)
        if chat:
            (config.parent / "chat_template.jinja").write_text(SECOND)
        else:
            sentencepiece_json(config.parent / "tokenizer.json")
        driver.session.start(prompts, until_end)
        notes, trace = driver.wait(Prepared).notes, driver.wait(Finished).trace
    after = [token.id for token in trace.tokens[0]]
    file = config.parent / ("chat_template.jinja" if chat else "tokenizer.json")
    assert f"{file}: was changed while it was open; this run reads it as it is now" in notes
    fresh = Engine(with_options(load_recipe(str(config)), layers="1"))
    assert after == [token.id for token in fresh.encode(prompts)[0].tokens]
    assert before != after


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "tokenizer gone": (lambda folder: (folder / "tokenizer.json").unlink(), True),
    "template written": (lambda folder: (folder / "chat_template.jinja").write_text(SECOND), True),
    "template gone": (lambda folder: (folder / "chat_template.jinja").unlink(), True),
    "another template": (lambda folder: (folder / "chat_template.json").write_text("{}"), True),
    "read alone": (lambda folder: (folder / "tokenizer.json").read_bytes(), False),
    "another file": (lambda folder: (folder / "notes.txt").write_text("beside"), False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_counts_is_what_prompts_are_read_by(config: Path, change: str) -> None:
    files = PromptFiles(load_recipe(str(config)))
    do, counts = CHANGES[change]
    do(config.parent)
    assert bool(files.changed) == counts


@pytest.mark.parametrize("changed", [True, False])
def test_a_recipe_that_says_something_else_is_told(config: Path, changed: bool) -> None:
    recipe = load_recipe(str(config))
    with driven(with_options(recipe, layers="1")) as driver:
        driver.wait(Prepared)
        config.write_text(json.dumps({**CONFIG, "rope_theta": 77.0}) if changed else config.read_text())
        # So that there is news in both.
        byte_level_json(config.parent / "tokenizer.json")
        driver.session.start(Prompts(texts=("the",)), until_end)
        prepared = driver.wait(Prepared)
    told = f"{config}: was changed while it was open: this runs as it was; start again to have it read"
    assert (told in prepared.notes) == changed
