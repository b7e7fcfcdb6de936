"""Each family of causal language models that transformers knows, against a plain call of a tiny model of it.

`make families` runs them all and writes docs/families.md; every other run takes a tenth, by the day's date.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import tracetui
from tests.families.checks import CHECKS, NotShownError
from tests.families.configs import families
from tests.families.known import known
from tests.families.models import make_family
from tests.families.table import FILE, reasons
from tests.tracer.tiers import differences, recorded
from tracetui.errors import InputError

_PARTS = 10


def _chosen() -> tuple[str, ...]:
    part = os.environ["TRACETUI_FAMILIES"]
    return families() if part == "all" else families()[int(part) % _PARTS :: _PARTS]


@pytest.mark.parametrize("name", _chosen())
def test_what_is_shown_of_a_family_is_what_its_model_computes(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    family = make_family(name, tmp_path)
    trace = tracetui.trace(family.model, input_ids=family.ids)
    surprises = []
    for title, check in CHECKS.items():
        reason, is_fault = known(title, name)
        try:
            shown = check(family, trace)
        except Exception as error:
            if not reason or not (is_fault or isinstance(error, InputError | NotShownError)):
                surprises.append(f"{title}: {type(error).__name__}: {error}")
            shown = "no"
        else:
            if reason:
                surprises.append(f"{title}: holds now; take it off the list in known.py")
        record_property(title, shown)
    again = f"`make families ARGS='-k {name}'` runs this again"
    assert not surprises, "\n".join((f"{name}:", *surprises, again))


@pytest.mark.parametrize("name", _chosen())
def test_what_is_described_later_is_the_same(name: str, tmp_path: Path) -> None:
    family = make_family(name, tmp_path)
    # Some families make themselves other modules in their first call.
    assert family.logits.size
    # The third time as the second one went.
    at_once, *later = (recorded(family.model, {"input_ids": family.ids}, later=each) for each in (False, True, True))
    assert not [each for again in later for each in differences(at_once, again)]


@pytest.mark.skipif(os.environ["TRACETUI_FAMILIES"] == "all", reason="it is about to be written")
def test_the_document_tells_of_every_family_what_is_known_of_it() -> None:
    text = FILE.read_text()
    assert text.endswith(reasons()), "`make families` writes it"
    rows = {name: row.split(" | ") for name, row in re.findall(r"^\| (\S+) \| (.*) \|$", text, re.MULTILINE)}
    for name in families():
        missing = [check for check, cell in zip(CHECKS, rows[name], strict=True) if cell == "no"]
        assert missing == [check for check in CHECKS if known(check, name)[0]], f"{name}: `make families` writes it"
