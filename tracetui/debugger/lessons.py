"""What a record is, with this model's numbers, what a healthy one looks like, and what to try."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tracetui.analysis.axes import RECURRENT_AXES, Axis, axes_of
from tracetui.debugger.state import ScreenState
from tracetui.recipe.fields.explain import explanation
from tracetui.recording.record import is_layer
from tracetui.recording.trace import Trace

_AXES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "B": ("prompts", ()),
    "T": ("tokens", ()),
    "S": ("keys", ()),
    "D": ("channels of the residual stream", ("hidden_size",)),
    "H": ("query heads", ("num_attention_heads",)),
    "G": ("kv heads", ("num_key_value_heads",)),
    "K": ("numbers of a head", ("head_dim", "qk_head_dim")),
    "Kv": ("numbers of a head's value", ("v_head_dim", "head_dim")),
    "F": ("features of the feed-forward block", ("intermediate_size",)),
    "V": ("tokens of the vocabulary", ("vocab_size",)),
    "E": ("experts", ("num_experts", "n_routed_experts", "num_local_experts")),
    "A": ("experts of a token", ("num_experts_per_tok",)),
    "N": ("tokens of all prompts", ()),
    "n": ("tokens of this expert", ()),
    "R": ("numbers of the latent", ("kv_lora_rank",)),
    "rope": ("numbers of the rotary key", ("qk_rope_head_dim",)),
    "H·K": ("heads side by side", ("num_attention_heads",)),
    "G·K": ("kv heads side by side", ("num_key_value_heads",)),
    "G·Kv": ("kv heads side by side", ("num_key_value_heads",)),
}
"""What each axis counts, and the fields of the configuration that may decide it."""
_RECURRENT_AXES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **{axis: _AXES[axis] for axis in "BT"},
    "H": ("heads, or single channels", ()),
    "G": ("groups of heads", ()),
    "K": ("numbers of a head's key", ()),
    "V": ("numbers of a head's value", ()),
    "C": ("channels of the convolution", ()),
    "W": ("tokens kept", ()),
}
"""The same letters in a recurrence."""
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
    tables, config = _tables(), state.trace.run.config
    if state.cursor >= 0:
        record = state.record
        about = _about(record.role, record.module, tables, isinstance(config.get("kv_lora_rank"), int))
        yield LessonLine("", record.key)
        yield LessonLine("what", about["what"])
        yield LessonLine("formula", about["formula"])
        yield from _shape(state)
        base = list(_rope_base(record.role, record.module, config))
        yield from base
        yield LessonLine("healthy", about["healthy"])
        turned = [about["turned"]] if base and "turned" in about else []
        yield LessonLine("try", "; ".join([*turned, about["try"]]))
    if (of_pane := tables["panes"].get(pane)) is not None:
        yield LessonLine("this pane", of_pane["what"])
    counted = _with_heads(state.trace)
    yield from (_word(word, counted) for word in _WORDS_OF_PANE.get(pane, ()) if _belongs(word, state))


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


def _with_heads(trace: Trace) -> Mapping[str, object]:
    """The configuration; of a family that calls its heads otherwise, with those of the first attention recorded."""
    config = trace.run.config
    if all(field in config for field in _KV_FIELDS):
        return config
    query = trace.find(next(iter(tuple(trace.attention)), ""))
    key = trace.find(query.key.replace(":q", ":k", 1)) if query is not None else None
    if query is None or key is None or len(query.shape) != 4 or len(key.shape) != 4:
        return config
    return {**config, **dict(zip(_KV_FIELDS, (query.shape[1], key.shape[1]), strict=True))}


def _belongs(word: str, state: ScreenState) -> bool:
    """Whether a word of the pane's has a meaning in this model, and at this record."""
    if word == _KV_HEAD:
        return _shares(_with_heads(state.trace))
    return _PART.search(word) is None or (state.cursor >= 0 and _PART.search(state.record.key) is not None)


def _about(
    role: str, module: str, tables: Mapping[str, Mapping[str, Mapping[str, str]]], is_latent: bool
) -> Mapping[str, str]:
    """The entry of a role, of a module's last name, or of modules of its kind."""
    modules, name = tables["modules"], module.rpartition(".")[2]
    if role:
        of_latent = tables["latent"].get(role) if is_latent else None
        return of_latent or tables["roles"].get(role) or modules["inside"]
    if name in modules and name not in ("layer", "module", "inside"):
        return modules[name]
    if name in ("attn", "attention", "self_attention"):
        return modules["self_attn"]
    if _NORM.search(name):
        return modules["norm"]
    return modules["layer" if is_layer(module) else "module"]


def _shape(state: ScreenState) -> Iterator[LessonLine]:
    """Its axes with this model's numbers, and the fields of the configuration that decide them."""
    config = state.trace.run.config
    axes = [axis for axis in axes_of(state.record, config) if axis.name]
    if not axes:
        return
    known = _RECURRENT_AXES if state.record.role in RECURRENT_AXES else _AXES
    yield LessonLine("shape", ", ".join(_axis(axis, known.get(axis.name, ("", ()))[0]) for axis in axes))
    family = str(config.get("model_type", ""))
    for field in dict.fromkeys(_deciding(axis, known, config) for axis in axes):
        if text := explanation(field, family):
            yield LessonLine("config", f"{field} = {config[field]}: {text}")


def _deciding(axis: Axis, known: Mapping[str, tuple[str, tuple[str, ...]]], config: Mapping[str, object]) -> str:
    """The field behind an axis' length: one of as much, or of heads that lie side by side; empty if there is none."""
    _, fields = known.get(axis.name, ("", ()))
    length = axis.length if axis.whole is None else axis.whole
    return next((one for one in fields if one in config and ("·" in axis.name or config[one] == length)), "")


def _axis(axis: Axis, noun: str) -> str:
    """`T=12 tokens`, `B=1 prompt`."""
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
