"""Which device a recipe's model runs on, and what is said where torch has no such device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import patch

import pytest
import torch

from tests.device.stand_in import StandIn
from tests.tracer.recipes import recipe
from tracetui.cli import main
from tracetui.commands.start_page import page_of_recipe
from tracetui.debugger.session import Event, Failed, Preparing
from tracetui.errors import InputError
from tracetui.models.devices.chosen import CPU, device_name, device_of
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.live import LiveSession


@pytest.fixture
def two_gpus() -> Iterator[None]:
    with StandIn(gpus=2).there():
        yield


def test_a_device_is_read_without_asking_torch() -> None:
    plain = load_recipe("llama-tiny")
    assert plain.device == "cpu"
    assert "device" not in plain.plain()
    assert with_options(plain, device=" CUDA:1 ").plain()["device"] == "cuda:1"


@pytest.mark.parametrize("device", ["cudda", "cuda:", "cuda:-1", "cuda:1234", "cuda:1.5", "gpu", "mps", "", "cpu:0"])
def test_another_word_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=r"^device: must be cpu, cuda or cuda:N, got "):
        with_options(load_recipe("llama-tiny"), device=device)


def test_a_gpu_that_is_there_has_its_number(two_gpus: None) -> None:
    assert [device_of(name) for name in ("cpu", "cuda", "cuda:1")] == [CPU, *(torch.device("cuda", n) for n in (0, 1))]
    assert device_name(CPU) == "cpu"
    assert device_name(device_of("cuda")) == "a GPU that isn't there"


def test_a_gpu_too_many_is_refused(two_gpus: None) -> None:
    with pytest.raises(InputError, match=r"^device: cuda:3: there are 2 GPUs, cuda:0 to cuda:1$"):
        device_of("cuda:3")
    with StandIn().there(), pytest.raises(InputError, match=r"^device: cuda:1: there is one GPU, cuda:0$"):
        device_of("cuda:1")


def test_a_torch_without_gpus_says_why() -> None:
    without = patch("torch.version.cuda", None), patch("torch.version.hip", None)
    absent = patch("torch.cuda.is_available", lambda: False)
    with (
        absent,
        without[0],
        without[1],
        pytest.raises(InputError, match=r"^device: cuda: this torch .* is built withou"),
    ):
        device_of("cuda")
    with (
        absent,
        patch("torch.version.cuda", "13"),
        pytest.raises(InputError, match=r"^device: cuda: torch finds no GPU"),
    ):
        device_of("cuda")


def test_it_is_refused_before_anything_is_built() -> None:
    with (
        patch("torch.cuda.is_available", lambda: False),
        patch("tracetui.models.runnable.open_checkpoint") as opened,
        pytest.raises(InputError, match=r"^device: cuda: "),
    ):
        make_runnable(recipe(device="cuda"))
    assert not opened.called


def test_the_command_ends_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["tracetui", "trace", "llama-tiny", "--device", "cuda", "--layers", "1", "-o", str(tmp_path / "t.npz")]
    with patch("torch.cuda.is_available", lambda: False), patch("sys.argv", words):
        assert main() == 2
    assert "device: cuda: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_start_page_names_a_gpu() -> None:
    assert ("device", "cuda:1") in page_of_recipe(recipe(device="cuda:1")).facts
    assert "device" not in dict(page_of_recipe(recipe()).facts)


def test_the_screen_is_told_why() -> None:
    events: SimpleQueue[Event] = SimpleQueue()
    with patch("torch.cuda.is_available", lambda: False):
        session = LiveSession(recipe(device="cuda:2"), events.put)
        while not isinstance(event := events.get(timeout=60), Failed):
            assert isinstance(event, Preparing)
        assert session.close(60)
    assert event.error.startswith("device: cuda:2: ")
