"""At which tokens of a GGUF file's vocabulary generating stops: where llama.cpp stops, most of them by their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tracetui.formats.gguf import Metadata

END_NAMES = frozenset(
    (
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
        "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
        "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
    )
)  # fmt: skip
"""Ends of a text, of a turn or of a message."""
_BY_KEY: Mapping[str, tuple[str, ...]] = {
    "eos": (),
    "eot": (),
    "eom": (),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}
"""What a file may name by its id, and by which texts it is known where it doesn't."""
FILL_NAMES = frozenset(name for names in _BY_KEY.values() for name in names)
_ENDS_OTHERWISE = ("<|tool_response>", "<|plamo:eos|>")
_MIDDLE_ENDS = (
    ("<|return|>", "<|call|>"),
    ("<|return|>", "<|calls|>"),
    ("<|call|>", "<|flush|>"),
    ("<|calls|>", "<|flush|>"),
)


def end_token_ids(metadata: Metadata) -> list[int]:
    """In ascending order; empty for a file without a vocabulary."""
    tokens = metadata.texts("tokenizer.ggml.tokens") or ()
    names = END_NAMES | FILL_NAMES
    ids = {token: place for place, token in enumerate(tokens) if token in names}
    ends = {place for name, place in ids.items() if name in END_NAMES and not is_text(name, ids)}
    for key, texts in _BY_KEY.items():
        number = metadata.integer(f"tokenizer.ggml.{key}_token_id")
        ends |= {ids[text] for text in texts if text in ids} if number is None else {number} & set(range(len(tokens)))
    return sorted(ends)


def is_text(name: str, names: Collection[str]) -> bool:
    """Whether a name that ends others' texts doesn't end those of a vocabulary with these names."""
    if name == "</s>":
        return any(other in names for other in _ENDS_OTHERWISE)
    return name == "<|end|>" and any(all(other in names for other in others) for others in _MIDDLE_ENDS)
