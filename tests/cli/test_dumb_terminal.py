"""A terminal that nothing can be drawn on is refused with what works there."""

from __future__ import annotations

import pytest

from tracetui.commands.terminal import require_terminal
from tracetui.errors import InputError


class Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("instead", ["`tracetui trace`", "`tracetui info`"])
def test_a_dumb_terminal_is_told_of_trace(instead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(InputError, match=r"TERM=dumb; .*`tracetui trace`"):
        require_terminal("run:", instead)
    monkeypatch.setenv("TERM", "xterm-256color")
    require_terminal("run:", instead)
