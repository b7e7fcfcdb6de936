"""What is asked of the model's thread while the model waits or has nothing to do: its configuration, and its code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tracetui.debugger.session import Explained, Listener, Sourced
from tracetui.errors import TracetuiError, in_words
from tracetui.logs import write_log
from tracetui.recipe import Recipe
from tracetui.text import visible

if TYPE_CHECKING:
    from tracetui.tracer.engine import Engine


class Questions:
    """Any thread may ask; the model's thread alone answers, as no two models are ever built at once."""

    def __init__(self, recipe: Recipe, emit: Listener, engine: Callable[[], Engine | None]) -> None:
        self._recipe = recipe
        self._emit = emit
        self._engine = engine
        self._explanation_wanted = threading.Event()
        self._sites: SimpleQueue[str] = SimpleQueue()

    def explain(self) -> None:
        """Ask for the configuration's explanation."""
        self._explanation_wanted.set()

    def source(self, site: str) -> None:
        """Ask for the code behind a site."""
        self._sites.put(site)

    def answer(self) -> None:
        """Answer what was asked since."""
        if self._explanation_wanted.is_set():
            self._explanation_wanted.clear()
            self._emit(self._explained())
        site = None
        while not self._sites.empty():
            # The newest counts.
            site = self._sites.get()
        if site is not None:
            self._emit(self._sourced(site))

    def _explained(self) -> Explained:
        if not self._recipe.config:
            return Explained(None, "a model that is given as code has no recipe whose fields could be explained")
        try:
            from tracetui.models.config_help.report import read_config

            return Explained(read_config(self._recipe))
        except TracetuiError as error:
            return Explained(None, str(error))
        except BaseException as error:
            return Explained(None, unforeseen("config", error))

    def _sourced(self, site: str) -> Sourced:
        engine = self._engine()
        if engine is None:
            return Sourced(site, error="there is no model whose code could be shown")
        try:
            from tracetui.models.source import source_of

            return source_of(engine.runnable.built.module, site, engine.raised)
        except BaseException as error:
            return Sourced(site, error=unforeseen("source", error))


def unforeseen(kind: str, error: BaseException) -> str:
    """What nobody foresaw, in a line that names the log."""
    log = write_log(kind, error)
    return visible(f"{in_words(error)}{log and f'; the log is in {log}'}", 500)
