"""What a record is, with this model's numbers, what a healthy one looks like, and what to try."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tracetui.analysis.axes import Axis, axes_of
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
_KV_HEAD = "kv head"
_KV_FIELDS = ("num_attention_heads", "num_key_value_heads")
_ONE = re.compile(r"\b(prompt|token|key|channel|head|number|feature|expert)s\b")
_TURNED = ("q", "k")
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
        yield from _rope_base(record.role, record.module, state.trace.run.config)
        yield LessonLine("healthy", about["healthy"])
        yield LessonLine("try", about["try"])
    if (of_pane := tables["panes"].get(pane)) is not None:
        yield LessonLine("this pane", of_pane["what"])
    config = state.trace.run.config
    yield from (_word(word, config) for word in _WORDS_OF_PANE.get(pane, ()) if _belongs(word, state))


def words_in(text: str, pane: str) -> Iterator[LessonLine]:
    """The words of a pane's own that stand in a text, each explained."""
    for word in _WORDS_OF_PANE.get(pane, ()):
        if word in text or (_PART.search(word) and _PART.search(text)):
            yield _word(word, {})


def _word(word: str, config: Mapping[str, object]) -> LessonLine:
    """A word explained, with the model's own numbers where they are known."""
    text = str(_tables()["words"][word])
    return LessonLine(word, text.replace("{example}", _kv_example(config)))


def _kv_example(config: Mapping[str, object]) -> str:
    heads, kv_heads = (config.get(field) for field in _KV_FIELDS)
    if not isinstance(heads, int) or not isinstance(kv_heads, int) or not 0 < kv_heads < heads or heads % kv_heads:
        heads, kv_heads = 16, 4
    last, each = kv_heads - 1, heads // kv_heads
    return f"kv head {last} of 0–{last} with {heads} heads serves heads {last * each}–{heads - 1}"


def _shares(config: Mapping[str, object]) -> bool:
    """Whether heads may share keys and values: unless as many of both are known."""
    heads, kv_heads = (config.get(field) for field in _KV_FIELDS)
    return kv_heads is None or heads != kv_heads


def _belongs(word: str, state: ScreenState) -> bool:
    """Whether a word of the pane's has a meaning in this model, and at this record."""
    if word == _KV_HEAD:
        return _shares(state.trace.run.config)
    return _PART.search(word) is None or (state.cursor >= 0 and _PART.search(state.record.key) is not None)


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
    yield LessonLine("shape", ", ".join(_axis(axis) for axis in axes))
    family = str(config.get("model_type", ""))
    for field in dict.fromkeys(_AXES.get(axis.name, ("", ""))[1] for axis in axes):
        if field and field in config and (text := explanation(field, family)):
            yield LessonLine("config", f"{field} = {config[field]}: {text}")


def _axis(axis: Axis) -> str:
    """`T=12 tokens`, `B=1 prompt`."""
    noun, _ = _AXES.get(axis.name, ("", ""))
    named = noun if axis.length != 1 else _ONE.sub(r"\1", noun, count=1)
    return f"{axis.name}={axis.length} {named}".rstrip()


def _rope_base(role: str, module: str, config: Mapping[str, object]) -> Iterator[LessonLine]:
    """Of the angles, and of what is turned by them: what decides how fast each pair turns."""
    if role not in _TURNED and module.rpartition(".")[2] != "rotary_emb":
        return
    nested = config.get("rope_parameters")
    theta = config.get("rope_theta", nested.get("rope_theta") if isinstance(nested, Mapping) else None)
    if isinstance(theta, int | float):
        yield LessonLine("config", f"rope_theta = {theta:,.10g}: {explanation('rope_parameters.rope_theta', '')}")


@cache
def _tables() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    text = resources.files("tracetui.debugger").joinpath("lessons.toml").read_text("utf-8")
    tables: dict[str, dict[str, dict[str, str]]] = tomllib.loads(text)
    return tables
