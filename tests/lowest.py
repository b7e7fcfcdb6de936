"""`python -m tests.lowest`: the lowest versions that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_NEEDED = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>\d+(?:\.\d+)+)(?:,<\d+)?")


def lowest() -> Iterator[str]:
    """`numpy==2.0.0`: each direct dependency at its lower bound. Raises ValueError for one without."""
    for needed in tomllib.loads(_PROJECT.read_text())["project"]["dependencies"]:
        match = _NEEDED.fullmatch(needed)
        if match is None:
            raise ValueError(f"pyproject.toml: {needed}: has no lower bound that names a release")
        yield f"{match['name']}=={match['version']}"


if __name__ == "__main__":
    print(*lowest(), sep="\n")
