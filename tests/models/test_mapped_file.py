"""Weights read from mapped files leave memory again."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from tracetui.models.mapped_file import Pages
from tracetui.models.safetensors_files import SafetensorsFiles

ROWS, WIDTH = 2048, 4096
"""Of a float32 matrix of 32 MiB."""


def resident_bytes(path: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    counted, found = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0] and not line.startswith("VmFlags"):
            found = line.endswith(str(path))
        elif found and line.startswith("Rss:"):
            counted += int(line.split()[1]) * 1024
    return counted


def test_of_what_was_streamed_only_the_last_stays(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {f"t{number}": torch.full((ROWS, WIDTH), float(number)) for number in range(8)}
    save_file(tensors, path)
    files = SafetensorsFiles(tmp_path)
    sums = [float(files.view(f"t{number}").sum()) for number in range(8)]
    assert sums == [float(number) * ROWS * WIDTH for number in range(8)]
    assert resident_bytes(path) < 5 * ROWS * WIDTH * 4
    assert torch.equal(files.view("t0"), tensors["t0"])


def test_a_view_that_was_given_back_reads_the_same() -> None:
    """Memory that is no file's is never asked to go: only whole pages within what was read."""
    small = torch.arange(10.0)
    pages = Pages()
    pages._bytes = 2**40
    assert torch.equal(pages.reading(small), torch.arange(10.0))
    pages._bytes = 2**40
    pages.reading(torch.zeros(1))
    assert torch.equal(small, torch.arange(10.0))
