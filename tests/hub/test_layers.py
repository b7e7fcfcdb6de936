"""Single layers by byte range: the same numbers for a fraction of the bytes, whatever breaks on the way."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.running import Here, Said, ended, started
from tests.hub.server import COMMIT, REPO, Answer, Asked, Hub
from tests.models.hf_files import model_of
from tracetui import paths
from tracetui.hub.layers import plan_pieces
from tracetui.recording.npz import read_trace

IDS = "1,7,42,300"


def kept() -> Path:
    return paths.cache_dir() / "hub" / "someone--tiny-llama" / COMMIT


def weights_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def is_part(asked: Asked) -> bool:
    """Whether tensors' bytes were asked for, and not a header's."""
    return asked.host == "files" and asked.range is not None and not asked.range.startswith(("bytes=0-", "bytes=8-"))


def run(tracetui: Here, layers: str, output: Path | None = None, weights: str = "hub") -> Said:
    output_options = () if output is None else ("-o", str(output))
    return tracetui("trace", REPO, "--weights", weights, "--layers", layers, "--tokens", IDS, *output_options)


def logits(tracetui: Here, tmp_path: Path, model: str, layers: str, *more: str) -> np.ndarray:
    path = tmp_path / "logits.npz"
    said = tracetui("trace", model, "--layers", layers, "--tokens", IDS, "-o", str(path), *more)
    assert said.status == 0, said.err
    return read_trace(path)["logits"]


def test_one_layer_costs_its_own_bytes_and_gives_the_same_numbers(
    hub: Hub, tracetui: Here, published: Path, tmp_path: Path
) -> None:
    said = run(tracetui, "1", tmp_path / "ours.npz")
    assert said.status == 0, said.err
    assert "fetching 1 layer and what is outside of all layers" in said.err
    assert hub.sent < weights_bytes(published) / 2.5
    # One request a file, and one more: head and norm have a layer between them.
    assert len(list(filter(is_part, hub.asked))) == len(list(kept().glob("*.safetensors"))) + 1
    ours = read_trace(tmp_path / "ours.npz")
    assert "layers were left out" in ours.run.notes[-1]
    assert not any("random" in note for note in ours.run.notes)
    assert np.array_equal(ours["logits"], logits(tracetui, tmp_path, str(published), "1"))
    assert ours.run.recipe["commit"] == COMMIT


def test_what_was_fetched_needs_no_network_again(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    first = logits(tracetui, tmp_path, REPO, "2:5", "--weights", "hub")
    hub.forget()
    assert np.array_equal(logits(tracetui, tmp_path, REPO, "2:5", "--weights", "hub"), first)
    for more in (("--weights", "hub"), ()):
        assert run(tracetui, "3:4", *more[2:]).status == 0
        fewer = logits(tracetui, tmp_path, REPO, "3:4", *more)
        assert np.array_equal(fewer, logits(tracetui, tmp_path, str(hub.folder), "3:4"))
    assert hub.asked == []


def test_more_layers_fetch_only_what_is_missing(hub: Hub, tracetui: Here, published: Path, tmp_path: Path) -> None:
    assert run(tracetui, "1").status == 0
    first = sum(path.stat().st_size for path in kept().glob("*.safetensors"))
    hub.forget()
    assert np.array_equal(
        logits(tracetui, tmp_path, REPO, "2", "--weights", "hub"), logits(tracetui, tmp_path, str(published), "2")
    )
    one_layer = weights_bytes(kept()) - first
    assert hub.sent < one_layer * 1.3
    assert all(asked.token is None for asked in hub.asked)


def test_the_kept_files_hold_the_tensors_as_they_are(hub: Hub, tracetui: Here, published: Path) -> None:
    assert run(tracetui, "7:8").status == 0
    whole = {name: value for path in published.glob("*.safetensors") for name, value in load_file(path).items()}
    ours = {name: value for path in kept().glob("*.safetensors") for name, value in load_file(path).items()}
    assert {name.split(".")[2] for name in ours if ".layers." in name} == {"7"}
    assert {name for name in whole if ".layers." not in name} < ours.keys()
    for name, value in ours.items():
        assert np.array_equal(value, whole[name]), name
    assert not list(kept().glob(".*.part"))


def test_the_kept_folder_is_a_model_of_its_own(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    assert run(tracetui, "2").status == 0
    assert np.array_equal(
        logits(tracetui, tmp_path, str(kept()), "2"), logits(tracetui, tmp_path, str(hub.folder), "2")
    )


def test_a_model_in_one_file_is_cut_too(hub: Hub, tracetui: Here, published: Path, tmp_path: Path) -> None:
    hub.folder = tmp_path / "single"
    model_of("llama", num_hidden_layers=6).save_pretrained(hub.folder)
    ours = logits(tracetui, tmp_path, REPO, "1:2", "--weights", "hub")
    assert hub.sent < weights_bytes(hub.folder) / 2
    assert np.array_equal(ours, logits(tracetui, tmp_path, str(hub.folder), "1:2"))
    hub.forget()
    assert np.array_equal(logits(tracetui, tmp_path, REPO, "1:2"), ours)
    assert hub.asked == []


def test_without_being_asked_layers_that_aren_t_there_stay_random(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    assert run(tracetui, "1").status == 0
    hub.forget()
    assert tracetui("trace", REPO, "--layers", "2", "--tokens", IDS, "-o", str(tmp_path / "t.npz")).status == 0
    assert read_trace(tmp_path / "t.npz").run.recipe["weights"] == "random"
    assert hub.asked == []


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    broken: list[Asked] = []

    def break_thrice(asked: Asked, answer: Answer) -> None:
        if is_part(asked) and len(broken) < 3:
            broken.append(asked)
            answer.cut = 1000

    hub.faults.append(break_thrice)
    ours = logits(tracetui, tmp_path, REPO, "1", "--weights", "hub")
    assert len(broken) == 3
    assert np.array_equal(ours, logits(tracetui, tmp_path, str(hub.folder), "1"))


def test_a_run_that_was_interrupted_is_taken_up_where_it_was(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    parts: list[Asked] = []

    def interrupt(asked: Asked, answer: Answer) -> None:
        if is_part(asked):
            parts.append(asked)
            answer.cut = 20_000 if len(parts) == 1 else 0

    hub.faults.append(interrupt)
    said = run(tracetui, "1")
    assert said.status == 1
    assert "are still missing" in said.err
    (left,) = kept().glob(".*.part")
    there = left.stat().st_size
    assert there > 20_000
    assert not list(kept().glob("*.safetensors"))
    hub.faults.clear()
    hub.forget()
    ours = logits(tracetui, tmp_path, REPO, "1", "--weights", "hub")
    assert hub.sent < weights_bytes(kept()) - 15_000
    assert np.array_equal(ours, logits(tracetui, tmp_path, str(hub.folder), "1"))


def test_what_is_no_beginning_of_the_file_is_fetched_anew(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    assert run(tracetui, "1").status == 0
    expected = logits(tracetui, tmp_path, REPO, "1")
    path = sorted(kept().glob("*.safetensors"))[0]
    path.with_name(f".{path.name}.part").write_bytes(b"something else")
    path.unlink()
    assert run(tracetui, "1").status == 0
    assert np.array_equal(logits(tracetui, tmp_path, REPO, "1"), expected)


Change = Callable[[Answer], None]


def _ignore_range(answer: Answer) -> None:
    answer.status = 200
    answer.headers.pop("Content-Range", None)


def _shift_range(answer: Answer) -> None:
    answer.headers["Content-Range"] = "bytes 1-2/3"


def _new_tag(answer: Answer) -> None:
    answer.headers["ETag"] = '"another"'


def _too_short(answer: Answer) -> None:
    answer.body = answer.body[: len(answer.body) // 2]


def _too_long(answer: Answer) -> None:
    answer.body += b"more"


def _fail(answer: Answer) -> None:
    answer.status, answer.body = 503, b""


def _forbid(answer: Answer) -> None:
    answer.status, answer.body = 403, b""


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (_ignore_range, 2, "the server ignores byte ranges, so that single layers can't be fetched; without --layers"),
        (_shift_range, 1, "the server sent 'bytes 1-2/3'"),
        (_new_tag, 1, "-stored' to 'another'"),
        (_too_long, 1, "the server sent more than the"),
        (_fail, 1, "the hub failed with status 503"),
        (_forbid, 2, "the hub refuses it (403)"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_broken_stays(
    hub: Hub, tracetui: Here, change: Change, status: int, words: str
) -> None:
    hub.faults.append(lambda asked, answer: change(answer) if is_part(asked) else None)
    said = run(tracetui, "1")
    assert said.status == status, said.err
    assert words in said.err.splitlines()[-1]
    assert not list(kept().glob("*.safetensors"))
    hub.faults.clear()
    assert run(tracetui, "1").status == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ((2**40).to_bytes(8, "little") + b"{}" * 50, "header: at most 100,000,000 bytes are read"),
        ((60).to_bytes(8, "little") + b"{}", "has 60 bytes by its length, and the file ends after 10"),
        (b"", "is cut short or no safetensors file: it has 0 bytes"),
        ((2).to_bytes(8, "little") + b"{}" + b"x" * 50, "has bytes that belong to no tensor"),
        ((2).to_bytes(8, "little") + b"{}", "which doesn't have it"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(
    hub: Hub, tracetui: Here, published: Path, tmp_path: Path, content: bytes, words: str
) -> None:
    hub.folder = tmp_path / "broken"
    shutil.copytree(published, hub.folder)
    sorted(hub.folder.glob("model-*"))[0].write_bytes(content)
    said = run(tracetui, "1")
    assert said.status == 2
    assert words in said.err.splitlines()[-1]
    assert hub.sent < 100_000


def test_short_answers_are_asked_for_the_rest(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    hub.faults.append(lambda asked, answer: _too_short(answer) if is_part(asked) and len(answer.body) > 9999 else None)
    ours = logits(tracetui, tmp_path, REPO, "1", "--weights", "hub")
    assert np.array_equal(ours, logits(tracetui, tmp_path, str(hub.folder), "1"))


def test_another_commit_s_file_is_refused(hub: Hub, tracetui: Here) -> None:
    def move_on(asked: Asked, answer: Answer) -> None:
        if asked.path.endswith(".safetensors") and asked.host == "hub":
            answer.headers["X-Repo-Commit"] = COMMIT[::-1]

    hub.faults.append(move_on)
    said = run(tracetui, "1")
    assert said.status == 1
    assert f"is of commit {COMMIT[::-1]}, and not of {COMMIT}" in said.err


def test_an_index_that_names_what_isn_t_there_is_refused(
    hub: Hub, tracetui: Here, published: Path, tmp_path: Path
) -> None:
    hub.folder = tmp_path / "odd"
    shutil.copytree(published, hub.folder)
    index = hub.folder / "model.safetensors.index.json"
    first = index.read_text()
    shard = sorted(published.glob("model-*"))[0].name
    assert shard in first
    for name, words in (("own.py", "names own.py, which is no safetensors file"), ("../x", "must be the plain name")):
        index.write_text(first.replace(shard, name))
        (hub.folder / "own.py").touch()
        shutil.rmtree(kept().parent, ignore_errors=True)
        hub.commit = name.encode().hex().ljust(40, "0")
        said = tracetui("trace", f"{REPO}@{hub.commit}", "--weights", "hub", "--layers", "1")
        assert said.status == 2
        assert words in said.err
    assert not any("own.py" in asked.path for asked in hub.asked)


def test_two_at_once_do_not_write_into_each_other_s_files(hub: Hub, tracetui: Here) -> None:
    from tracetui.hub.layers import _alone

    kept().mkdir(parents=True)
    with _alone(kept()):
        assert "another tracetui is fetching into it" in run(tracetui, "1").err
    assert run(tracetui, "1").status == 0


def test_pieces_are_the_same_whatever_is_asked_for_first() -> None:
    weight_map = {"model.layers.10.a": "s2", "lm_head": "s2", "model.layers.2.a": "s1", "model.layers.2.b": "s2"}
    pieces = plan_pieces(weight_map)
    assert [(piece.layer, piece.shard) for piece in pieces] == [(None, "s2"), (2, "s1"), (2, "s2"), (10, "s2")]
    assert pieces == plan_pieces(dict(reversed(weight_map.items())))
    assert pieces[0].name == "model-00001-of-00004.safetensors"


def test_an_interrupt_leaves_what_came_and_no_broken_file(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    parts: list[Asked] = []

    def interrupt(asked: Asked, answer: Answer) -> None:
        if is_part(asked):
            parts.append(asked)
        if len(parts) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    hub.faults.append(interrupt)
    assert run(tracetui, "3").status == 130
    whole = len(list(kept().glob("*.safetensors")))
    assert 1 <= whole <= 3
    hub.faults.clear()
    hub.forget()
    ours = logits(tracetui, tmp_path, REPO, "3", "--weights", "hub")
    assert hub.sent < weights_bytes(kept())
    assert np.array_equal(ours, logits(tracetui, tmp_path, str(hub.folder), "3"))


def test_a_program_of_its_own_asks_the_hub_and_nobody_else(
    hub: Hub, tracetui: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), hub.address) | {"NO_PROXY": "127.0.0.1"}
    for name, value in ({"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "hub-cache")} | proxies).items():
        monkeypatch.setenv(name, value)
    trace = tmp_path / "t.npz"
    arguments = ("trace", REPO, "--weights", "hub", "--layers", "1", "--tokens", IDS, "-o", str(trace))
    said = ended(started(*arguments))
    assert said.status == 0, said.err
    assert not any("random" in note for note in read_trace(trace).run.notes)
    assert all(
        asked.path.startswith((f"/api/models/{REPO}/revision/", f"/{REPO}/resolve/", "/model-")) for asked in hub.asked
    )
    hub.forget()
    assert tracetui(*arguments).status == 0
    assert hub.asked == []


def test_a_cache_that_can_t_be_written_is_told(
    hub: Hub, tracetui: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRACETUI_CACHE_DIR", str(tmp_path / "file"))
    said = run(tracetui, "1")
    assert said.status == 1
    assert f"what is fetched can't be kept: Not a directory: {tmp_path / 'file'}" in said.err
