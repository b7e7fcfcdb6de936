"""A tiny model on a hub of this machine, and a user whose cache is empty."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants
from huggingface_hub.utils import _http

from tests.cli.conftest import tracetui as in_this_process
from tests.cli.running import Here, Said
from tests.hub.server import Hub, serving
from tests.models.hf_files import model_of
from tests.models.tokenizers.samples import byte_level_json

__all__ = ["in_this_process"]
LAYERS = 8


class Shell(Here):
    """Commands as at a shell: what one does to its environment is gone for the next."""

    def __call__(self, *arguments: str) -> Said:
        before = dict(os.environ)
        try:
            return super().__call__(*arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture
def tracetui(in_this_process: Here, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's files: eight layers in several shards, a tokenizer, and what must not be fetched."""
    folder = tmp_path_factory.mktemp("published")
    model_of("llama", num_hidden_layers=LAYERS).save_pretrained(folder, max_shard_size="200KB")
    byte_level_json(folder / "tokenizer.json")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling_own.py").write_text("raise SystemExit('never run')")
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    return folder


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that huggingface_hub knows; a user who didn't forbid the network, has no token, and never waits."""
    with serving(published) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants._HF_DEFAULT_ENDPOINT, found.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(_http, "_HUB_ORIGINS", frozenset({_http._url_origin(found.address)}))
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        close_session()
        yield found
        close_session()
