"""Models by their id on the hub: from the cache without a word to the network, and fetched only when asked."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.cli.running import Here
from tests.cli.terminal import Terminal
from tests.hub.server import COMMIT, REPO, Answer, Asked, Hub, refusal
from tests.models.gguf.convert import exact_model, write_gguf
from tests.models.hf_files import change_config
from tracetui.hub import whole_files
from tracetui.recording.npz import read_trace

IDS = "1,7,42,300"


def snapshot() -> Path:
    return Path(constants.HF_HUB_CACHE) / "models--someone--tiny-llama" / "snapshots" / COMMIT


def put_in_cache(published: Path, *names: str) -> None:
    """As huggingface_hub leaves a model there."""
    snapshot().mkdir(parents=True)
    refs = snapshot().parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    for name in names:
        shutil.copy(published / name, snapshot())


def names_of(hub: Hub) -> set[str]:
    """The files that were asked for."""
    return {asked.path.partition("?")[0].rpartition("/")[2] for asked in hub.asked}


def test_a_cached_config_is_a_model_without_a_request(
    hub: Hub, tracetui: Here, published: Path, tmp_path: Path
) -> None:
    put_in_cache(published, "config.json", "tokenizer.json")
    trace = tmp_path / "t.npz"
    said = tracetui("trace", REPO, "--layers", "1", "-p", "the answer", "-o", str(trace))
    assert said.status == 0, said.err
    run = read_trace(trace).run
    assert (run.model, run.recipe["hub"], run.recipe["commit"]) == (REPO, REPO, COMMIT)
    assert run.recipe["weights"] == "random"
    assert run.tokenizer.startswith("tokenizer.json")
    assert f"{REPO}: the hub's commit {COMMIT}" in run.notes
    for command in ("outline", "config"):
        assert tracetui(command, REPO).status == 0
    assert hub.asked == []


def test_cached_weights_are_taken_without_a_request(hub: Hub, tracetui: Here, published: Path, tmp_path: Path) -> None:
    put_in_cache(published, *(path.name for path in published.iterdir()))
    for model, trace in ((REPO, "a.npz"), (str(published), "b.npz")):
        assert tracetui("trace", model, "--tokens", IDS, "-o", str(tmp_path / trace)).status == 0
    ours, theirs = read_trace(tmp_path / "a.npz"), read_trace(tmp_path / "b.npz")
    assert (ours["logits"] == theirs["logits"]).all()
    assert not any("random" in note for note in ours.run.notes)
    assert hub.asked == []


@pytest.mark.parametrize("command", ["trace", "outline", "config"])
def test_what_isn_t_here_is_refused_with_what_to_type(hub: Hub, tracetui: Here, command: str) -> None:
    said = tracetui.refused(command, f"{REPO}@v2")
    assert f"`hf download {REPO} config.json tokenizer.json --revision v2`" in said
    assert f"`tracetui run {REPO}@v2 --weights hub`" in said
    assert hub.asked == []


def test_all_weights_are_fetched_once_and_nothing_else(hub: Hub, tracetui: Here, tmp_path: Path) -> None:
    trace = tmp_path / "t.npz"
    said = tracetui("trace", REPO, "--weights", "hub", "--tokens", IDS, "-o", str(trace))
    assert said.status == 0, said.err
    assert "fetching config.json, tokenizer.json" in said.err
    assert not any("random" in note for note in read_trace(trace).run.notes)
    kept = {path.name for path in snapshot().iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors.index.json"} < kept
    for name in ("pytorch_model.bin", "modeling_own.py", "agent-harnesses"):
        assert name not in kept | names_of(hub)
    hub.forget()
    again = tmp_path / "again.npz"
    assert tracetui("trace", REPO, "--weights", "hub", "--tokens", IDS, "-o", str(again)).status == 0
    assert hub.asked == []
    assert (read_trace(again)["logits"] == read_trace(trace)["logits"]).all()


@pytest.mark.parametrize("layers", ["1", "0:8"])
def test_the_token_goes_to_the_hub_alone(
    hub: Hub, tracetui: Here, monkeypatch: pytest.MonkeyPatch, layers: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    said = tracetui("trace", REPO, "--weights", "hub", "--layers", layers, "--tokens", IDS)
    assert said.status == 0, said.err
    assert "hf_secret" not in said.out + said.err
    assert {asked.token for asked in hub.asked if asked.host == "hub"} == {"Bearer hf_secret"}
    assert {asked.token for asked in hub.asked if asked.host == "files"} == {None}


def test_an_environment_that_forbids_the_network_is_obeyed(
    hub: Hub, tracetui: Here, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in tracetui.refused("trace", REPO, "--weights", "hub")
    put_in_cache(published, "config.json")
    assert "HF_HUB_OFFLINE is set" in tracetui.refused("trace", REPO, "--weights", "hub")
    assert hub.asked == []


def test_weights_of_what_isn_t_on_the_hub_are_refused(tracetui: Here) -> None:
    assert "llama-tiny is no model on the hub" in tracetui.refused("trace", "llama-tiny", "--weights", "hub")


@pytest.mark.parametrize(
    ("status", "code", "exit_status", "words"),
    [
        (404, "RepoNotFound", 2, "the hub has no such model, or it is private: check the name, or set HF_TOKEN"),
        (401, "", 2, "the hub refuses it (401): it needs a token, or there is none of that name: set HF_TOKEN"),
        (403, "GatedRepo", 2, "is gated and needs a token: agree to its terms at"),
        (404, "RevisionNotFound", 2, "and no revision main of it"),
        (403, "", 2, "the hub refuses it (403): it needs a token, or there is none of that name: set HF_TOKEN"),
        (429, "", 1, "too many requests (429)"),
        (500, "", 1, "the hub failed with status 500; try again later"),
    ],
)
def test_what_the_hub_refuses_is_told_in_plain_words(
    hub: Hub, tracetui: Here, status: int, code: str, exit_status: int, words: str
) -> None:
    def refuse(asked: Asked, answer: Answer) -> None:
        answer.status, answer.headers, answer.body = status, refusal(status, code).headers, b""

    hub.faults.append(refuse)
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == exit_status
    assert words in said.complaint
    assert not snapshot().exists()


def test_a_model_of_pickles_is_refused(hub: Hub, tracetui: Here, published: Path, tmp_path: Path) -> None:
    hub.folder = tmp_path / "pickles"
    hub.folder.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        shutil.copy(published / name, hub.folder)
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == 2
    assert "has no model.safetensors on the hub, and nothing else is fetched" in said.err
    assert "pytorch_model.bin" not in names_of(hub)


def test_a_full_disk_is_told_before_anything_is_fetched(
    hub: Hub, tracetui: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files, "_SPARE_BYTES", 2**60)
    said = tracetui.refused("trace", REPO, "--weights", "hub")
    assert "would be fetched to it and its disk has" in said
    assert {asked.method for asked in hub.asked} == {"GET"}
    assert len(hub.asked) == 1


def test_a_model_that_changes_meanwhile_is_noticed(hub: Hub, tracetui: Here) -> None:
    later = COMMIT[::-1]

    def change(asked: Asked, answer: Answer) -> None:
        if "X-Repo-Commit" in answer.headers:
            answer.headers["X-Repo-Commit"] = later

    hub.faults.append(change)
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == 1
    assert COMMIT in said.err
    assert later in said.err


def test_nobody_there_is_told_with_the_address(hub: Hub, tracetui: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == 1
    assert said.complaint.startswith("http://127.0.0.1:9: can't be reached")


def test_an_interrupt_leaves_no_part_of_a_file(hub: Hub, tracetui: Here) -> None:
    def interrupt(asked: Asked, answer: Answer) -> None:
        if asked.host == "files" and asked.method == "GET":
            answer.cut = 1000
            os.kill(os.getpid(), signal.SIGINT)

    hub.faults.append(interrupt)
    assert tracetui("trace", REPO, "--weights", "hub").status == 130
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.safetensors"))
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))
    hub.faults.clear()
    assert tracetui("trace", REPO, "--weights", "hub", "--tokens", IDS).status == 0


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_missing_model_is_offered_once_on_a_terminal(
    hub: Hub, tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever asks any other host asks this one as a proxy.
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), hub.address) | {"NO_PROXY": "127.0.0.1"}
    env = {"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "hub-cache"), **proxies}
    with Terminal("config", REPO, columns=140, rows=60, cwd=tmp_path, env=env) as terminal:
        terminal.until(f"Fetch config.json and tokenizer, a few MB, from {hub.address}? [y/N]")
        assert hub.asked == []
        terminal.send(f"{answer}\n")
        assert terminal.ended() == (0 if answer == "y" else 2)
        assert ("num_hidden_layers" if answer == "y" else "hf download") in terminal.text
    assert snapshot().is_dir() == (answer == "y")
    assert all(asked.path.startswith(("/api/models/", f"/{REPO}/")) for asked in hub.asked)
    assert not any("safetensors" in asked.path for asked in hub.asked)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "no-such-family"}, "transformers knows no 'no-such-family'"),
        ({"quantization_config": {"quant_method": "torchao"}}, "torchao"),
    ],
)
def test_what_can_t_be_run_is_refused_before_its_weights_are_fetched(
    hub: Hub, tracetui: Here, published: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    hub.folder = tmp_path / "other"
    shutil.copytree(published, hub.folder)
    change_config(hub.folder, **changes)
    said = tracetui("trace", REPO, "--weights", "hub")
    assert said.status == 2
    assert words in said.err.splitlines()[-1]
    assert not any("safetensors" in asked.path for asked in hub.asked)


def test_shards_of_any_name_in_the_cache_are_weights(hub: Hub, tracetui: Here, published: Path, tmp_path: Path) -> None:
    put_in_cache(published, *(path.name for path in published.iterdir()))
    index = snapshot() / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-0", "part-0"))
    for path in snapshot().glob("model-0*"):
        path.rename(path.with_name(path.name.replace("model-0", "part-0")))
    assert tracetui("trace", REPO, "--tokens", IDS, "-o", str(tmp_path / "t.npz")).status == 0
    assert not any("random" in note for note in read_trace(tmp_path / "t.npz").run.notes)
    assert hub.asked == []


def test_a_tokenizer_that_isn_t_here_is_told_of_unless_there_is_none(
    hub: Hub, tracetui: Here, published: Path, tmp_path: Path
) -> None:
    def notes() -> tuple[str, ...]:
        path = tmp_path / "t.npz"
        assert tracetui("trace", REPO, "--layers", "1", "--tokens", IDS, "-o", str(path)).status == 0
        return tuple(read_trace(path).run.notes)

    hint = f"tokenizer.json: isn't in the hub's cache; `hf download {REPO} tokenizer.json` fetches it"
    put_in_cache(published, "config.json")
    assert hint in notes()
    hub.folder = tmp_path / "without"
    shutil.copytree(published, hub.folder, ignore=shutil.ignore_patterns("tokenizer.json"))
    assert tracetui("trace", REPO, "--weights", "hub", "--layers", "1", "--tokens", IDS).status == 0
    assert hint not in notes()


def test_gguf_files_of_the_hub_are_run_from_the_cache_and_else_told_how_to_fetch(
    hub: Hub, tracetui: Here, tmp_path: Path
) -> None:
    hub.folder = tmp_path
    write_gguf(exact_model("llama"), tmp_path / "tiny-Q8_0.gguf")
    said = tracetui.refused("trace", REPO, "--weights", "hub", "--tokens", IDS)
    assert f"{REPO}: has no config.json on the hub but GGUF files" in said
    assert f"`hf download {REPO} tiny-Q8_0.gguf` fetches one, `tracetui run {REPO}` runs it then" in said
    put_in_cache(tmp_path, "tiny-Q8_0.gguf")
    asked = len(hub.asked)
    done = tracetui("trace", REPO, "--tokens", IDS)
    assert done.status == 0, done.err
    assert "tiny-Q8_0.gguf: all 30 tensors from the file" in done.out
    assert len(hub.asked) == asked
