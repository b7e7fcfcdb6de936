"""Every option of a run, once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tracetui.recipe.model import DTYPES, MLA_WAYS
from tracetui.recipe.options import readers
from tracetui.recipe.options.option import Group, Option
from tracetui.recording.keep import ATTENTION

_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

_MODEL = (
    Option(
        "layers", Group.MODEL, "only the first N layers, or A to B-1", readers.text, metavar="N|A:B", in_recipes=True
    ),
    Option(
        "weights",
        Group.MODEL,
        "a folder with weights, a .gguf file, `random`, or `hub` to fetch them",
        readers.text,
        metavar="random|hub|PATH",
        in_recipes=True,
    ),
    Option(
        "tokenizer",
        Group.MODEL,
        "a tokenizer file, a tiktoken encoding, or `builtin`",
        readers.text,
        "tokenizer",
        metavar="PATH|NAME",
        in_recipes=True,
    ),
    Option(
        "dtype",
        Group.MODEL,
        "fp32, bf16 and fp16 for short",
        readers.one_of(DTYPES, _SHORT),
        "dtype",
        choices=DTYPES,
        in_recipes=True,
    ),
    Option("seed", Group.MODEL, "of random weights", readers.seed, "seed", metavar="N", number=int, in_recipes=True),
    Option(
        "mla",
        Group.MODEL,
        "latent attention from every head's keys and values, or the latent",
        readers.one_of(MLA_WAYS),
        "mla",
        choices=MLA_WAYS,
        in_recipes=True,
    ),
    Option(
        "device",
        Group.MODEL,
        "where the model runs: cpu, cuda for the first GPU, cuda:1 for the second",
        readers.device,
        "device",
        metavar="cpu|cuda|cuda:N",
        in_recipes=True,
    ),
    Option(
        "memory",
        Group.MODEL,
        "weights that may stay in memory for the next prompt, 0 for none; default: half of what is free",
        readers.byte_count,
        "memory",
        metavar="SIZE",
    ),
)

_PROMPTS = (
    Option(
        "prompt",
        Group.PROMPTS,
        "given again: a batch",
        readers.prompts,
        flags=("-p", "--prompt"),
        metavar="TEXT|@FILE",
        repeated=True,
        alternative=True,
        in_recipes=True,
        example='prompt="…"',
    ),
    Option(
        "prompts",
        Group.PROMPTS,
        "a batch",
        readers.batch,
        on_the_command_line=False,
        alternative=True,
        example='prompts=["…", "…"]',
    ),
    Option(
        "batch",
        Group.PROMPTS,
        "a file of prompts, one a line",
        readers.text,
        metavar="FILE",
        alternative=True,
        in_python=False,
    ),
    Option(
        "tokens",
        Group.PROMPTS,
        "token ids instead; given again: a batch",
        readers.tokens,
        metavar="1,2,3",
        repeated=True,
        alternative=True,
        example="tokens=[1, 2, 3]",
    ),
    Option(
        "random_tokens",
        Group.PROMPTS,
        "rows of random token ids",
        readers.random_tokens,
        metavar="4x64",
        alternative=True,
        in_recipes=True,
        example="random_tokens=(4, 64)",
    ),
    Option(
        "chat",
        Group.PROMPTS,
        "each prompt goes through the model's chat template",
        readers.switch,
        switch=True,
        in_recipes=True,
        example="chat=True",
    ),
    Option(
        "system",
        Group.PROMPTS,
        "the system's message of such a chat",
        readers.text,
        metavar="TEXT",
        in_recipes=True,
        example='system="…"',
    ),
    Option(
        "special",
        Group.PROMPTS,
        "names of special tokens in a prompt stay text",
        readers.switch,
        flags=("--no-special",),
        switch=False,
        example="special=False",
    ),
)

_RECORDED = (
    Option(
        "keep",
        Group.RECORDED,
        "whose values are kept, such as layers.7.mlp or '*.gate'; given again: more. Of the others: statistics",
        readers.keep,
        "keep",
        metavar="all|stats|GLOB",
        repeated=True,
        example='keep=["*.gate"]',
    ),
    Option(
        "attention",
        Group.RECORDED,
        "record the full matrices too: scores before and after the mask, and probabilities",
        readers.one_of(tuple(ATTENTION)),
        "attention",
        choices=tuple(ATTENTION),
        example='attention="probs"',
    ),
    Option(
        "lens",
        Group.RECORDED,
        "record what each layer's residual would predict: the K most probable tokens, 5 without a number",
        readers.lens,
        "lens",
        metavar="K",
        number=int,
        bare=5,
        example="lens=5",
    ),
    Option(
        "values",
        Group.RECORDED,
        "memory for values; default: half of what the run leaves free",
        readers.byte_count,
        "room.memory",
        metavar="SIZE",
        example='values="2G"',
    ),
    Option(
        "spill",
        Group.RECORDED,
        "disk for values beyond that; default: half of what is free",
        readers.byte_count,
        "room.disk",
        metavar="SIZE",
        example='spill="20G"',
    ),
    Option(
        "spill_folder",
        Group.RECORDED,
        "where they lie until the program ends",
        readers.folder,
        "room.folder",
        metavar="FOLDER",
    ),
)

_GENERATION = (
    Option(
        "generate",
        Group.GENERATION,
        "add N tokens, each the most probable; a pass for each but the last",
        readers.whole,
        "generation.count",
        metavar="N",
        number=int,
        example="generate=8",
    ),
    Option(
        "temperature",
        Group.GENERATION,
        "draw tokens instead, from logits over this",
        readers.number,
        "generation.temperature",
        metavar="X",
        number=float,
    ),
    Option(
        "top_k",
        Group.GENERATION,
        "draw only from the K most probable",
        readers.whole,
        "generation.top_k",
        metavar="K",
        number=int,
    ),
    Option(
        "top_p",
        Group.GENERATION,
        "draw only from the most probable that have P together",
        readers.number,
        "generation.top_p",
        metavar="P",
        number=float,
    ),
    Option(
        "sample_seed",
        Group.GENERATION,
        "of the draws; default: 0",
        readers.whole,
        "generation.seed",
        metavar="N",
        number=int,
    ),
    Option(
        "eos",
        Group.GENERATION,
        "ids that end a row; default: the configuration's",
        readers.end_of_row,
        "generation.stop",
        metavar="1,2|none",
        example="eos=[2]",
    ),
)

_STOPS = (
    Option(
        "stops",
        Group.STOPS,
        "a site, a condition, or both: layers.7.mlp, '*.mlp if norm > 100', 'nan'; given again: more",
        readers.stops,
        flags=("--break",),
        metavar="EXPR",
        repeated=True,
        example='stops="*.mlp if norm > 100"',
    ),
    Option(
        "default_stops",
        Group.STOPS,
        "without the stops nan and inf",
        readers.switch,
        flags=("--no-default-stops",),
        switch=False,
        in_python=False,
    ),
    Option(
        "edits",
        Group.STOPS,
        "change a tensor before the model goes on: 'layers.3.self_attn head 5: zero'; given again: more; "
        "@F.npz: a recorded run's edits",
        readers.edits,
        "edits",
        flags=("--edit",),
        metavar="EXPR|@F.npz",
        repeated=True,
        example='edits="layers.3.mlp: zero"',
    ),
)

OPTIONS: Mapping[str, Option] = MappingProxyType(
    {option.name: option for option in (*_MODEL, *_PROMPTS, *_RECORDED, *_GENERATION, *_STOPS)}
)
"""By name, in the order in which they are told."""


def flag_of(name: str) -> str:
    """What an option is called on the command line."""
    return OPTIONS[name].flag


PLACE_FLAGS = (flag_of("stops"), flag_of("edits"), flag_of("keep"))
"""Of the options that name places of a model."""
