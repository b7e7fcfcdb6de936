"""The program under torchrun itself, on a terminal, once: everything else is tried on forked ranks."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cli.terminal import Terminal

LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python")


def test_one_screen_for_two_processes(tmp_path: Path) -> None:
    words = ("run", "llama-tiny", "--layers", "1", "--tokens", "1,2,3")
    env = {"OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(tmp_path)}
    with Terminal(*words, columns=110, rows=30, cwd=tmp_path, env=env, under=LAUNCH, warm=True) as terminal:
        terminal.until("rank 0 of 2", "stopped at record 0")
        terminal.resize(120, 32)
        terminal.send("c")
        terminal.until("finished")
        # The processes lead sessions of their own: no signal tells them of the new size.
        assert len(terminal.screen.display[0].rstrip()) > 110
        terminal.send("F")
        terminal.until("Whose records?")
        terminal.send("\r")
        terminal.until("2 ranks together")
        terminal.send("q")
        assert terminal.ended() == 0
        terminal.assert_restored()
