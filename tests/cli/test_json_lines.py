"""`tracetui trace --json`: strict JSON lines as things happen, and a last one that says how it ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import COMMAND, SECONDS, Here, Said, ended, started_warm
from tracetui.recording.npz import read_trace
from tracetui.recording.npz.encode import canonical

TINY = ("trace", "llama-tiny", "--layers", "2", "-p", "the answer to", "--json")
DOCS = Path(__file__).parents[2] / "docs" / "recording.md"
LONG = ("--generate", "400", "--keep", "stats", "--eos", "none")


def refuse(word: str) -> Any:
    raise AssertionError(f"{word} is no JSON")


def lines(said: Said) -> list[dict[str, Any]]:
    """Every line as strict JSON."""
    assert said.out.isascii()
    assert said.out.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in said.out.splitlines()]


def events(said: Said) -> list[str]:
    return [line["event"] for line in lines(said)]


def test_stops_edits_and_tokens_are_told_in_their_order(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    asked = ("--break", "layers.1.self_attn:probs if max > 0.5", "--edit", "layers.0.mlp: scale 2", "--generate", "2")
    said = tracetui(*TINY, *asked, "-o", str(path))
    assert (said.status, said.err) == (1, "")
    assert events(said) == ["started", "edit", "stop", "token", "edit", "token", "result"]
    begun, edit, stop, token, later, last, result = lines(said)
    trace = read_trace(path)
    assert begun["rows"] == [
        {
            "ids": [token.id for token in trace.tokens[0][:-2]],
            "text": result["rows"][0]["text"][: len(begun["rows"][0]["text"])],
        }
    ]
    assert (begun["edits"], begun["memory"]["peak"]) == (["layers.0.mlp: scale 2"], result["memory"]["peak"])
    assert (edit["edit"], edit["key"], later["key"]) == (
        "layers.0.mlp: scale 2",
        "model.layers.0.mlp",
        "model.layers.0.mlp@1",
    )
    assert stop == {**result["stops"][2]["hits"][0], "event": "stop", "stop": asked[1]}
    assert trace.records[stop["step"]].key == stop["key"]
    assert [(each["row"], each["pass"], each["id"]) for each in (token, last)] == [
        (0, 0, trace.tokens[0][-2].id),
        (0, 1, trace.tokens[0][-1].id),
    ]
    assert (result["status"], result["error"], result["file"]) == (1, None, str(path))
    assert result["edits"] == [{"edit": "layers.0.mlp: scale 2", "changed": 2, "untold": ""}]


def test_every_row_of_a_batch_has_its_tokens(tracetui: Here) -> None:
    said = tracetui(
        "trace", "llama-tiny", "--layers", "1", "--tokens", "5,6", "--tokens", "8,9", "--generate", "2", "--json"
    )
    tokens = [(line["row"], line["pass"]) for line in lines(said) if line["event"] == "token"]
    assert tokens == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_no_number_is_one_that_json_has_not(tracetui: Here) -> None:
    edit = ("--edit", "layers.0.mlp[0,1]: set inf", "--edit", "layers.1.mlp[0,0,0]: set nan")
    said = tracetui(
        *TINY, *edit, "--break", "layers.0.mlp if value[0,1,0] > 3", "--break", "layers.1.mlp if not value[0,0,0] == 1"
    )
    assert said.status == 1
    values = [value for line in lines(said) if line["event"] == "stop" for value in line["values"].values()]
    assert "Infinity" in values
    assert "NaN" in values
    assert lines(said)[-1]["rows"][0]["predictions"] == []


def test_text_of_a_stranger_is_text(tracetui: Here) -> None:
    said = tracetui("trace", "llama-tiny", "--layers", "1", "-p", 'a\x1b[31m\n\u2028\U0001f600"\\', "--json")
    assert said.out.count("\n") == 2
    assert lines(said)[0]["rows"][0]["text"].endswith('a\x1b[31m\n\u2028\U0001f600"\\')


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("trace", "nothing-of-mine", "--json"), "no such model"),
        ((*TINY, "--break", "*.mlp if nrom > 3"), "nrom is no name here"),
        ((*TINY, "-o", "nowhere/t.npz"), "its folder doesn't exist"),
        (("trace", "llama-tiny", "--tokens", "1,99999", "--json"), "99999"),
        (("trace", "llama3-2layer", "--json", "--random-tokens", "1024x2048"), "memory"),
    ],
)
def test_bad_input_is_a_line_a_message_and_a_status(tracetui: Here, arguments: tuple[str, ...], error: str) -> None:
    said = tracetui(*arguments)
    assert said.status == 2
    (line,) = lines(said)
    assert (line["event"], line["status"]) == ("error", 2)
    assert error in line["error"]
    assert said.err.startswith(f"tracetui: {line['error'][:60]}")
    assert all(detail in said.err for detail in line["details"])


def test_wrong_usage_leaves_stdout_empty(tracetui: Here) -> None:
    assert "unrecognized arguments" in tracetui.refused(*TINY, "--no-such-option")


def test_an_interrupted_run_says_so_in_its_last_line() -> None:
    child = started_warm(*TINY, *LONG)
    assert child.stdout is not None
    first = [json.loads(child.stdout.readline())["event"] for _ in range(3)]
    assert first == ["started", "token", "token"]
    child.send_signal(signal.SIGINT)
    said = ended(child)
    assert (said.status, said.err) == (130, "tracetui: interrupted\n")
    assert lines(said)[-1] == {"event": "error", "error": "interrupted", "details": [], "status": 130}


def test_a_reader_that_goes_ends_the_run_without_a_word() -> None:
    child = started_warm(*TINY, *LONG)
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["event"] == "started"
    child.stdout.close()
    assert child.stderr is not None
    assert (child.stderr.read(), child.wait(SECONDS)) == ("", 1)


def test_a_run_whose_lines_have_no_room_writes_its_file_and_says_so(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *TINY, "--generate", "3", "-o", str(tmp_path / "t.npz")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=SECONDS,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "tracetui: the output can't be written: No space left on device\n")
    assert read_trace(tmp_path / "t.npz").generated == (3,)


def test_the_documentation_names_every_event_and_its_fields(tracetui: Here) -> None:
    table = DOCS.read_text(encoding="utf-8").partition("<!-- events -->")[2].partition("<!-- /events -->")[0]
    documented = {
        row.split("`")[1]: set(re.findall(r"`(\w+)`", row.split("|")[2]))
        for row in table.splitlines()
        if row.startswith("| `")
    }
    asked = ("--break", "layers.0.mlp if norm > 0", "--edit", "layers.0.mlp: scale 2", "--generate", "1")
    told = {line["event"]: line for line in lines(tracetui(*TINY, *asked))}
    told |= {line["event"]: line for line in lines(tracetui("trace", "nothing-of-mine", "--json"))}
    assert told.keys() == documented.keys()
    for event, fields in told.items():
        nested = {"ids", "text"} if event == "started" else set()
        assert documented[event] - nested <= fields.keys()
        if event != "result":
            assert fields.keys() - {"event"} <= documented[event] | {event}


def test_a_run_told_to_end_while_its_result_is_put_together_still_ends_with_a_line(
    tracetui: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told_to_end(document: dict[str, object]) -> bytes:
        if document["event"] == "result":
            raise SystemExit(143)
        return canonical(document)

    monkeypatch.setattr("tracetui.json_lines.canonical", told_to_end)
    said = tracetui(*TINY)
    assert said.status == 143
    assert lines(said)[-1] == {"event": "error", "error": "told to end", "details": [], "status": 143}


def test_what_the_models_code_prints_goes_to_stderr(tracetui: Here, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import torch\n"
        "class Loud(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        print('running')\n"
        "        return super().forward(x)\n"
        "print('read')\n"
        "def build():\n"
        "    return Loud(2, 2), torch.ones(1, 2)\n"
    )
    said = tracetui("trace", f"{tmp_path}/loud.py:build", "--json")
    assert (said.status, events(said)) == (0, ["started", "result"])
    assert said.err == "read\nrunning\n"
