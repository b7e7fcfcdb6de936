"""`python -m tests.truth [WORDS]`: plant mistakes one after another, and count how many are named; WORDS pick some.

`--right [FAMILIES]` compares pairs of runs that are right instead, family by family (tests/truth/right/sweep.py).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

import tracetui
from tests.truth.dumps import KINDS
from tests.truth.families import FAMILIES, IDS
from tests.truth.fault import Fault
from tests.truth.forward import dump
from tests.truth.judge import Judgement, Share, judged
from tests.truth.planted import FAULTS
from tests.truth.right import sweep

_ENOUGH = 0.9
"""Of a family's mistakes, and of those in each kind of dump."""
_MARKS = {Share.RIGHT: "right", Share.SILENT: "silent", Share.WRONG: "WRONG"}


def main(words: list[str]) -> int:
    """Exit code 1 if an innocent is blamed, too little is named, or a decoder without a mistake differs."""
    if words[:1] == ["--right"]:
        return sweep.main(words[1:])
    explain = "-v" in words
    picked = [fault for fault in FAULTS if _picks(words, fault)]
    unsound = 0 if words else _unsound()
    print(f"{'mistake':<40}{'family':<12}" + "".join(f"{kind:<8}" for kind in KINDS))
    totals: Counter[tuple[str, str, Share]] = Counter()
    for fault in picked:
        for family in fault.families.split():
            judgements = {kind: judged(FAMILIES[family](), fault, kind) for kind in KINDS}
            print(f"{fault.name:<40}{family:<12}" + "".join(_cells(judgements)).rstrip(), flush=True)
            for line in _reasons(judgements, explain):
                print(line)
            totals.update((family, kind, judgement.share) for kind, judgement in judgements.items() if judgement)
    _print_totals(totals, len(picked))
    short = [] if words else _too_few(totals)
    for line in short:
        print(line)
    return 1 if unsound or short or any(share is Share.WRONG for *_, share in totals) else 0


def _picks(words: list[str], fault: Fault) -> bool:
    names = [word for word in words if word != "-v"]
    return not names or any(name in fault.name for name in names)


def _unsound() -> int:
    """How many decoders without a mistake are not the same as their model."""
    count = 0
    for name, family in FAMILIES.items():
        for kind in KINDS:
            diff = tracetui.diff(dump(family().decoder, IDS, kind), family().reference)
            if not diff.same:
                count += 1
                print(f"{name}, {kind}: differs without a mistake\n{diff}")
    return count


def _cells(judgements: dict[str, Judgement | None]) -> Iterator[str]:
    for judgement in judgements.values():
        yield f"{_MARKS[judgement.share] if judgement else '-':<8}"


def _reasons(judgements: dict[str, Judgement | None], explain: bool) -> Iterator[str]:
    for kind, judgement in judgements.items():
        if judgement and judgement.because:
            yield f"    {kind}: {judgement.because}"
        if judgement and explain:
            yield judgement.text


def _too_few(totals: Counter[tuple[str, str, Share]]) -> list[str]:
    """Families, and kinds of dumps of a family, of whose mistakes too few are named."""
    families = sorted({family for family, *_ in totals})
    parts = [(family, kind) for family in families for kind in ("all", *KINDS)]
    shares = {part: _counts(totals, *part) for part in parts}
    return [
        f"{family}, {kind}: {counts[Share.RIGHT]} of {sum(counts.values())} named, less than {_ENOUGH:.0%}"
        for (family, kind), counts in shares.items()
        if counts[Share.RIGHT] < _ENOUGH * sum(counts.values())
    ]


def _counts(totals: Counter[tuple[str, str, Share]], family: str, kind: str) -> dict[Share, int]:
    """How often a family's mistakes were named in one kind of dump; `all` stands for every one."""
    return {
        share: sum(
            count
            for (own, dumped, how), count in totals.items()
            if how is share and family in (own, "all") and kind in (dumped, "all")
        )
        for share in Share
    }


def _print_totals(totals: Counter[tuple[str, str, Share]], faults: int) -> None:
    print(f"\n{faults} mistakes")
    families = sorted({family for family, *_ in totals})
    for name in (*families, *KINDS, "all"):
        counts = _counts(totals, "all", name) if name in KINDS else _counts(totals, name, "all")
        whole = sum(counts.values()) or 1
        shown = ", ".join(f"{share.value} {n}" for share, n in counts.items())
        print(f"{name:<12}named right {counts[Share.RIGHT] / whole:.0%}, wrong blame {counts[Share.WRONG]}   ({shown})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
