"""Writes docs/families.md at the end of a run over all families that went well."""

from __future__ import annotations

import os

import pytest

from tests.families.checks import CHECKS
from tests.families.configs import families
from tests.families.table import FILE, Row, document

_rows: dict[str, Row] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    row = {title: str(shown) for title, shown in report.user_properties if title in CHECKS}
    if report.when == "call" and report.passed and len(row) == len(CHECKS):
        _rows[report.nodeid.rpartition("[")[2].removesuffix("]")] = row


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Of the workers none has all rows; the process that started them has.
    if os.environ["TRACETUI_FAMILIES"] == "all" and set(families()) == set(_rows):
        FILE.write_text(document(_rows))
