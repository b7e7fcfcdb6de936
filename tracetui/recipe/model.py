"""The recipe itself, and the small values in it that have a syntax of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.errors import InputError
from tracetui.expr.edit import Edit, plain_edits
from tracetui.recipe.config import layer_count
from tracetui.recipe.generation import PROMPT_ALONE, Generation
from tracetui.recipe.prompts import NO_PROMPT, Prompts
from tracetui.recording.keep import KEEP_ALL, ROOM, Keep, Room
from tracetui.text import visible

if TYPE_CHECKING:
    from tracetui.recipe.factory import Factory

DTYPES = ("auto", "float32", "bfloat16", "float16")
MLA_WAYS = ("naive", "absorb")
"""Ways to compute latent attention."""
BUILTIN_TOKENIZER = "builtin"
MAX_SEED = 2**63 - 1
MAX_LENS = 100
"""Tokens that a lens keeps for each layer and place."""
_LATENT = "kv_lora_rank"
_BYTES = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_LAYERS = re.compile(r"(\d{0,6})(:?)(\d{0,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layers:
    """The decoder layers to build, `start` to `stop` - 1 as the checkpoint counts."""

    start: int
    stop: int

    def __contains__(self, layer: int) -> bool:
        return self.start <= layer < self.stop

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to build and run; every field is checked when the recipe is read."""

    name: str
    title: str
    origin: str
    """The file or folder that it was read from, for messages."""
    config: Mapping[str, object]
    """The model's configuration in transformers' field names, `model_type` among them."""
    layers: Layers
    dtype: str = "auto"
    """`auto` follows the weight file, else the configuration's own dtype, else it is bfloat16."""
    seed: int = 0
    device: str = "cpu"
    """`cpu`, `cuda`, or `cuda:1`; whether torch has it is known once that is loaded."""
    tokenizer: str = BUILTIN_TOKENIZER
    """`builtin`, the path of a tokenizer file or folder, or a tiktoken encoding's name."""
    weights: Path | None = None
    """A folder with a checkpoint, Meta's or Hugging Face's, or a GGUF file; None: random weights."""
    prompts: Prompts = NO_PROMPT
    """What is run unless somebody says otherwise."""
    memory: int | None = None
    """Bytes of weights that may stay in memory; None: half of what is available."""
    mla: str = MLA_WAYS[0]
    """`naive` expands keys and values for every head, `absorb` works on the latent; of models without one nothing."""
    mla_from: str = ""
    """The option that said `mla`; empty: the recipe's own file."""
    keep: Keep = KEEP_ALL
    """Which values a run keeps."""
    attention: str = "qkv"
    """Which of attention's matrices are recorded: one of `ATTENTION`."""
    room: Room = ROOM
    """How much memory and disk kept values may take."""
    generation: Generation = PROMPT_ALONE
    """Whether and how the model goes on from its prompts."""
    lens: int = 0
    """How many tokens are recorded that each layer's residual would predict, at every place; 0 for none."""
    edits: tuple[Edit, ...] = ()
    """What a run changes of the tensors that pass by."""
    notes: tuple[str, ...] = ()
    factory: Factory | None = None
    """The function that makes the model; then neither a configuration nor weights are the recipe's own."""
    hub: str = ""
    """`owner/name` of a model from the hub; empty for others."""
    commit: str = ""
    """The hub's commit that the model's files are of."""

    @property
    def prompt(self) -> str:
        """The text of the first prompt."""
        return self.prompts.text

    @property
    def layer_count(self) -> int:
        """Decoder layers of the whole model, built or not."""
        return layer_count(self.config) if self.config else 0

    @property
    def has_latent(self) -> bool:
        """Whether the configuration speaks of latent attention, so that there is a choice of ways."""
        return _LATENT in self.config

    def plain(self) -> dict[str, object]:
        """As it goes into a trace: plain data, and no path of the machine it ran on."""
        hub = {"hub": self.hub, "commit": self.commit} if self.hub else {}
        latent = {"mla": self.mla} if self.has_latent else {}
        return {
            "name": self.name,
            "title": self.title,
            "layers": [self.layers.start, self.layers.stop],
            "dtype": self.dtype,
            "seed": self.seed,
            **({} if self.device == "cpu" else {"device": self.device}),
            "tokenizer": Path(self.tokenizer).name,
            "weights": self.weights.name if self.weights else "random",
            **self.prompts.plain(),
            **hub,
            **latent,
            **({} if self.keep == KEEP_ALL else {"keep": self.keep.plain}),
            **({} if self.attention == "qkv" else {"attention": self.attention}),
            **self.generation.plain(),
            **({"lens": self.lens} if self.lens else {}),
            **({"edits": plain_edits(self.edits)} if self.edits else {}),
        }


def check_seed(seed: int, where: str) -> int:
    """The seed, if a generator takes it. Raises InputError."""
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"{where}: must be between 0 and {MAX_SEED}, got {seed}")
    return seed


def parse_layers(text: str, count: int, where: str) -> Layers:
    """`2` (the first two) or `3:7` (the third to the sixth, from 0) of a model of `count` layers."""
    match = _LAYERS.fullmatch(text.strip())
    if match is None or not match[0]:
        raise InputError(f"{where}: must be a count like 2 or a range like 3:7, got {visible(text, 40)!r}")
    start, colon, stop = match.groups()
    layers = Layers(int(start or 0), int(stop or count)) if colon else Layers(0, int(start))
    if not 0 <= layers.start < layers.stop <= count:
        problem = f"must lie within the model's {count} layers and hold at least one"
        raise InputError(f"{where}: {problem}, got {visible(text, 40)!r}")
    return layers


def parse_bytes(text: str, where: str) -> int:
    """`4G`, `512M`, `1.5GiB`, `0`: a size in binary units. Raises InputError."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{where}: must be a size like 4G or 512M, got {visible(text, 40)!r}")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))
