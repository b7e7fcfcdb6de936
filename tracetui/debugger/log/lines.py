"""What the session's events leave in the log, in words."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.debugger.session import Event, Extended, Failed, Finished, Opened, Prepared, Remark, Started
from tracetui.recording.cut import FROM_THE_START
from tracetui.views.run.cut import taken_line
from tracetui.views.run.generated import extended_lines
from tracetui.views.run.plan import plan_table
from tracetui.views.run.prompts import preview_lines


def log_lines(event: Event) -> Iterator[str]:
    match event:
        case Prepared(tokenizer=tokenizer, notes=notes, preview=preview):
            yield f"prepared; tokenizer {tokenizer}"
            yield from preview_lines(preview.rows, preview.prompts.chat)
            yield from notes
        case Started(trace, plan, cut):
            rows = f"{len(trace.tokens)} prompts, " if len(trace.tokens) > 1 else ""
            yield f"started: {rows}{sum(map(len, trace.tokens))} tokens" if trace.tokens else "started"
            if cut is not FROM_THE_START:
                yield taken_line(cut)
            yield "\n".join(plan_table(plan))
        case Extended(trace) if trace.generated:
            yield from extended_lines(trace)
        case Finished(trace, cancelled):
            yield f"{'cancelled' if cancelled else 'finished'} with {len(trace)} records"
        case Opened(trace):
            yield f"a recording with {len(trace)} records"
            yield from trace.run.notes
        case Remark(text):
            yield text
        case _:
            return


def failure_lines(event: Failed) -> Iterator[str]:
    yield event.error
    yield from event.fault.lines
    if event.log:
        yield f"the traceback is in {event.log}"
