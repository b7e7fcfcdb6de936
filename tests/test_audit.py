"""A version that nobody could be asked about isn't called clean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.audit import CLEAN, UNKNOWN, VULNERABLE, judged

SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
BAD = {"name": "jinja2", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNASKED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}


@pytest.mark.parametrize(
    ("dependencies", "status", "line"),
    [
        ([SOUND], CLEAN, "1 versions, none with a known vulnerability"),
        ([SOUND, BAD], VULNERABLE, "jinja2 1.0: PYSEC-1, mended in 1.1"),
        ([SOUND, UNASKED], UNKNOWN, "nothing is known of 1 of 2: torch"),
        ([UNASKED, BAD], VULNERABLE, "nothing is known of 1 of 2: torch"),
        ([], UNKNOWN, "is the service of pypi.org within reach? Nothing here says that they are clean"),
    ],
)
def test_each_answer_has_its_status(dependencies: list[dict[str, Any]], status: int, line: str) -> None:
    found, lines = judged(json.dumps({"dependencies": dependencies}), "")
    assert found == status
    assert line in lines


@pytest.mark.parametrize("answer", ["", "[]", "{}", "No known vulnerabilities found"])
def test_no_answer_is_told_as_none(answer: str) -> None:
    status, lines = judged(answer, "Traceback\nConnectionError: no route to host\n")
    assert status == UNKNOWN
    assert lines == ["nothing is known: pip-audit couldn't ask (ConnectionError: no route to host)"]
