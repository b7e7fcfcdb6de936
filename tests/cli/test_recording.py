"""`tracetui trace` for scripts: what is kept, what the result tells, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Here, ended, started_warm
from tracetui.recording.npz import read_trace
from tracetui.recording.value import is_kept

TINY = ("trace", "llama-tiny", "-p", "the answer to")


def test_the_last_line_tells_everything(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    said = tracetui(*TINY, "-p", "the", "-o", str(path), "--json", "--attention", "probs")
    assert (said.status, said.err) == (0, "")
    assert said.out.isascii()
    found = json.loads(said.out.splitlines()[-1])
    trace = read_trace(path)
    assert (found["model"], found["file"], found["bytes"]) == ("llama-tiny", str(path), path.stat().st_size)
    assert found["memory"]["peak"] > found["memory"]["weights"] > 0
    assert [row["ids"] for row in found["rows"]] == [[token.id for token in row] for row in trace.tokens]
    assert all(len(row["predictions"]) == 5 for row in found["rows"])
    assert found["rows"][0]["text"].endswith("the answer to")
    assert [record["key"] for record in found["records"]] == [record.key for record in trace.records]
    assert found["notes"] == list(trace.run.notes)
    for record, value in zip(found["records"], trace.values, strict=True):
        assert record["statistics"]["numel"] == value.statistics().numel
        assert record["values"] == "kept"
    masked = next(record for record in found["records"] if record["site"].endswith(":masked"))
    assert masked["statistics"]["neginf"] > 0


def test_a_pipe_gets_json_and_nothing_else() -> None:
    said = ended(started_warm(*TINY, "--json", "--keep", "stats"))
    assert (said.status, said.err) == (0, "")
    begun, found = map(json.loads, said.out.splitlines())
    assert (begun["event"], found["event"], found["status"], found["error"]) == ("started", "result", 0, None)
    assert found["file"] is None
    assert found["rows"][0]["predictions"] is None
    assert {record["values"] for record in found["records"]} == {"statistics only"}


def test_what_was_kept_is_said(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    kept = ("--keep", "layers.0.mlp")
    said = tracetui(*TINY, "-o", str(path), *kept, "--values", "0", "--spill-folder", str(tmp_path))
    assert said.status == 0
    trace = read_trace(path)
    sites = [record.site for record, value in zip(trace.records, trace.values, strict=True) if is_kept(value)]
    assert sites == ["model.layers.0.mlp"]
    assert f"{len(trace)} records, 1 spilled to disk, {len(trace) - 1} statistics only" in said.out
    assert "the logits were not kept" in said.out
    told = tracetui("info", str(path)).out
    assert f"{len(trace)} in " in told
    assert "1 with values" in told
    assert f"statistics only, of {len(trace) - 1}:" in " ".join(told.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--keep", ""), "--keep: must be a site, such as layers.7.mlp or *.gate, got ''"),
        (("--values", "much"), "--values: must be a size like 4G or 512M, got 'much'"),
        (("--spill", "-1"), "--spill: must be a size like 4G"),
        (("--spill-folder", "/nowhere/at/all"), "--spill-folder: /nowhere/at/all: is not a folder"),
        (("--attention", "all"), "--attention: must be one of qkv, scores, probs, got 'all'"),
    ],
)
def test_what_can_t_be_is_refused_in_words(tracetui: Here, arguments: tuple[str, ...], said: str) -> None:
    if arguments[1].startswith("-"):
        arguments = (f"{arguments[0]}={arguments[1]}",)
    assert tracetui.refused(*TINY, *arguments).startswith(said)


def test_info_checks_every_value_when_asked(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "dump.npz"
    np.savez(path, a=np.arange(4000.0))
    assert tracetui("info", str(path), "--check").out.endswith("checksums  of all 1 arrays right\n")
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert "checksums" not in tracetui("info", str(path)).out
    assert tracetui.refused("info", str(path), "--check") == f"{path}: a.npy: is damaged: its checksum differs"
