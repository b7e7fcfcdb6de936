"""An attention of which the heads aren't recorded on both sides: what is possible, by which tokens are off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.heads import call_of
from tracetui.analysis.diff.hints.scene import Hint, Scene, real, whole
from tracetui.analysis.diff.result import Outcome

_AFTER = (".self_attn:heads", ".self_attn:probs", ".self_attn.o_proj", ".self_attn", ":attn_residual")
"""Attention's results: where any of them agrees, the fault comes after it."""
_MADE_OF_HEADS = (".self_attn.o_proj", ".self_attn:heads", ".self_attn:probs")
"""What attention makes, of what lies in it; q_norm comes before."""
_KEYS = (".self_attn.kv_b_proj", ".self_attn.qkv_proj", ".self_attn.query_key_value", ".self_attn.c_attn")
_LATENT_NORMS = ("q_a_layernorm", "kv_a_layernorm")
_TEMPERATURES = ("attn_temperature_tuning", "llama_4_scaling_beta")
"""Fields by which queries far into a prompt are scaled."""
_FEWEST = 3
"""Tokens without which the first says nothing about the others."""
_OFTEN = 0.9
"""The share of the later tokens that are to be off."""
_ROUNDING = 0.1
"""Of the tolerance: what no more than that is off is so by rounding."""
_MORE = 8.0
"""By how much more than the first token another may be off by rounding."""
_NOT_ROTARY = "on one side, though no configuration has it"
_ROTARY = ("rope", "rotary", "use_rotary", "partial_rotary", "position_embedding_type")
"""How a configuration's fields of rotary positions begin."""
_CAPS = ("attn_logit_softcapping", "attn_logit_softcap")
_WINDOWS = ("sliding_window", "attention_window_size", "attention_chunk_size")


def scores_alone(scene: Scene) -> Hint | None:
    """The first tokens agree, which see nothing but each other, and the others don't: a window, or the scores."""
    y = scene.target
    if not scene.fed.gap or scene.record.layer is None or scene.record.pass_ or y.a.ndim != 3:
        return None
    if y.a.shape[1] < _FEWEST or _excluded(scene):
        return None
    apart = np.linalg.norm(y.a - y.b, axis=-1) / np.maximum(np.linalg.norm(y.b, axis=-1), 1e-30)  # [B,T]
    off = apart > 4 * scene.unit
    agreeing = int(off.any(axis=0).argmax()) if off.any() else 0
    if not agreeing or off[:, agreeing:].mean() < _OFTEN:
        return None
    if agreeing > 1 and not _is_turned_little(apart, agreeing, scene.unit):
        return _window(scene, agreeing, off) if off.shape[1] - agreeing > 1 else None
    return _scores(scene, apart, off)


def _is_turned_little(apart: Numbers, agreeing: int, unit: float) -> bool:
    """Whether the tokens [B,T] that agree behind the first do so by little: other scores may hardly change a mean."""
    rounding = max(float(apart[:, 0].max()), _ROUNDING * unit)
    return bool(apart[:, 1:agreeing].max() > _MORE * rounding)


def _excluded(scene: Scene) -> bool:
    """Whether the site isn't made of attention, or what attention made is known to agree."""
    inside = scene.place.startswith((".self_attn.", ".self_attn:")) and not scene.place.startswith(_MADE_OF_HEADS)
    if inside or (scene.place and not scene.place.startswith((".self_attn", ":attn", ".post", ".pre_feed"))):
        return True
    near = (scene.near(place) for place in _AFTER)
    return any(site is not None and site.outcome is Outcome.SAME for site in near) or scene.leaf.startswith(":q")


def _window(scene: Scene, width: int, off: Numbers) -> Hint | None:
    """Of two windows, the narrower one is as wide as the first queries to which it makes no difference."""
    evidence = (
        f"the first {width} tokens agree, which see no more than {width} keys, and {int(off[:, width:].sum())} of "
        f"{off[:, width:].size} later ones are off."
    )
    windows = _known_windows(scene)
    if len(set(windows.values())) == 1 < len(windows):
        return None
    other_way = "" if _values_agree(scene) else f"or what position {width} hands on to later ones is another"
    if not windows:
        title = f"One side's queries see {width} keys back, themselves included, the other's more"
        ways = ", ".join(filter(None, (f"{title} (a sliding window; neither side says which)", other_way)))
        return Hint("window", ways, evidence)
    side = "B" if "B" in windows else "A"
    other, known = ("A" if side == "B" else "B"), windows[side]
    if known == width:
        title = f"A window of {width} keys, as {side} has it, is left out or wider in {other}"
    elif known and known < width:
        title = f"From position {width} on a query sees other keys, beyond {side}'s window of {known}"
    else:
        title = f"{other}'s queries see {width} keys back, themselves included, {side}'s {known or 'all before them'}"
    if not known:
        tuned = next((f" ({name})" for name in _TEMPERATURES if scene.config.get(name)), "")
        scaled = f"or one side scales queries by their position{tuned}"
        title = f"{title} (a sliding window, which {side} has none of), {scaled}"
        return Hint("window", ", ".join(filter(None, (title, other_way))), evidence)
    title = f"{title} (a sliding window; sliding_window is {known})"
    return Hint("window", title if known == width else ", ".join(filter(None, (title, other_way))), evidence)


def _known_windows(scene: Scene) -> dict[str, int]:
    """The window of this layer by side, 0 for none: as recorded with the call, else as a side is configured."""
    calls = {side: call for side in "AB" if (call := call_of(scene, side)) is not None}
    if calls:
        return {side: call.sliding_window or 0 for side, call in calls.items()}
    return {side: whole(config, *_WINDOWS) for side, config in _configs(scene)}


def _configs(scene: Scene) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The sides that have a configuration; B first."""
    comparison = scene.comparison
    yield from (
        (side, trace.run.config) for side, trace in (("B", comparison.b), ("A", comparison.a)) if trace.run.config
    )


def _scores(scene: Scene, apart: Numbers, off: Numbers) -> Hint:
    agree = _turned_agree(scene)
    asked = "Record :heads" if agree else "Record :heads, or :q and :k,"
    known = "q, k and v agree: it is none of what makes them; " if agree else ""
    return Hint(
        "scores",
        f"The scores differ and nothing else: {_listed(list(_possible(scene, agree)))}",
        f"{known}the first token, which sees itself alone whatever its score, agrees to {apart[:, 0].max():.1e}: so do "
        f"values, the sharing of heads and the output projection; {int(off[:, 1:].sum())} of {off[:, 1:].size} "
        f"others are off. {asked} and it can be told which.",
    )


def _turned_agree(scene: Scene) -> bool:
    """Whether q and k as the kernel gets them were recorded on both sides, and agree."""
    sites = [scene.near(f".self_attn:{role}") for role in "qk"]
    return all(site is not None and site.outcome is Outcome.SAME for site in sites)


def _possible(scene: Scene, agree: bool) -> Iterator[str]:
    """What may still be: nothing that is recorded and agrees, all that this model has."""
    if not agree:
        if not _projections_agree(scene):
            yield "what q_proj and k_proj make (weights, rows, biases)"
        if any(scene.known(f".self_attn.{name}") for name in _LATENT_NORMS) and not _enters_alike(scene):
            yield "the scale of what enters attention (latents are normalised again, the turned part of k is not)"
        rotates = _may_rotate(scene)
        yield f"RoPE ({'its layout, base, scaling, share of a head, or what it turns' if rotates else _NOT_ROTARY})"
        yield from _norms(scene)
        yield "the order of q's or k's heads"
    yield "the softmax scale"
    caps = dict(_softcaps(scene))
    yield from (f"the softcap ({side}'s is {cap:g})" for side, cap in list(caps.items())[:1])
    yield "a bias on the scores" if caps else "a bias or cap on the scores"


def _may_rotate(scene: Scene) -> bool:
    """Whether either side turns queries and keys, as far as configurations and modules tell: GPT-2 and BLOOM don't."""
    configs = [config for _, config in _configs(scene)]
    traces = (scene.comparison.a, scene.comparison.b)
    told = any(name.startswith(_ROTARY) for config in configs for name in config)
    return not configs or told or any("rotary" in record.site for trace in traces for record in trace.records)


def _softcaps(scene: Scene) -> Iterator[tuple[str, float]]:
    """What caps the scores, by side: as recorded with the call, else as a side is configured."""
    for side in "BA":
        call = call_of(scene, side)
        if call is not None and call.softcap:
            yield side, call.softcap
    for side, config in _configs(scene):
        if cap := real(config, *_CAPS):
            yield side, cap


def _projections_agree(scene: Scene) -> bool:
    """Whether q and k as projected, apart or in one, agree."""
    names = [(".self_attn.q_proj", ".self_attn.q_b_proj", *_KEYS[1:]), (".self_attn.k_proj", *_KEYS)]
    near = [next((site for place in places if (site := scene.near(place)) is not None), None) for places in names]
    return all(site is not None and site.outcome is Outcome.SAME for site in near)


def _values_agree(scene: Scene) -> bool:
    """Whether what each position hands on to later ones, its key and its value, agrees."""
    names = [(".self_attn:k", ".self_attn.k_proj", *_KEYS), (".self_attn:v", ".self_attn.v_proj", *_KEYS)]
    near = [next((site for place in places if (site := scene.near(place)) is not None), None) for places in names]
    return all(site is not None and site.outcome is Outcome.SAME for site in near)


def _enters_alike(scene: Scene) -> bool:
    """Whether what enters attention was compared, and agrees."""
    site = scene.near(".input_layernorm")
    return site is not None and site.outcome is Outcome.SAME


def _norms(scene: Scene) -> Iterator[str]:
    """Norms of q and k that one side has and the other may lack."""
    if any(scene.known(f".self_attn.{name}_norm") for name in "qk"):
        sites = [scene.near(f".self_attn.{name}_norm") for name in "qk"]
        if not all(site is not None and site.outcome is Outcome.SAME for site in sites):
            yield "q_norm and k_norm (left out, or after RoPE)"


def _listed(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])}, or {parts[-1]}" if len(parts) > 1 else parts[0]
