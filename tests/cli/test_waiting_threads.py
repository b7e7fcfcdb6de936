"""How OpenMP's threads wait while a command runs."""

from __future__ import annotations

import os
import sys

import pytest

from tracetui.cli import main


@pytest.mark.parametrize(
    ("said", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_they_sleep_soon_unless_the_user_says_how_they_wait(
    said: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        # First set, so that what the command sets is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tracetui", "models"])
    assert main() == 0
    assert os.environ.get("GOMP_SPINCOUNT") == spins
