"""One table of options: the command line, Python, recipe files and the docs have the same ones."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser
from pathlib import Path
from typing import get_overloads

import numpy as np
import pytest

import tracetui
from tests.recipe.options_doc import DOC, options_doc
from tracetui.api.recording import trace
from tracetui.errors import InputError
from tracetui.options.run import add_run
from tracetui.recipe import load_recipe
from tracetui.recipe.options import OPTIONS, flag_of, with_options


def test_python_takes_every_option_by_its_name() -> None:
    of_a_recipe, _ = get_overloads(trace)
    taken = {name for name in inspect.signature(of_a_recipe).parameters if name != "model"}
    assert taken == {option.name for option in OPTIONS.values() if option.in_python}


def test_the_command_line_takes_every_option_by_its_flag() -> None:
    parser = ArgumentParser()
    add_run(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings} - {"-h", "--help"}
    known = [option for option in OPTIONS.values() if option.on_the_command_line]
    assert flags == {flag for option in known for flag in option.flags or (option.flag,)}
    assert all(getattr(parser.parse_args(["m"]), option.name) is None for option in known)


def test_every_field_that_an_option_names_is_there() -> None:
    recipe = load_recipe("llama-tiny")
    for option in OPTIONS.values():
        field, _, part = option.into.partition(".")
        assert not field or hasattr(recipe, field), option.name
        assert not part or hasattr(getattr(recipe, field), part), option.name


def test_the_docs_have_the_table() -> None:
    assert DOC.read_text() == options_doc(), "python -m tests.recipe.options_doc writes it"


def test_a_lens_is_recorded_from_python() -> None:
    with_lens = tracetui.trace("llama-tiny", tokens=[1, 2, 3], layers=2, lens=3)
    without = tracetui.trace("llama-tiny", tokens=[1, 2, 3], layers=2)
    added = {record.site for record in with_lens.records} - {record.site for record in without.records}
    assert added
    assert all("lens" in site for site in added)


def test_edits_of_a_recorded_run_come_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "edited.npz"
    edited = tracetui.trace("llama-tiny", tokens=[1, 2, 3], layers=2, edits="layers.0.mlp: zero")
    edited.save(file)
    again = tracetui.trace("llama-tiny", tokens=[1, 2, 3], layers=2, edits=f"@{file}")
    np.testing.assert_array_equal(again["logits"], edited["logits"])


def test_a_name_that_is_no_option_is_refused() -> None:
    with pytest.raises(TypeError, match="'sed' is no option of a run; there are layers, "):
        with_options(load_recipe("llama-tiny"), sed=1)
    assert (flag_of("stops"), flag_of("top_p"), flag_of("prompt")) == ("--break", "--top-p", "--prompt")


@pytest.mark.parametrize("ids", [[5, 6], (5, 6), np.array([5, 6]), [np.int64(5), 6], [[5, 6]], ["5,6"], "5,6"])
def test_token_ids_come_as_a_list_an_array_or_text(ids: object) -> None:
    assert with_options(load_recipe("llama-tiny"), tokens=ids).prompts.ids == ((5, 6),)


@pytest.mark.parametrize("ids", [[5, [6]], 5, {5: 6}, [None]])
def test_what_is_no_token_ids_is_refused_in_words(ids: object) -> None:
    with pytest.raises(InputError, match=r"^tokens: must be token ids, got "):
        with_options(load_recipe("llama-tiny"), tokens=ids)


def test_numpy_s_numbers_are_numbers() -> None:
    recipe = with_options(load_recipe("llama-tiny"), seed=np.int64(3), generate=2, temperature=np.float32(0.5))
    assert (recipe.seed, recipe.generation.temperature) == (3, 0.5)
    assert type(recipe.seed) is int
