"""What a record is, with this model's numbers, what a healthy one looks like, and what to try."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tracetui.analysis.axes import axes_of
from tracetui.debugger.state import ScreenState
from tracetui.recipe.fields.explain import explanation
from tracetui.recording.record import is_layer

_AXES = {
    "B": ("prompts", ""),
    "T": ("tokens", ""),
    "S": ("keys", ""),
    "D": ("channels of the residual stream", "hidden_size"),
    "H": ("query heads", "num_attention_heads"),
    "G": ("kv heads", "num_key_value_heads"),
    "K": ("numbers of a head", "head_dim"),
    "Kv": ("numbers of a head's value", "head_dim"),
    "F": ("features of the feed-forward block", "intermediate_size"),
    "V": ("tokens of the vocabulary", "vocab_size"),
    "E": ("experts", "num_experts"),
    "A": ("experts of a token", "num_experts_per_tok"),
    "N": ("tokens of all prompts", ""),
    "R": ("numbers of the latent", "kv_lora_rank"),
    "H·K": ("heads side by side", "num_attention_heads"),
    "G·K": ("kv heads side by side", "num_key_value_heads"),
    "G·Kv": ("kv heads side by side", "num_key_value_heads"),
}
_WORDS_OF_PANE = {
    "tensor": ("kv head", "rotary_emb#1"),
    "attention": ("kv head", "softmax·V", "sink"),
    "experts": ("margin", "Gini", "load"),
    "logits": ("lens",),
}
_PART = re.compile(r"#\d+")
_NORM = re.compile(r"(?:^|_)(?:layer)?norm|^ln_|norm$")


@dataclass(frozen=True, slots=True)
class LessonLine:
    """One line: a label, and what is said."""

    label: str
    text: str


def lesson(state: ScreenState, pane: str) -> Iterator[LessonLine]:
    """Of the record looked at and the pane in front."""
    tables = _tables()
    if state.cursor >= 0:
        record = state.record
        about = _about(record.role, record.module, tables)
        yield LessonLine("", record.key)
        yield LessonLine("what", about["what"])
        yield LessonLine("formula", about["formula"])
        yield from _shape(state)
        yield LessonLine("healthy", about["healthy"])
        yield LessonLine("try", about["try"])
    if (of_pane := tables["panes"].get(pane)) is not None:
        yield LessonLine("this pane", of_pane["what"])
    for word in _WORDS_OF_PANE.get(pane, ()):
        yield LessonLine(word, str(tables["words"][word]))


def words_in(text: str, pane: str) -> Iterator[LessonLine]:
    """The words of a pane's own that stand in a text, each explained."""
    for word in _WORDS_OF_PANE.get(pane, ()):
        if word in text or (_PART.search(word) and _PART.search(text)):
            yield LessonLine(word, str(_tables()["words"][word]))


def _about(role: str, module: str, tables: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Mapping[str, str]:
    """The entry of a role, of a module's last name, or of modules of its kind."""
    modules, name = tables["modules"], module.rpartition(".")[2]
    if role in tables["roles"]:
        return tables["roles"][role]
    if name in modules and name not in ("layer", "module"):
        return modules[name]
    if name in ("attn", "attention", "self_attention"):
        return modules["self_attn"]
    if _NORM.search(name):
        return modules["norm"]
    return modules["layer" if is_layer(module) and not role else "module"]


def _shape(state: ScreenState) -> Iterator[LessonLine]:
    """Its axes with this model's numbers, and the fields of the configuration that decide them."""
    config = state.trace.run.config
    axes = [axis for axis in axes_of(state.record, config) if axis.name]
    if not axes:
        return
    named = ", ".join(f"{axis.name}={axis.length} {_AXES.get(axis.name, ('', ''))[0]}".rstrip() for axis in axes)
    yield LessonLine("shape", named)
    family = str(config.get("model_type", ""))
    for field in dict.fromkeys(_AXES.get(axis.name, ("", ""))[1] for axis in axes):
        if field and field in config and (text := explanation(field, family)):
            yield LessonLine("config", f"{field} = {config[field]}: {text}")


@cache
def _tables() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    text = resources.files("tracetui.debugger").joinpath("lessons.toml").read_text("utf-8")
    tables: dict[str, dict[str, dict[str, str]]] = tomllib.loads(text)
    return tables
