"""`python -m tests.audit PIP_AUDIT`: whether a version in constraints.txt has a vulnerability that somebody has told.

pip-audit calls a version that nobody could be asked about clean; here it isn't. Ends with 0 if all are known to be
clean, 1 if one isn't, 3 if some couldn't be asked about.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PINS = Path(__file__).parents[1] / "constraints.txt"
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3


def main(arguments: list[str]) -> int:
    """Ask, print the answer, and return the exit status."""
    command = [arguments[0], "-r", str(_PINS), "--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    status, lines = judged(done.stdout, done.stderr)
    print(*lines, sep="\n")
    return status


def judged(answer: str, errors: str) -> tuple[int, list[str]]:
    """The exit status, and what to say, of pip-audit's answer in JSON and what it wrote besides."""
    try:
        dependencies = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = errors.strip().rpartition("\n")[2]
        return UNKNOWN, [f"nothing is known: pip-audit couldn't ask ({last or 'no answer'})"]
    lines = list(_vulnerable(dependencies))
    unasked = [each["name"] for each in dependencies if "skip_reason" in each]
    asked = len(dependencies) - len(unasked)
    if unasked:
        lines.append(f"nothing is known of {len(unasked)} of {len(dependencies)}: {', '.join(unasked)}")
    if any(each.get("vulns") for each in dependencies):
        return VULNERABLE, lines
    if unasked or not asked:
        return UNKNOWN, [*lines, "is the service of pypi.org within reach? Nothing here says that they are clean"]
    return CLEAN, [f"{asked} versions, none with a known vulnerability"]


def _vulnerable(dependencies: list[dict[str, Any]]) -> Iterator[str]:
    for each in dependencies:
        for vulnerability in each.get("vulns", ()):
            mended = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
            yield f"{each['name']} {each['version']}: {vulnerability['id']}, mended in {mended}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
