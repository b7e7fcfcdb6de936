"""The pictures of README and the documents, taken anew from the program as it is: `make pictures`, `ARGS="nan diff"`.

Each is a command and the keys that are pressed then. What a model computes differs in last digits between machines:
look at what has changed before you commit it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
WAIT = ""
"""In place of a key: until the screen stands still."""
_SIZE = (120, 40)
_MOST_SECONDS = 600.0
_CAPITALS = "The capital of France is Paris. The capital of Japan is"
_QUESTION = "the answer to the ultimate question of life, the universe, and everything is"


@dataclass(frozen=True)
class Picture:
    """What is opened, and the keys pressed once it stands still."""

    command: str
    """Started in a folder of its own."""
    keys: tuple[str, ...] = ()
    """A screen with a line to type into never stands still: its cursor blinks."""
    prepare: Callable[[Path], None] = lambda folder: None


def _tiny_llama() -> Any:
    """Of twelve layers, weights random."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=512, num_hidden_layers=12, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=256, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _with_a_nan(folder: Path) -> None:
    """A port of which one row of a projection isn't finite."""
    model = _tiny_llama()
    model.model.layers[7].mlp.down_proj.weight.data[3, 17] = float("nan")
    model.save_pretrained(folder / "my-port")


def _quantised(folder: Path) -> None:
    """A model and the same in 4 bits, which one layer's outliers make coarse."""
    from tests.models.quantised.folders import quantised
    from tests.models.quantised.packing import FORMS

    model = _tiny_llama()
    model.model.layers[4].mlp.down_proj.weight.data[:, ::32] *= 40.0
    model.save_pretrained(folder / "my-model")
    quantised(folder / "my-model", folder / "my-model-4bit", FORMS["gptq, 4 bits"])


def _on_four_ranks(folder: Path) -> None:
    """What each of four ranks recorded of a model, of which one weight isn't finite."""
    from tests.distributed.models import whole
    from tests.distributed.ranks import on_ranks

    (folder / "run.trace").mkdir()
    whole("Llama")  # before the fork
    on_ranks(4, _record_a_rank, folder / "run.trace")


def _record_a_rank(rank: int, folder: Path) -> None:
    import tracetui
    from tests.distributed.models import IDS, whole
    from tests.distributed.ranks import spoilt, spread
    from tracetui.recording.npz import write_trace

    model = spread(spoilt(whole("Llama"), "model.layers.1.self_attn.q_proj.weight", (11, 3)), tp_size=4)
    write_trace(tracetui.trace(model, IDS).recorded, folder / f"rank{rank}.npz")


def _with_and_without_a_head(folder: Path) -> None:
    for name, more in (("mine", ["--edit", "layers.11.self_attn head 3: zero"]), ("reference", [])):
        _tracetui("trace", "smollm2", "-p", _CAPITALS, *more, "-o", str(folder / f"{name}.npz"))


def _exploding(folder: Path) -> None:
    """A run whose norms grow ten thousand times in one layer."""
    prompt = "The capital of France is"
    _tracetui("trace", "llama-tiny", "-p", prompt, "--edit", "layers.3.mlp: scale 1e5", "-o", str(folder / "big.npz"))


PICTURES: Mapping[str, Picture] = {
    "screen": Picture(
        f"run smollm2 --fresh -p '{_CAPITALS}' --break layers.11.self_attn",
        ("c", WAIT, "3", *("right_square_bracket",) * 3),
    ),
    "nan": Picture(f"run ./my-port --fresh -p '{_QUESTION}' ", ("c", WAIT, "2"), _with_a_nan),
    "diff": Picture("diff mine.npz reference.npz --tui", (), _with_and_without_a_head),
    "experts": Picture(f"run deepseek-v3-mini --fresh --layers 0:6 -p '{_QUESTION}' --break lm_head", ("c", WAIT, "4")),
    "timeline": Picture(
        "open big.npz --fresh", ("s", *("right_curly_bracket",) * 4, "percent_sign", "1", WAIT), _exploding
    ),
    "latent": Picture(
        f"run deepseek-v3-mini --fresh --layers 0:6 -p '{_QUESTION}' --break lm_head",
        ("c", WAIT, "3", *("a",) * 4),
    ),
    "quantised": Picture(f"quantised my-model my-model-4bit -p '{_QUESTION}' --tui", (), _quantised),
    "ranks": Picture(
        "open run.trace --fresh",
        ("ctrl+o", "1", "space", "q", "underscore", "p", "enter", WAIT, "F", "1", "enter", WAIT),
        _on_four_ranks,
    ),
}
"""By the names of their files in docs/."""


def take(name: str) -> None:
    """Write one picture. It takes the whole process: a session's thread and the user's settings are replaced."""
    picture = PICTURES[name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(XDG_STATE_HOME=f"{folder}/state", XDG_CONFIG_HOME=f"{folder}/config", COLORTERM="truecolor")
        os.environ.setdefault("TERM", "xterm-256color")
        os.chdir(folder)  # so that names on the screen are those of files alone
        picture.prepare(Path(folder))
        _open(picture, DOCS / f"{name}.svg")


def _open(picture: Picture, target: Path) -> None:
    import tracetui.commands.screen as screen
    import tracetui.commands.terminal as terminal
    import tracetui.ui.terminal.last_resort as last_resort

    def run_app(app: Any) -> int:
        asyncio.run(_drive(app, picture.keys, target))
        return 0

    last_resort.run_app = run_app  # type: ignore[assignment]
    terminal.require_terminal = lambda *given: None
    screen.require_terminal = lambda *given: None  # type: ignore[attr-defined]
    _tracetui(*shlex.split(picture.command))


async def _drive(app: Any, keys: tuple[str, ...], target: Path) -> None:
    async with app.run_test(size=_SIZE) as pilot:
        await _until_still(app, pilot)
        for key in keys:
            if key == WAIT:
                await _until_still(app, pilot)
            else:
                await pilot.press(key)
                await pilot.pause(0.3)
        await _until_still(app, pilot)
        target.write_text(app.export_screenshot(title="tracetui"))
        app.exit()


async def _until_still(app: Any, pilot: Any) -> None:
    """Until the screen shows the same for a while, and nothing runs any more."""
    await pilot.pause(2.0)  # before its first paint there is no picture of it
    shown, still, waited = "", 0, 0.0
    while still < 6 and waited < _MOST_SECONDS:
        await pilot.pause(0.5)
        now = app.export_screenshot()
        still, shown, waited = still + 1 if now == shown else 0, now, waited + 0.5


def _tracetui(*arguments: str) -> None:
    from tracetui.cli import main

    sys.argv = ["tracetui", *arguments]
    main()


if __name__ == "__main__":
    names = sys.argv[1:] or list(PICTURES)
    if len(names) == 1:
        take(names[0])
        sys.stdout.write(f"docs/{names[0]}.svg\n")
    else:
        for each in names:
            os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "tests.pictures", each])
