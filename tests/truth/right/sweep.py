"""Compares all right pairs of many families of models, and counts what is called the same, different, or a fault."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

import tracetui
from tests.families.configs import families
from tests.families.models import make_family
from tests.truth.right.pairs import PAIRS, NoPairError, Runs
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.routing.flips import Cause


class Outcome(Enum):
    """What was said of a pair, by its mark in the table."""

    SAME = "."
    DIFFERS = "d"
    BLAMES = "B"
    NO_PAIR = "-"
    """The family has none: its model refuses such a call."""


def main(words: Sequence[str]) -> int:
    """Families by name, `1/10` for a part of all, `=NAME` for one kind of pair, `-v` for all that is said; 1 if any
    innocent is blamed.
    """
    kinds = [word[1:] for word in words if word.startswith("=")] or list(PAIRS)
    explain = "-v" in words
    totals: Counter[tuple[str, Outcome]] = Counter()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    print(f"{'family':<24}" + " ".join(kinds), flush=True)
    for name in _chosen(words):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = list(_results(Runs(make_family(name, Path(folder))), kinds))
        totals.update((kind, outcome) for kind, outcome, _ in results)
        marks = (outcome.value.center(len(kind)) for kind, outcome, _ in results)
        print(f"{name:<24}" + " ".join(marks), flush=True)
        for kind, outcome, text in results:
            if outcome in (Outcome.DIFFERS, Outcome.BLAMES) or (explain and text):
                print(f"    {kind}: {text}", flush=True)
    _print_totals(totals, kinds)
    return 1 if any(outcome is Outcome.BLAMES for _, outcome in totals) else 0


def _chosen(words: Sequence[str]) -> Sequence[str]:
    names = [word for word in words if not word.startswith(("-", "=")) and "/" not in word]
    part = next((word for word in words if "/" in word), "0/1")
    first, step = (int(number) for number in part.split("/"))
    return names or families()[first % step :: step]


def _results(runs: Runs, kinds: Sequence[str]) -> Iterator[tuple[str, Outcome, str]]:
    for kind in kinds:
        torch.manual_seed(0)
        try:
            a, b = PAIRS[kind](runs)
        except NoPairError as error:
            yield kind, Outcome.NO_PAIR, str(error)
        except Exception as error:
            # Whatever a model raises where it is called in a way that it doesn't know.
            yield kind, Outcome.NO_PAIR, f"{type(error).__name__}: {str(error)[:120]}"
        else:
            diff = tracetui.diff(a, b)
            yield kind, outcome_of(diff), "" if diff.same else diff.verdict


def outcome_of(diff: tracetui.Diff) -> Outcome:
    """What is said of a right pair."""
    if diff.same:
        return Outcome.SAME
    return Outcome.BLAMES if blames(diff.report) else Outcome.DIFFERS


def blames(report: Report) -> bool:
    """Whether a fault is said to be somewhere, or looks like a known one, or a choice is said not to follow."""
    return report.at_fault or bool(report.hints) or any(flip.cause is Cause.CHOICE for flip in report.flips)


def _print_totals(totals: Counter[tuple[str, Outcome]], kinds: Sequence[str]) -> None:
    print(f"\n{'pairs':<16}{'same':>6}{'differ':>8}{'blame':>7}{'none':>6}")
    for kind in (*kinds, "all"):
        counts = [
            sum(n for (of, o), n in totals.items() if o is outcome and kind in (of, "all")) for outcome in Outcome
        ]
        print(f"{kind:<16}{counts[0]:>6}{counts[1]:>8}{counts[2]:>7}{counts[3]:>6}")
