"""The report's first sections: what ran, its prompts, what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.analysis.prediction import Prediction, next_tokens
from tracetui.export.report.markup import Html, bar, el, join, more, row, section, table, text
from tracetui.recipe.recorded.command import recorded_command
from tracetui.recording.record import is_layer
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError
from tracetui.text import number
from tracetui.views.tokens import token_label

_FACTS = (
    ("hidden_size", "hidden size"),
    ("num_attention_heads", "heads"),
    ("num_key_value_heads", "key-value heads"),
    ("vocab_size", "vocabulary"),
)
_ROWS = 8
_TOKENS = 400
_PREDICTIONS = 10
_NOTES = 30
_PROMPT, _COMMAND = 300, 4000
"""Characters at most."""


def head_part(trace: Trace, links: list[tuple[str, str]]) -> Html:
    """Model, facts, notes, and where to go."""
    name = trace.run.model or ("Named tensors" if trace.dump else "A trace")
    facts = (el("div", el("dt", title), el("dd", value)) for title, value in _facts(trace))
    notes = [el("li", note) for note in trace.run.notes[:_NOTES]]
    if not trace.complete:
        notes.insert(0, el("li", "The run was left before its end."))
    return el(
        "header",
        el("p", "tracetui report", class_="eyebrow"),
        el("h1", name),
        _prompt(trace),
        el("dl", *facts),
        _command(trace),
        el("ul", *notes, class_="notes") if notes else Html(""),
        el("nav", *(el("a", title, href=f"#{anchor}") for anchor, title in links)),
    )


def _prompt(trace: Trace) -> Html:
    """The first row's tokens as one text, or nothing."""
    if not trace.tokens or not trace.prompt_lengths[0]:
        return Html("")
    shown = "".join(token_label(token, 40) for token in trace.tokens[0][: trace.prompt_lengths[0]])
    rows = f" and {len(trace.tokens) - 1:,} more rows" if len(trace.tokens) > 1 else ""
    return el("p", text(shown, _PROMPT), rows, class_="prompt")


def _command(trace: Trace) -> Html:
    """What makes the run again, to be copied."""
    command = recorded_command(trace)
    if command is None:
        return Html("")
    return el("div", el("p", "This run again:", class_="quiet"), el("pre", text(command, _COMMAND)), class_="command")


def _facts(trace: Trace) -> Iterator[tuple[str, str]]:
    yield from _model_facts(trace)
    layers = len({record.layer for record in trace.records} - {None})
    dtypes = sorted({record.dtype for record in trace.records if is_layer(record.site)})
    if trace.tokens:
        yield "prompt", f"{len(trace.tokens)} × {max(map(len, trace.tokens))} tokens"
    yield "records", f"{len(trace.records):,}{f' in {layers} layers' if layers else ''}"
    if dtypes:
        yield "dtype", ", ".join(dtypes[:3])
    for field, title in _FACTS:
        if isinstance(value := trace.run.config.get(field), int):
            yield title, f"{value:,}"
    for title, value in (("tokenizer", trace.run.tokenizer), ("started", trace.run.started)):
        if value:
            yield title, value
    yield from [(name, str(value)) for name, value in sorted(trace.run.versions.items())][:6]


def _model_facts(trace: Trace) -> Iterator[tuple[str, str]]:
    recipe, config = trace.run.recipe, trace.run.config
    if config.get("model_type"):
        yield "family", str(config["model_type"])
    if recipe.get("weights"):
        yield "weights", str(recipe["weights"])
    if recipe.get("weights") == "random" and isinstance(recipe.get("seed"), int):
        yield "seed", str(recipe["seed"])
    if (built := _built_layers(trace)) is not None:
        yield "layers", built


def _built_layers(trace: Trace) -> str | None:
    """`0 to 3 of 61`, as the recipe and the configuration say."""
    layers, of = trace.run.recipe.get("layers"), trace.run.config.get("num_hidden_layers")
    if not isinstance(layers, list | tuple) or len(layers) != 2 or not all(isinstance(end, int) for end in layers):
        return None
    first, last = layers[0], layers[1] - 1
    whole = f" of {of:,}" if isinstance(of, int) else ""
    return (f"{first}" if first == last else f"{first} to {last}") + whole


def token_part(trace: Trace) -> Html:
    """Each prompt as a strip of tokens, special ones in outline."""
    strips = []
    for index, tokens in enumerate(trace.tokens[:_ROWS]):
        name = [el("h3", f"row {index}, {len(tokens)} tokens")] if len(trace.tokens) > 1 else []
        chips = (
            el("span", el("small", str(place)), token_label(token, 40), class_=_kind(trace, index, place))
            for place, token in enumerate(tokens[:_TOKENS])
        )
        strips += [*name, el("div", *chips, class_="tokens"), more(len(tokens) - _TOKENS, "tokens")]
    generated = any(map(int.__lt__, trace.prompt_lengths, map(len, trace.tokens)))
    added = ", and what it added, in coloured frames" if generated else ""
    strips.append(more(len(trace.tokens) - _ROWS, "rows"))
    return section(
        "tokens", "Tokens", *strips, lead=f"What the model was given{added}; a dot is a blank, ⏎ a line's end."
    )


def _kind(trace: Trace, row: int, place: int) -> str:
    if place >= trace.prompt_lengths[row]:
        return "added"
    return "special" if trace.tokens[row][place].special else "token"


def prediction_part(trace: Trace) -> Html:
    """The likeliest next tokens of each prompt; nothing without logits."""
    tables: list[Html] = []
    for index in range(len(trace.tokens[:_ROWS])):
        try:
            found = next_tokens(trace, _PREDICTIONS, index)
        except (NotKeptError, IndexError):
            return Html("")
        name = [el("h3", f"row {index}")] if len(trace.tokens) > 1 else []
        heads = ("token", "id", "probability", "logit", "<beside the first")
        tables += [*name, table(heads, _prediction_rows(found))] if found else []
    return section("next", "Next token", join(*tables), lead=_ABOUT) if tables else Html("")


def _prediction_rows(found: Sequence[Prediction]) -> list[Html]:
    return [
        row(
            el("td", el("code", token_label(each.token, 40)), class_="left"),
            str(each.token.id),
            f"{each.probability:.3%}",
            number(each.logit),
            bar(each.probability / (found[0].probability or 1.0)),
        )
        for each in found
    ]


_ABOUT = "What the model takes to be most probable after the last token."
