"""What is an id on the hub, and what isn't."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from tracetui.errors import InputError
from tracetui.paths import inside
from tracetui.recipe import find_hub_id
from tracetui.recipe.hub import HubId, cached_snapshot, parse_hub_id


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Qwen/Qwen2.5-1.5B", HubId("Qwen/Qwen2.5-1.5B")),
        ("a/b@v1.0", HubId("a/b", "v1.0")),
        ("a/b@refs/pr/3", HubId("a/b", "refs/pr/3")),
        *(
            (said, None)
            for said in ("llama-tiny", "a/b/c", "/a/b", "../b", "a/..", "a/b@", "a/b@../../x", "a/.b", "-a/b")
        ),
        *(
            (said, None)
            for said in ("a/b.toml", "a/config.json", "a/b--c", "a/b@/etc", "a/b c", "ä/b", "a/b\n", "a/" + "b" * 97)
        ),
    ],
)
def test_an_id_is_an_owner_and_a_name(said: str, meant: HubId | None) -> None:
    assert parse_hub_id(said) == meant
    if meant is not None:
        assert parse_hub_id(str(meant)) == meant


def test_what_is_on_disk_is_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_hub_id("some/model") == HubId("some/model")
    (tmp_path / "some" / "model").mkdir(parents=True)
    assert find_hub_id("some/model") is None


def test_the_hub_s_cache_may_keep_files_in_a_store_for_all_models(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    for place, allowed in (("hub/blobs", True), ("hub/models--a--b/blobs", True), ("hub/models--a--c/blobs", False)):
        store = tmp_path / place
        store.mkdir(parents=True)
        (store / "blob").touch()
        link = snapshot / "config.json"
        link.unlink(missing_ok=True)
        link.symlink_to(store / "blob")
        if allowed:
            assert inside(snapshot, "config.json") == link
        else:
            with pytest.raises(Exception, match="leads out of its folder"):
                inside(snapshot, "config.json")


def test_a_reference_of_any_length_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    references = tmp_path / "models--a--b" / "refs"
    references.mkdir(parents=True)
    with (references / "main").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"refs/main: must hold a commit's name, got 1,099,511,627,776 bytes"):
        cached_snapshot(HubId("a/b"))
    (references / "main").write_text("0" * 40)
    assert cached_snapshot(HubId("a/b")) is None
