"""Renders chat templates in a process of its own, as a stranger's template may loop or grow without end.

Run as a file: one JSON job on standard input, one JSON answer on standard output. Imports nothing of tracetui.
"""

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

CPU_SECONDS = 2
MEMORY_BYTES = 2**28
MAX_CHARACTERS = 2**20


def main() -> None:
    """Answer `{"texts": […]}`, or `{"error": …}` for whatever the template raises."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr
    job = json.load(sys.stdin)
    from transformers.utils.chat_template_utils import render_jinja_template

    _bound()
    try:
        texts, _ = render_jinja_template(
            job["chats"], chat_template=job["template"], add_generation_prompt=True, **job["variables"]
        )
        longest = max(map(len, texts))
        too_long = {"error": f"it makes {longest:,} characters, more than {MAX_CHARACTERS:,}"}
        answer = too_long if longest > MAX_CHARACTERS else {"texts": texts}
    except MemoryError:
        answer = {"error": f"it takes more than {MEMORY_BYTES // 2**20} MiB of memory"}
    except Exception as error:
        line = getattr(error, "lineno", None)
        answer = {"error": f"{f'line {line}: ' if line else ''}{type(error).__name__}: {str(error)[:500]}"}
    json.dump(answer, answers)
    answers.flush()


def _bound() -> None:
    """From here on: so much time, so much memory, and no file written."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    with suppress(OSError), Path("/proc/self/statm").open() as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main()
