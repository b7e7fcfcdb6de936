"""The command that a trace tells, typed again, is the same run."""

from __future__ import annotations

import argparse
import shlex

import pytest

from tracetui.options.run import add_run
from tracetui.recipe import load_recipe
from tracetui.recipe.options import OPTIONS, flag_of, with_options
from tracetui.recipe.recorded.command import recorded_command
from tracetui.recording.record import Token
from tracetui.recording.trace import RunInfo, Trace


def trace_of(words: list[str]) -> Trace:
    """A trace without records, of the run that these words are of; its prompt has two tokens."""
    parser = argparse.ArgumentParser()
    add_run(parser)
    arguments = parser.parse_args(words)
    given = {name: getattr(arguments, name) for name, option in OPTIONS.items() if option.on_the_command_line}
    recipe = with_options(load_recipe(arguments.model), flag_of, **given)
    rows = recipe.prompts.ids or ((5, 7),)
    tokens = tuple(tuple(Token(number, b"x") for number in row) for row in rows)
    return Trace(RunInfo(arguments.model, recipe.plain()), tokens, (), (), {})


@pytest.mark.parametrize(
    "words",
    [
        "-p 'The capital'",
        "-p one -p two --layers 2:4 --seed 7 --dtype bf16 --lens 3",
        "-p=--one --keep layers.1.mlp --keep '*.gate' --attention probs --no-special",
        "--random-tokens 4x8 --keep stats",
        "--tokens 1,2,3 --tokens 4,5,6 --generate 4 --temperature 0.5 --top-k 3 --top-p 0.9 --sample-seed 2 --eos none",
        "-p a --generate 2 --eos 1,2 --edit 'layers.1.mlp: scale 2' --edit 'layers.2.self_attn head 1: zero'",
        "-p 'a \"quoted\" $word' --tokenizer builtin --weights random",
    ],
)
def test_the_same_run(words: str) -> None:
    trace = trace_of(["llama-tiny", *shlex.split(words)])
    command = recorded_command(trace)
    assert command is not None
    program, verb, *again = shlex.split(command)
    assert (program, verb) == ("tracetui", "trace")
    assert trace_of(again).run == trace.run
    assert [[token.id for token in row] for row in trace_of(again).tokens] == [
        [token.id for token in row] for row in trace.tokens
    ]


def test_what_can_t_be_typed_is_told_by_its_ids() -> None:
    trace = trace_of(["llama-tiny", "-p", "two\nlines"])
    command = recorded_command(trace)
    assert command is not None
    assert "--tokens 5,7" in command
    assert "\n" not in command


def test_a_module_of_somebody_s_own_has_no_command() -> None:
    assert recorded_command(Trace(RunInfo("mine", {"dtype": "float32"}), (), (), (), {})) is None
    assert recorded_command(Trace(RunInfo(), (), (), (), {})) is None
