"""What a rank file does not say: how text is split before merging, and which special tokens stand above the ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K_PATTERN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3_SPECIALS = 256


@dataclass(frozen=True, slots=True)
class Family:
    """A way of turning ranks into a tokenizer."""

    name: str
    pattern: str
    """The regular expression whose matches are merged one by one."""
    specials: Callable[[int], Mapping[str, int]]
    """From the number of ranks to the special tokens' ids by name."""
    bos: str = ""
    """The special token that the models of this family get in front of a prompt; empty for none."""
    ranks: int | None = None
    """How many ranks the one true file has; None where files of any size are good."""
    holes: frozenset[int] = frozenset()
    """Ranks that the file leaves out, because a special token has the id."""
    file: str = ""
    """The encoding whose rank file is used, if not that of its own name."""


def llama3_specials(first: int) -> dict[str, int]:
    """The 256 special tokens of Llama 3 in the order of their ids."""
    named = ["<|begin_of_text|>", "<|end_of_text|>"]
    named += [f"<|reserved_special_token_{number}|>" for number in range(4)]
    named += ["<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>"]
    named += [f"<|reserved_special_token_{number}|>" for number in range(5, _LLAMA3_SPECIALS - len(named) + 5)]
    return {name: first + place for place, name in enumerate(named)}


def builtin_specials(first: int) -> dict[str, int]:
    """The two special tokens of the tokenizer that ships with tracetui."""
    return {"<|begin_of_text|>": first, "<|end_of_text|>": first + 1}


def _harmony_specials(_: int) -> dict[str, int]:
    named = {
        "<|startoftext|>": 199998,
        "<|endoftext|>": 199999,
        "<|return|>": 200002,
        "<|constrain|>": 200003,
        "<|channel|>": 200005,
        "<|start|>": 200006,
        "<|end|>": 200007,
        "<|message|>": 200008,
        "<|call|>": 200012,
        "<|endofprompt|>": 200018,
    }
    reserved = set(range(200000, 201088)) - set(named.values())
    return named | {f"<|reserved_{token_id}|>": token_id for token_id in sorted(reserved)}


def _fixed(**ids: int) -> Callable[[int], Mapping[str, int]]:
    return lambda _: {f"<|{name}|>": token_id for name, token_id in ids.items()}


_CL100K_SPECIALS = _fixed(endoftext=100257, fim_prefix=100258, fim_middle=100259, fim_suffix=100260, endofprompt=100276)
_GPT2_SPECIALS = _fixed(endoftext=50256)

LLAMA3 = Family("Llama 3", LLAMA3_PATTERN, llama3_specials, bos="<|begin_of_text|>")
BUILTIN = Family("built-in", LLAMA3_PATTERN, builtin_specials, bos="<|begin_of_text|>")

ENCODINGS = {
    family.name: family
    for family in (
        Family("gpt2", _GPT2_PATTERN, _GPT2_SPECIALS, ranks=50256, file="r50k_base"),
        Family("r50k_base", _GPT2_PATTERN, _GPT2_SPECIALS, ranks=50256),
        Family("p50k_base", _GPT2_PATTERN, _GPT2_SPECIALS, ranks=50280, holes=frozenset({50256})),
        Family("cl100k_base", LLAMA3_PATTERN, _CL100K_SPECIALS, ranks=100256),
        Family("o200k_base", _O200K_PATTERN, _fixed(endoftext=199999, endofprompt=200018), ranks=199998),
        Family("o200k_harmony", _O200K_PATTERN, _harmony_specials, ranks=199998, file="o200k_base"),
    )
}
"""The encodings that tiktoken knows by name."""
