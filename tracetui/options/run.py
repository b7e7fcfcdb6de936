"""The options of a run, with a screen or without."""

from __future__ import annotations

import argparse

from tracetui.expr.actions import help_lines as edit_help
from tracetui.expr.names import help_lines


def add_run(parser: argparse.ArgumentParser) -> None:
    """What a run takes, with a screen or without."""
    _add_model(parser)
    _add_prompts(parser)
    _add_kept(parser)
    _add_generation(parser)
    _add_stops(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_layers(parser)
    parser.add_argument(
        "--weights", metavar="random|hub|PATH", help="a folder with weights, `random`, or `hub` to fetch them"
    )
    parser.add_argument("--tokenizer", metavar="PATH|NAME", help="a tokenizer file, a tiktoken encoding, or `builtin`")
    parser.add_argument(
        "--dtype", type=_dtype, choices=("auto", "float32", "bfloat16", "float16"), help="fp32, bf16 and fp16 for short"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of random weights")
    parser.add_argument(
        "--mla", choices=("naive", "absorb"), help="latent attention from every head's keys and values, or the latent"
    )
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help="weights that may stay in memory for the next prompt, 0 for none; default: half of what is free",
    )


def _dtype(said: str) -> str:
    return {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}.get(said, said)


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    """What is run: one row, or a batch of them; without any of these the recipe's own."""
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("-p", "--prompt", metavar="TEXT|@FILE", action="append", help="given again: a batch")
    rows.add_argument("--batch", metavar="FILE", help="a file of prompts, one a line")
    rows.add_argument("--tokens", metavar="1,2,3", action="append", help="token ids instead; given again: a batch")
    rows.add_argument("--random-tokens", metavar="4x64", help="rows of random token ids")
    parser.add_argument("--chat", action="store_true", help="each prompt goes through the model's chat template")
    parser.add_argument("--system", metavar="TEXT", help="the system's message of such a chat")
    parser.add_argument(
        "--no-special", dest="special", action="store_false", help="names of special tokens in a prompt stay text"
    )


def _add_kept(parser: argparse.ArgumentParser) -> None:
    """What of the tensors stays, and where."""
    kept = parser.add_argument_group("what is recorded")
    kept.add_argument(
        "--keep",
        metavar="all|stats|GLOB",
        action="append",
        help="whose values are kept, such as layers.7.mlp or '*.gate'; given again: more. Of the others: statistics",
    )
    kept.add_argument(
        "--attention",
        choices=("qkv", "scores", "probs"),
        help="record the full matrices too: scores before and after the mask, and probabilities",
    )
    kept.add_argument(
        "--lens",
        type=int,
        nargs="?",
        const=5,
        metavar="K",
        help="record what each layer's residual would predict: the K most probable tokens, 5 without a number",
    )
    kept.add_argument("--values", metavar="SIZE", help="memory for values; default: half of what the run leaves free")
    kept.add_argument("--spill", metavar="SIZE", help="disk for values beyond that; default: half of what is free")
    kept.add_argument("--spill-folder", metavar="FOLDER", help="where they lie until the program ends")


def _add_generation(parser: argparse.ArgumentParser) -> None:
    """Whether the model goes on from its prompt, and how it chooses."""
    going = parser.add_argument_group("generation")
    going.add_argument(
        "--generate", type=int, metavar="N", help="add N tokens, each the most probable; a pass for each but the last"
    )
    going.add_argument("--temperature", type=float, metavar="X", help="draw tokens instead, from logits over this")
    going.add_argument("--top-k", type=int, metavar="K", help="draw only from the K most probable")
    going.add_argument("--top-p", type=float, metavar="P", help="draw only from the most probable that have P together")
    going.add_argument("--sample-seed", type=int, metavar="N", help="of the draws; default: 0")
    going.add_argument("--eos", metavar="1,2|none", help="ids that end a row; default: the configuration's")


def _add_stops(parser: argparse.ArgumentParser) -> None:
    """Where the run waits; without a screen: what makes it end with status 1."""
    stops = parser.add_argument_group("stops and edits")
    stops.add_argument(
        "--break",
        dest="stops",
        metavar="EXPR",
        action="append",
        help="a site, a condition, or both: layers.7.mlp, '*.mlp if norm > 100', 'nan'; given again: more",
    )
    stops.add_argument(
        "--no-default-stops", dest="default_stops", action="store_false", help="without the stops nan and inf"
    )
    stops.add_argument(
        "--edit",
        dest="edits",
        metavar="EXPR|@F.npz",
        action="append",
        help="change a tensor before the model goes on: 'layers.3.self_attn head 5: zero'; given again: more; "
        "@F.npz: a recorded run's edits",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    edits = ("edits, SITE … : ACTION:", *edit_help())
    parser.epilog = "\n".join(("names in conditions:", *help_lines(), "", *edits))


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a recipe's name or file, a model's folder, or its id on the hub"
    )


def add_layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layers", metavar="N|A:B", help="only the first N layers, or A to B-1")
