"""What the commands do when all is well, and what they leave behind when they are stopped."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyte
import pytest
import torch

from tests.cli.running import COMMAND, Here, ended, started, started_warm
from tests.warm import WarmProcess
from tracetui import paths
from tracetui.recipe import shipped_recipes
from tracetui.recipe.package_models import PACKAGE_MODELS
from tracetui.recording.npz import read_trace
from tracetui.recording.npz.names import TIMING

OLD = b"PK\3\4 of the old one"
TINY = ("trace", "llama-tiny")
PROMPT = "the answer to"
IDS = "4096,806,956,303"
"""The prompt's tokens, with begin-of-text in front."""


def members(path: Path) -> dict[str, tuple[bytes, zipfile.ZipInfo]]:
    """Everything in a trace file but how long it took: contents, places and dates."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {
            info.filename: (archive.read(info), info) for info in archive.infolist() if info.filename != f"{TIMING}.npy"
        }


def assert_same_run(one: Path, other: Path) -> None:
    """The same members in the same order, each with the same bytes at the same place."""
    found, expected = members(one), members(other)
    assert list(found) == list(expected)
    for name, (content, info) in found.items():
        same, place = expected[name]
        assert content == same, name
        assert (info.header_offset, info.date_time, info.extra) == (place.header_offset, place.date_time, place.extra)


def test_models_lists_what_ships_and_locate_the_folders(tracetui: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tracetui("models")
    assert (listed.status, listed.err) == (0, "")
    assert [line.split()[0] for line in listed.out.splitlines()] == [*shipped_recipes(), *PACKAGE_MODELS]
    assert tracetui("locate", "themes").out.splitlines() == [str(paths.themes()), str(paths.config_dir() / "themes")]
    for what in ("state", "cache"):
        monkeypatch.setenv(f"TRACETUI_{what.upper()}_DIR", "/elsewhere")
        assert tracetui("locate", what).out == "/elsewhere\n"
    monkeypatch.setattr("tracetui.native.library.library", lambda: None)
    assert tracetui("locate", "native").out == "none: statistics are computed by numpy\n"
    everything = tracetui("locate")
    assert (everything.status, everything.err) == (0, "")
    names = ["config", "themes", "themes", "state", "cache", "native"]
    assert [line.split()[0] for line in everything.out.splitlines()] == names
    assert "state   /elsewhere" in everything.out


def test_nothing_said_is_answered_with_help(tracetui: Here) -> None:
    said = tracetui()
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("usage: tracetui")


def test_every_option_reaches_the_run(tracetui: Here, tmp_path: Path) -> None:
    path, prompt = tmp_path / "t.npz", tmp_path / "p.txt"
    prompt.write_text(PROMPT)
    options = ("--layers", "1:3", "--seed", "3", "--dtype", "fp16", "--tokenizer", "builtin", "-p", f"@{prompt}")
    said = tracetui(*TINY, *options, "-o", str(path))
    assert said.status == 0
    trace = read_trace(path)
    found = {field: trace.run.recipe[field] for field in ("layers", "seed", "dtype", "prompt")}
    assert found == {"layers": [1, 3], "seed": 3, "dtype": "float16", "prompt": PROMPT}
    assert {record.layer for record in trace.records} == {None, 1, 2}
    assert said.out.startswith(f"{path}: {len(trace)} records, ")
    assert said.out.splitlines()[1] == "next, most probable first:"
    assert f"records    {len(trace)} in 2 layers and 1 pass" in tracetui("info", str(path)).out


def test_token_ids_and_little_memory_give_the_same_numbers(tracetui: Here, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("text.npz", "ids.npz", "small.npz")]
    for path, options in zip(files, (("-p", PROMPT), ("--tokens", IDS), ("-p", PROMPT, "--memory", "1K")), strict=True):
        assert tracetui(*TINY, *options, "-o", str(path)).status == 0
    text, ids, small = ({name: content for name, (content, _) in members(path).items()} for path in files)
    header = "__tracetui__.npy"
    assert text == small
    assert text.pop(header) != ids.pop(header)
    assert text == ids


def test_without_a_file_only_a_summary_is_shown(
    tracetui: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = tracetui(*TINY)
    lines = said.out.splitlines()
    assert lines[0].endswith("give -o F.npz to keep them")
    assert len([line for line in lines if "logit" in line]) == 5
    assert lines[-1].startswith("note: random weights predict nothing")
    assert said.err == "", "the memory plan is for terminals"
    assert not list(tmp_path.iterdir())


def test_progress_is_gone_when_the_run_is_over(tracetui: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said = tracetui(*TINY)
    assert "loading torch" in said.err
    assert "making model.embed_tokens.weight" in said.err
    screen = pyte.Screen(240, 5)
    pyte.Stream(screen).feed(said.err.replace("\n", "\r\n"))
    left = [line.rstrip() for line in screen.display]
    assert left[0].startswith("memory: peak about ")
    assert left[1].startswith("  model.layers.0–5, each of 6  weights ")
    assert left[3:] == [""] * 2


def test_the_same_run_in_another_process_gives_the_same_bytes(tracetui: Here, tmp_path: Path) -> None:
    """That process has no stderr, and an output that takes ASCII alone."""
    threads = torch.get_num_threads()
    child = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND, *TINY, "-o", str(tmp_path / "child.npz")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONIOENCODING": "ascii",
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
        },
    )
    assert tracetui(*TINY, "-o", str(tmp_path / "here.npz")).status == 0
    said = ended(child)
    assert said.status == 0, said
    assert r"\xb7" in said.out
    assert_same_run(tmp_path / "child.npz", tmp_path / "here.npz")


def test_the_number_of_threads_doesn_t_change_the_weights(tracetui: Here, tmp_path: Path) -> None:
    """The rows of the embedding and the norms' scale, bit for bit; products may be summed in another order."""
    paths_made = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            paths_made.append(tmp_path / f"{threads}.npz")
            assert tracetui(*TINY, "-o", str(paths_made[-1])).status == 0
    finally:
        torch.set_num_threads(before)
    with np.load(paths_made[0]) as one, np.load(paths_made[1]) as two:
        assert one.files == two.files
        np.testing.assert_array_equal(one["model.embed_tokens"], two["model.embed_tokens"])
        for name in one.files:
            if not name.startswith("__"):
                np.testing.assert_allclose(one[name], two[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_full_disk_leaves_the_old_file(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    path.write_bytes(OLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        said = tracetui(*TINY, "-o", str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.status == 1
    assert said.complaint == f"{path}: can't be written: File too large"
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_the_two_ways_to_stop_a_trace(tmp_path: Path) -> None:
    """While weights are made: the old file stays, no part of a new one is left, nothing but a word is said."""
    starts: dict[signal.Signals, Callable[..., subprocess.Popen[str] | WarmProcess]] = {
        signal.SIGINT: started,
        signal.SIGTERM: started_warm,
    }
    (tmp_path / "SIGINT.npz").write_bytes(OLD)
    children = []
    for number, start in starts.items():
        children.append(start("trace", "llama3-2layer", "--json", "-o", f"{number.name}.npz", cwd=tmp_path))
        assert children[-1].stdout is not None
        assert json.loads(children[-1].stdout.readline())["event"] == "started"
        children[-1].send_signal(number)
    interrupted, terminated = (ended(child) for child in children)
    assert (interrupted.status, interrupted.err) == (130, "tracetui: interrupted\n")
    assert (terminated.status, terminated.err) == (143, "")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"SIGINT.npz": OLD}


def test_no_library_says_anything_beside_us(tmp_path: Path) -> None:
    recipe = (paths.demo_configs() / "llama-tiny.toml").read_text() + "pad_token_id = 4352\n"
    (tmp_path / "pad.toml").write_text(recipe)
    said = ended(started("trace", "pad.toml", cwd=tmp_path))
    assert said.status == 2
    assert said.complaint.startswith("pad.toml: config: transformers can't build such a model: ")


def _through_shell(redirections: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_reader_that_leaves_is_no_fault() -> None:
    readable, writable = os.pipe()
    os.close(readable)
    child = subprocess.Popen([*COMMAND, "models"], stdout=writable, stderr=subprocess.PIPE, text=True)
    os.close(writable)
    said = ended(child)
    assert (said.status, said.err) == (1, "")


@pytest.mark.parametrize(
    ("redirections", "arguments", "expected"),
    [
        (">/dev/full", ["models"], (1, "tracetui: the output can't be written: No space left on device\n")),
        (">&-", ["models"], (0, "")),
        ("2>&-", ["info", "/"], (2, "")),
        ("<&-", ["run", "llama-tiny"], (2, "tracetui: run: needs a terminal; `tracetui trace` works without one\n")),
    ],
)
def test_streams_may_be_full_or_closed(redirections: str, arguments: list[str], expected: tuple[int, str]) -> None:
    found = _through_shell(redirections, arguments)
    assert (found.returncode, found.stderr) == expected


@pytest.mark.parametrize("module", ["tracetui", "tracetui.cli"])
def test_either_module_is_the_command_line(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "info", "/"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("tracetui: /: is a folder and no recording")
