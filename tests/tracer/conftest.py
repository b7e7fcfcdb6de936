"""What holds for every test of the tracer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """Numbers are held to others to the last digit, which on several threads depends on what stands beside a row.

    Experts that run one by one, and a run that is taken up in the middle, multiply fewer rows at once.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
