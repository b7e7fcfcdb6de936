"""A recording as a debug session: all of it is behind the frontier, and nothing runs. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracetui.debugger.session import Explained, Listener, Module, Opened, Sourced
from tracetui.expr.edit import Edit
from tracetui.expr.stop import Stop
from tracetui.recipe import Prompts
from tracetui.recipe.fields.explain import explanation
from tracetui.recipe.fields.field import ConfigField, ConfigReport, FieldOrigin
from tracetui.recording.outline import NO_MODULE, outline_of_sites, with_depth
from tracetui.recording.ranks.folder import open_run
from tracetui.recording.stepping import Target
from tracetui.recording.trace import RunInfo, Trace


class RecordedSession:
    """Shows a trace. What would run a model answers that there is none."""

    def __init__(self, trace: Trace, listener: Listener) -> None:
        self._trace = trace
        self._listener = listener
        self._outline = outline_of(trace)
        listener(Opened(trace, self._outline))

    def start(self, prompts: Prompts, until: Target) -> int:
        """Nothing runs."""
        return 0

    def preview(self, prompts: Prompts) -> None:
        """Nothing runs."""

    def advance(self, until: Target) -> None:
        """Nothing runs."""

    def generate(self, count: int, until: Target) -> None:
        """Nothing runs."""

    def rerun(self, at: int, edits: tuple[Edit, ...], until: Target) -> int:
        """Nothing runs."""
        return 0

    def stop_at(self, stops: tuple[Stop, ...]) -> None:
        """Nothing runs: who looks at a recording looks for the stops in it."""

    def edit(self, edits: tuple[Edit, ...], at: int) -> None:
        """Nothing runs."""

    def pause(self) -> None:
        """Nothing runs."""

    def cancel(self) -> None:
        """Nothing runs."""

    def explain(self) -> None:
        """Have the recorded configuration explained, as far as its fields alone tell."""
        report = config_report(self._trace.run)
        self._listener(Explained(report, "" if report else "the recording holds no configuration"))

    def source(self, site: str) -> None:
        """A recording holds no code: its class is named as far as it is known."""
        self._listener(Sourced(site, error=_without_code(self._outline, site)))

    def close(self, timeout: float) -> bool:
        """There is no thread to end."""
        return True


def _without_code(outline: Module, site: str) -> str:
    path = site.partition("#")[0].partition(":")[0]
    kind = next((module.kind for _, module in with_depth(outline) if module.path == path), "")
    named = f"; its class is {kind}" if kind else ""
    return f"this is a recording, and holds no code: {path} can't be shown{named}"


def open_recording(path: Path) -> Trace:
    """The trace in a file or of a folder of ranks' files, or named tensors of somebody's own. Raises InputError."""
    return open_run(path)


def outline_of(trace: Trace) -> Module:
    """The module tree that the file has, else what its sites show."""
    if trace.outline is not NO_MODULE:
        return trace.outline
    return outline_of_sites(trace.records, "tensors" if trace.dump else "model")


def config_report(run: RunInfo) -> ConfigReport | None:
    """The configuration's fields with what each means; which shapes they decide takes the model to tell."""
    if not run.config:
        return None
    family = str(run.config.get("model_type", ""))
    fields = tuple(_field(name, value, family) for name, value in run.config.items())
    return ConfigReport(run.model, family, "", (), fields, ())


def _field(name: str, value: object, family: str) -> ConfigField:
    plain = dict(value) if isinstance(value, Mapping) else value
    return ConfigField(name, plain, FieldOrigin.GIVEN, explanation(name, family))
