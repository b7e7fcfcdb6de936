"""Every direct dependency has a lower bound that names a release, and the versions in use lie above it."""

from __future__ import annotations

import re

from tests.lowest import _PROJECT, lowest


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_the_versions_in_use_lie_above_the_lower_bounds() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==([\d.]+)$", (_PROJECT.parent / "constraints.txt").read_text(), re.M))
    used = {name.lower(): version(pinned) for name, pinned in pins.items()}
    bounds = dict(each.split("==") for each in lowest())
    assert len(bounds) > 10
    assert not {name: bound for name, bound in bounds.items() if used[name.lower()] < version(bound)}


def test_each_dependency_has_its_reason() -> None:
    listed = _PROJECT.read_text().partition("dependencies = [")[2].partition("]\n")[0]
    lines = [line.strip() for line in listed.splitlines() if line.strip().startswith('"')]
    assert len(lines) == len(list(lowest()))
    assert not [line for line in lines if not re.search(r", # \w.{3}", line)]
