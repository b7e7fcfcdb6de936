"""How llama.cpp cuts a text into words before it merges, by the name that a GGUF file has for it.

A file holds the name alone (`tokenizer.ggml.pre`); the expressions are the models' own, as far as llama.cpp's engine
can do them: it knows no upper and lower case beyond ASCII, for one. https://github.com/ggml-org/llama.cpp,
src/llama-vocab.cpp of October 2026
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class WordCuts:
    """How text is cut, and what else goes by the same name."""

    patterns: tuple[str, ...]
    """Each applied to every piece that those before it made: its matches are pieces, and so is what lies between."""
    whole_words: bool = False
    """Whether a word that is a token becomes that one, whatever the merges would make of it."""
    adds_bos: bool = False
    """Whether a begin-of-text token stands in front, where the file doesn't say."""
    has_bos: bool = True
    """Whether there is one where the file names none."""
    by_characters: bool = False
    """Whether tokens are spelled in characters, `▁` for a blank, and not with one character per byte."""


_CONTRACTION = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_HALVING_BLANKS = "|".join(
    rf"\s{{{count}}}(?!\S)" for count in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2")
)
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKED_WORD = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_PATHS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_DIGIT, _THREE = r"\p{N}", r"\p{N}{1,3}"
_HIGH, _LOW = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
_IDEOGRAPHS = r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_FROM_U0800 = r"(?:(?!\s)[\u0800-\u9fa5\uac00-\ud7ff])+"
"""Whatever DeepSeek's first tokenizers take for Chinese, Japanese or Korean, which is all from U+0800 on."""
_HAN = r"[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002ebef\uf900-\ufaff\U0002f800-\U0002fa1f]"
_ASIAN = (
    r"[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
    r"\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+"
)
_LINES = r"[^\n]+|\n+"
_FROM_THE_RIGHT = r"\P{N}*\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
"""Digits in threes from the right; what stands before them stays with the first."""
_ALL_SIGNS = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"
_SIGN_AND_LETTERS = rf"{_ALL_SIGNS}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
_DEEPSEEK_LETTERS = (
    r"(?![\u0560\u0588\u10c7-\u10ff\u1c80-\u1c8f\u2d00-\u2d2d\ua78f-\uab6f\U00010570-\U000105bc\U00010d50-\U00010d85"
    r"\U00016e40-\U00016eff\U0001d400-\U0001dfff])[\p{Lu}\p{Ll}\p{Lt}\u0295]"
)
"""Letters of scripts with two cases, of those that the model's own list holds."""


def _either(*alternatives: str) -> str:
    return "|".join(alternatives)


def _cased(high: str, low: str, suffix: str) -> str:
    """Words that end where a small letter is followed by a capital one."""
    before = r"[^\r\n\p{L}\p{N}]?"
    return f"{before}{high}*{low}+{suffix}|{before}{high}+{low}*{suffix}"


_GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3_PATTERN = _either(_CONTRACTION, _WORD, _THREE, _SIGNS, _BLANKS)
_QWEN2_PATTERN = _either(_CONTRACTION, _WORD, _DIGIT, _SIGNS, _BLANKS)
_DEEPSEEK3_PATTERN = _either(_SIGN_AND_LETTERS, r" ?[\p{P}\p{S}]+[\r\n]*", _BLANKS)

_GPT2 = WordCuts((_GPT2_PATTERN,))
_LLAMA3 = WordCuts((_LLAMA3_PATTERN,))
_GLM = replace(_LLAMA3, has_bos=False)
_DIGITS_APART = WordCuts((_DIGIT, _GPT2_PATTERN))
_QWEN2 = WordCuts((_QWEN2_PATTERN,))
_DEEPSEEK3 = WordCuts((_THREE, _IDEOGRAPHS, _DEEPSEEK3_PATTERN))
_BLOOM = WordCuts((r" ?[^(\s|.,!?…。，、।۔،)]+",))
_GPT4O = WordCuts((_either(_cased(_HIGH, _LOW, f"(?:{_CONTRACTION})?"), _THREE, _PATHS, _BLANKS),))
_BAILING = WordCuts((_either(_CONTRACTION, _WORD, _DIGIT, _SIGNS, r"\s*[\r\n]|\s+(?!\S)|\s+"),))
_TINY_AYA = WordCuts(
    (_FROM_THE_RIGHT, _either(f"{_MARKED_WORD}(?:{_CONTRACTION})?", _THREE, _PATHS, _BLANKS)),
)
_KIMI = WordCuts(
    (
        _either(
            f"{_HAN}+",
            rf"[^\r\n\p{{L}}\p{{N}}]?(?:(?!{_HAN})\p{{L}})+(?:{_CONTRACTION})?",
            _THREE,
            _SIGNS,
            _BLANKS,
        ),
    )
)
_BY_LINES = WordCuts((_LINES,), by_characters=True)

DEFAULT = WordCuts((r"[\p{P}\$\+<=>\^~\|]+", _GPT2_PATTERN, r"\p{N}+", "[0-9][0-9][0-9]"))
"""What llama.cpp does with a file that names none."""

WORD_CUTS: Mapping[str, WordCuts] = {
    "default": DEFAULT,
    **dict.fromkeys(
        ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
        replace(_LLAMA3, whole_words=True, adds_bos=True),
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _LLAMA3),
    "chatglm-bpe": _GLM,
    **dict.fromkeys(("glm4", "glm5"), replace(_GLM, whole_words=True)),
    "jais-2": WordCuts((_either(_CONTRACTION, _WORD, _THREE, _SIGNS, r"\s*[\r\n]+", _HALVING_BLANKS, r"\s"),)),
    "minicpm5": WordCuts((_THREE, _either(_CONTRACTION, _WORD, r"\p{N}+", _SIGNS, _BLANKS)), whole_words=True),
    **dict.fromkeys(
        ("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "solar-open", "megrez", "grok-2"),
        _QWEN2,
    ),
    "qwen35": WordCuts(
        (_either(_CONTRACTION, _MARKED_WORD, _DIGIT, r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", _BLANKS),),
    ),
    "seed-coder": WordCuts((_either(_CONTRACTION, _WORD, _DIGIT, r" ?[^\s\p{L}\p{N}\r\n]+", _BLANKS),)),
    "ufakzeka": WordCuts((_either(_WORD, _DIGIT, _SIGNS, _BLANKS),)),
    "laguna": WordCuts((_LINES, _QWEN2_PATTERN)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), _BAILING),
    "exaone-moe": WordCuts(
        (
            _either(
                _CONTRACTION,
                r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+",
                _DIGIT,
                r" ?[^\s\p{L}\p{N}]+[\r\n/]?",
                r"\s*[\r\n]|\s+(?!\S)|\s+",
            ),
        )
    ),
    **dict.fromkeys(
        ("gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "mpt", "olmo", "jais", "trillion", "granite-docling"), _GPT2
    ),
    "exaone4": _GPT2,
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"), _DIGITS_APART
    ),
    "falcon": WordCuts((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2_PATTERN, "[0-9][0-9][0-9]")),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), _BLOOM),
    "viking": WordCuts((*_BLOOM.patterns, _DIGIT)),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"), _DEEPSEEK3),
    "deepseek-coder": WordCuts((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _FROM_U0800, _DIGIT)),
    "deepseek-llm": WordCuts(
        (
            r"[\r\n]",
            rf"\s?(?:{_DEEPSEEK_LETTERS})+",
            r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3001\u3002]+",
            r"\s+\Z",
            _FROM_U0800,
            r"\p{N}+",
        )
    ),
    "spark2_5": WordCuts(
        (
            _THREE,
            _IDEOGRAPHS,
            _either(_SIGN_AND_LETTERS, r" ?[\p{P}\p{S}]+", r"[\r\n]|\s+(?!\S)|\s+"),
            _DIGIT,
        )
    ),
    "youtu": WordCuts(
        (
            _either(
                r"[\uac00-\ud7a3\u3131-\u318e]+",
                r"[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+",
                r"[\u3105-\u312f]+",
                _IDEOGRAPHS,
            ),
            _either(f"{_MARKED_WORD}(?:{_CONTRACTION})?", _DIGIT, _PATHS, _BLANKS),
        ),
        whole_words=True,
    ),
    "tekken": WordCuts((_either(_cased(_HIGH, _LOW, ""), _DIGIT, _PATHS, _BLANKS),), whole_words=True, adds_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), _GPT4O),
    **dict.fromkeys(("tiny_aya", "cohere2moe"), _TINY_AYA),
    "kimi-k2": _KIMI,
    "superbpe": WordCuts((r"\p{N}+", r"(?=(?:[0-9]{3})+(?![0-9]))")),
    "afmoe": WordCuts(
        (
            _FROM_THE_RIGHT,
            _ASIAN,
            _DEEPSEEK3_PATTERN,
        )
    ),
    "chameleon": WordCuts(
        (
            "<sentinel:[0-9]+>",
            "IMGIMG[A-I]{1,4}Z",
            "[\\t\\n]|    |  ",
            _DIGIT,
            r"[\p{P}!-/:-@\[-`{-~]",
            _GPT2_PATTERN,
        ),
        adds_bos=True,
    ),
    "gemma4": replace(_BY_LINES, adds_bos=True),
    "sarvam-moe": _BY_LINES,
}
"""Those of models that encode only, which tracetui doesn't run, are left out."""
