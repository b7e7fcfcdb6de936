"""`--generate` without a screen: what is said, what is in the file, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import Here
from tracetui.recording.npz import read_trace

TINY = ("trace", "llama-tiny", "-p", "the answer to")


def test_the_generated_text_and_the_cache_are_told_and_are_in_the_file(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    said = tracetui(*TINY, "--generate", "3", "--eos", "none", "-o", str(path))
    trace = read_trace(path)
    assert said.status == 0
    assert trace.generated == (3,)
    assert {record.pass_ for record in trace.records} == {0, 1, 2}
    lines = said.out.splitlines()
    assert lines[1].startswith("generated 3 tokens: ")
    assert lines[2].startswith("cache ")
    assert lines[2].endswith(f"for {len(trace.tokens[0]) - 1} positions")
    assert lines[3] == "what the last of them was taken from, most probable first:"
    assert int(lines[4].split()[3]) == trace.tokens[0][-1].id
    assert not said.err
    assert trace.run.recipe["generate"] == 3


def test_json_counts_what_was_generated(tracetui: Here) -> None:
    drawn = ("--generate", "2", "--temperature", "2", "--top-k", "50", "--top-p", "0.9", "--sample-seed", "7", "--json")
    said = [json.loads(tracetui(*TINY, *drawn).out.splitlines()[-1]) for _ in range(2)]
    assert said[0]["rows"] == said[1]["rows"]
    assert said[0]["rows"][0]["generated"] == 2
    assert len(said[0]["cache"]) == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--top-k", "3"), "--temperature, --top-k, --top-p and --sample-seed say how --generate N draws"),
        (("--generate", "-1"), "--generate: must be 0 to 65,536 tokens, got -1"),
        (("--generate", "2", "--temperature", "0"), "--temperature: must be above 0, got 0.0"),
        (("--generate", "2", "--temperature", "nan"), "--temperature: must be above 0, got nan"),
        (("--generate", "2", "--top-k", "0"), "--top-k: must be 1 or more, got 0"),
        (("--generate", "2", "--top-p", "1.5"), "--top-p: must be above 0 and at most 1, got 1.5"),
        (("--generate", "2", "--sample-seed", "-1"), "--sample-seed: must be between 0 and"),
        (("--generate", "2", "--eos", "x"), "--eos: must be ids like 2,7, or none, got 'x'"),
        (("--generate", "2", "-p", "the"), "--generate: the prompts have"),
    ],
)
def test_what_cannot_be_followed_is_refused(tracetui: Here, options: tuple[str, ...], problem: str) -> None:
    said = tracetui(*TINY, *options)
    assert said.status == 2
    assert said.complaint.startswith(problem)
