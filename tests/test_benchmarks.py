"""What benchmarks stand on: deadlines, rows as JSON, and the document that is made of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import document, screen, start, terminal, workers
from tests.benchmarks.results import Results

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("there", flush=True)
while True:
    print("x" * 4096)
"""


def measured(path: Path, benchmark: str = "growth") -> Path:
    results = Results()
    results.begin(benchmark, "made up")
    for tokens in (32, 128, 512):
        results.add(f"{tokens} tokens: traced", [1.2, 1.1, 1.3], of="untraced", target=1.15, sizes={"tokens": tokens})
    for records in (1000, 30_000):
        for work in ("open", "diff"):
            label = f"{records:,} records: {work}, each record"
            results.add(label, [3.0], unit="µs", sizes={"records": records})
    results.write(path)
    return path


def test_a_document_and_its_plots_are_made_of_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, later = measured(tmp_path / "a.json", "large"), measured(tmp_path / "b.json")
    assert "1.200" in capsys.readouterr().out
    document.main([first, later], tmp_path)
    text = (tmp_path / "performance.md").read_text()
    assert "| 32 tokens: traced | 1.2 | 1.15–1.25 | 3 | untraced | ≤ 1.15, **missed** |" in text
    assert text.index("## Comparing large traces") < text.index("## How costs grow")
    assert "Of 6 targets 0 are met; these are not:" in text
    assert "- How costs grow: 32 tokens: traced, 1.2 where 1.15 was aimed at" in text
    assert "![tokens](performance-tokens.svg)" in text
    assert "performance-layers" not in text
    assert "cores" in text
    assert {path.name for path in tmp_path.glob("*.svg")} == {"performance-tokens.svg", "performance-records.svg"}
    before = (tmp_path / "performance-records.svg").read_bytes()
    document.main([first, later], tmp_path)
    assert (tmp_path / "performance-records.svg").read_bytes() == before, "the same rows make the same picture"


def test_rounds_are_bounded_where_a_benchmark_has_some(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    monkeypatch.setattr(start, "main", lambda results, rounds=5: seen.append(rounds))
    monkeypatch.setattr(screen, "main", lambda results: seen.append("none to bound"))
    command.main(["start", "screen", "--rounds", "2", "--json", str(tmp_path / "x.json")])
    command.main(["start", "--rounds", "9"])
    assert seen == [2, "none to bound", 5]
    assert json.loads((tmp_path / "x.json").read_text())["rows"] == []


def test_the_last_file_that_has_a_benchmark_counts(tmp_path: Path) -> None:
    old = measured(tmp_path / "old.json")
    new = tmp_path / "new.json"
    new.write_text(old.read_text().replace("128 tokens", "129 tokens"))
    rows, _ = document.read([old, new])
    assert [row.label for row in rows].count("129 tokens: traced") == 1
    assert "128 tokens: traced" not in [row.label for row in rows]


def test_a_program_that_neither_is_read_nor_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_PATIENCE", 0.2)
    stubborn = terminal.Terminal([sys.executable, "-c", STUBBORN], 80, 24)
    stubborn.wait_for_output(b"there", 30)
    stubborn.close()
    with pytest.raises(ProcessLookupError):
        os.kill(stubborn.process, 0)


def test_a_child_has_a_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"took more than 0\.3 s"):
        workers.run([sys.executable, "-c", "import time; time.sleep(60)"], deadline=0.3)
    monkeypatch.setattr(workers, "DEADLINE", 0.3)
    worker = workers.Worker("input(); import time; time.sleep(60)", tmp_path)
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    with pytest.raises(RuntimeError, match=r"long: took more than 0\.3 s"):
        worker.seconds("long")


def test_an_unknown_name_is_told_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    for words, status in ((["--help"], 0), (["speed"], 2)):
        with pytest.raises(SystemExit) as leaving:
            command.main(words)
        assert leaving.value.code == status
    told = capsys.readouterr()
    assert "growth" in told.out
    assert "no benchmark is called speed" in told.err
