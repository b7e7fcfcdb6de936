"""What each command does, over the layers below; nothing here imports torch or textual before it must."""

from __future__ import annotations

import math
import os
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui import paths
from tracetui.errors import InputError
from tracetui.expr.edit import Edit, check_edits, parse_edit
from tracetui.expr.stop import DEFAULT_STOPS, Stop, parse_stops, with_defaults
from tracetui.paths import read_bounded
from tracetui.recipe import (
    Generation,
    Overrides,
    Prompts,
    Recipe,
    check_generation,
    check_rows,
    find_hub_id,
    load_recipe,
    parse_bytes,
    parse_ids,
    parse_random,
    parse_stop,
    read_batch,
    shipped_recipes,
)
from tracetui.recipe.hub import HUB, with_cached_weights
from tracetui.trace.keep import Room, check_folder, parse_keep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracetui.analysis.diff.noise import NoiseReport
    from tracetui.analysis.diff.report import Report
    from tracetui.analysis.diff.tolerance import Limits
    from tracetui.analysis.mapping.rules import Rules
    from tracetui.trace.trace import Trace
    from tracetui.ui.offer import Offer

MAX_PROMPT_BYTES = 2**20


def run(said: Namespace) -> int:
    """Open the debugger; returns its exit status."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("run: needs a terminal; `tracetui trace` works without one")
    stops = _stops(said)
    recipe = _recipe(said)
    # Textual paints at most so often; at its own 60 the numbers of a step come a frame or two late.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tracetui.tracer.live import LiveSession
    from tracetui.ui.app import TracetuiApp
    from tracetui.ui.last_resort import LastResort

    app = TracetuiApp(lambda listener: LiveSession(recipe, listener), _offer(recipe, stops))
    last_resort = LastResort(lambda: app._driver)
    app.told_to_end = last_resort.arm
    said_status = app.run()
    last_resort.disarm()
    status = said_status if said_status is not None else app.return_code or 0
    if not app.closed:
        # The model is deep inside one operation; the process must not wait for it.
        sys.stdout.flush()
        os._exit(status)
    return status


def open_trace(said: Namespace) -> int:
    """Show a recording in the debugger; returns its exit status."""
    from tracetui.recorded import RecordedSession, open_recording

    path = Path(said.trace)
    found = open_recording(path)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("open: needs a terminal; `tracetui info` works without one")
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tracetui.ui.app import TracetuiApp
    from tracetui.ui.offer import offer_of_recording

    app = TracetuiApp(lambda listener: RecordedSession(found, listener), offer_of_recording(found, path))
    status = app.run()
    return status if status is not None else app.return_code or 0


def trace(said: Namespace) -> int:
    """Run a prompt to its end and write what was recorded."""
    output = None if said.output is None else _output(said.output)
    said_stops = _stops(said)
    recipe = _recipe(said)
    from tracetui.headless import Stops, run_and_write

    stops = Stops(said_stops)
    for line in run_and_write(recipe, output, said.json, said.compress, stops):
        print(line)
    return 1 if stops.hits else 0


def info(said: Namespace) -> int:
    """Tell what is in a trace file."""
    from tracetui.trace.dumps import open_recorded
    from tracetui.trace.summary import describe

    path = Path(said.trace)
    found = open_recorded(path)
    for line in describe(found, path.stat().st_size):
        print(line)
    return 0


def diff(said: Namespace) -> int:
    """Compare two traces; returns 0 if they are the same, 1 if not."""
    from tracetui.analysis.diff.report import report
    from tracetui.analysis.diff.tolerance import Limits
    from tracetui.analysis.mapping.rules import Rules, read_rules
    from tracetui.trace.dumps import open_recorded
    from tracetui.views.diff_json import diff_json
    from tracetui.views.diff_lines import diff_lines

    limits = Limits(_limit("--rtol", said.rtol), _limit("--atol", said.atol))
    rules = Rules() if said.map is None else read_rules(Path(said.map))
    a, b = (open_recorded(Path(path)) for path in (said.a, said.b))
    names = (said.a, said.b)
    if said.tui:
        return _diff_screen(said, a, b, rules, limits)
    found = report(a, b, rules, limits, said.fuzzy)
    noise = None if not said.noise else _noise(found, names, said.model)
    for line in diff_json(found, noise) if said.json else diff_lines(found, names, said.all, noise=noise):
        print(line)
    return 0 if found.comparison.same else 1


def export(said: Namespace) -> int:
    """Write a trace's statistics, values or pictures, or a report, in other forms."""
    if said.html is not None and said.output is not None:
        raise InputError("--output: --html names its file itself")
    to = said.output if said.html is None else said.html
    output = None if to is None else _output(to)
    from tracetui.export.command import export

    for line in export(said, output):
        print(line)
    return 0


def _noise(found: Report, names: tuple[str, str], model: str | None) -> NoiseReport:
    from tracetui.analysis.diff.noise import measure_noise
    from tracetui.headless import told_rerun

    return measure_noise(found, *told_rerun((found.comparison.a, found.comparison.b), names, model))


def _diff_screen(said: Namespace, a: Trace, b: Trace, rules: Rules, limits: Limits) -> int:
    """Show two traces beside each other; behind them A in the debugger. Returns its exit status."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("diff: --tui needs a terminal; `tracetui diff A B` works without one")
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tracetui.headless import rerun_exactly
    from tracetui.recorded import RecordedSession
    from tracetui.ui.app import TracetuiApp
    from tracetui.ui.diff_work import Comparing
    from tracetui.ui.offer import offer_of_recording

    names = (said.a, said.b)

    def rerun(look_out: Callable[[], None]) -> tuple[str, Trace]:
        return rerun_exactly((a, b), names, said.model, lambda event: look_out())

    asked = Comparing(a, b, names, rules, limits, said.fuzzy, rerun, said.noise)
    app = TracetuiApp(lambda listener: RecordedSession(a, listener), offer_of_recording(a, Path(said.a)), asked)
    status = app.run()
    return status if status is not None else app.return_code or 0


def _limit(option: str, said: float | None) -> float | None:
    if said is not None and not (math.isfinite(said) and said >= 0):
        raise InputError(f"{option}: must be a number from 0 on, got {said}")
    return said


def models(said: Namespace) -> int:
    """List the recipes that ship with tracetui."""
    for name in shipped_recipes():
        recipe = load_recipe(name)
        layers = f"{len(recipe.layers)} of {recipe.layer_count} layers"
        if len(recipe.layers) == recipe.layer_count:
            layers = f"{recipe.layer_count} layers"
        print(f"{name:<24}{recipe.title}  ({layers}, {recipe.dtype})")
    return 0


def outline(said: Namespace) -> int:
    """Show a checkpoint's structure: shapes, parameter counts, and other implementations' names."""
    recipe = Overrides(layers=said.layers).apply(_load(said))
    from tracetui.models.structure import read_structure
    from tracetui.views.outline_lines import outline_json, outline_lines

    structure = read_structure(recipe, said.layout, only_built=said.layers is not None)
    for line in outline_json(structure) if said.json else outline_lines(structure, said.layout):
        print(line)
    return 0


def config(said: Namespace) -> int:
    """Explain a configuration: every field, its meaning, the shapes that it decides, contradictions."""
    recipe = _load(said)
    from tracetui.models.config_report import read_config
    from tracetui.views.config_lines import config_lines

    for line in config_lines(read_config(recipe)):
        print(line)
    return 0


def locate(said: Namespace) -> int:
    """Name a folder; for themes the shipped one first, then the user's own."""
    own = paths.config_dir()
    folders = {
        "config": [own],
        "themes": [paths.themes(), own / "themes"],
        "state": [paths.state_dir()],
        "cache": [paths.cache_dir()],
    }
    for folder in folders[said.what]:
        print(folder)
    return 0


def _recipe(said: Namespace) -> Recipe:
    recipe = _load(said)
    overrides = Overrides(
        layers=said.layers,
        dtype=said.dtype,
        seed=said.seed,
        tokenizer=said.tokenizer,
        weights=None if said.weights == HUB else said.weights,
        prompts=_taken(said, _prompts(said, recipe.prompts)),
        memory=said.memory,
        mla=said.mla,
        keep=None if said.keep is None else parse_keep(said.keep, "--keep"),
        attention=said.attention,
        room=_room(said),
        generation=_generation(said),
        lens=said.lens,
        edits=_edits(said.edits or ()),
    )
    recipe = overrides.apply(recipe)
    from tracetui.models.weight_files import check_weight_files

    if said.weights == HUB:
        from tracetui.hub.fetch import with_weights

        return with_weights(recipe, said.offline)
    recipe = with_cached_weights(recipe) if said.weights is None else recipe
    check_weight_files(recipe)
    return recipe


def _generation(said: Namespace) -> Generation:
    return check_generation(
        Generation(
            count=0 if said.generate is None else said.generate,
            temperature=said.temperature,
            top_k=said.top_k,
            top_p=said.top_p,
            seed=said.sample_seed,
            stop=None if said.eos is None else parse_stop(said.eos, "--eos"),
        )
    )


def _edits(said: Sequence[str]) -> tuple[Edit, ...]:
    """What the run changes; `@F.npz` stands for the edits of a recorded run."""
    found: list[Edit] = []
    for text in said:
        if text.startswith("@"):
            from tracetui.recipe.again import edits_of
            from tracetui.trace.dumps import open_recorded

            found.extend(edits_of(open_recorded(Path(text[1:])), text[1:]))
        else:
            found.append(parse_edit(text, "--edit"))
    return check_edits(found, "--edit")


def _stops(said: Namespace) -> tuple[Stop, ...]:
    """Where the run is to wait; a wrong one is refused before anything is loaded."""
    return with_defaults(parse_stops(said.stops or (), "--break"), said.default_stops)


def _room(said: Namespace) -> Room:
    return Room(
        memory=None if said.values is None else parse_bytes(said.values, "--values"),
        disk=None if said.spill is None else parse_bytes(said.spill, "--spill"),
        folder=None if said.spill_folder is None else check_folder(Path(said.spill_folder), "--spill-folder"),
    )


def _load(said: Namespace) -> Recipe:
    """The model's recipe; one on the hub that isn't here yet is fetched if the user wants it."""
    if (hub_id := find_hub_id(said.model)) is not None:
        from tracetui.hub.fetch import ensure_config

        ensure_config(hub_id, asked=getattr(said, "weights", None) == HUB, offline=said.offline)
    return load_recipe(said.model)


def _taken(said: Namespace, prompts: Prompts) -> Prompts:
    """The prompts with what the command line says about how to take texts."""
    chat = said.chat or prompts.chat
    if said.chat and not prompts.texts:
        raise InputError("--chat: needs texts; token ids go through no template")
    if said.system is not None and not chat:
        raise InputError("--system: is a message of a chat; give --chat too")
    system = prompts.system if said.system is None else said.system
    return replace(prompts, chat=chat, system=system, specials=said.special)


def _prompts(said: Namespace, own: Prompts) -> Prompts:
    """What is to be run: what the command line says, else the recipe's own."""
    if said.random_tokens is not None:
        return Prompts(random=parse_random(said.random_tokens, "--random-tokens"))
    if said.tokens is not None:
        check_rows(len(said.tokens), "--tokens")
        return Prompts(ids=tuple(parse_ids(row, "--tokens") for row in said.tokens))
    if said.batch is not None:
        return replace(own, texts=read_batch(Path(said.batch)), random=None)
    if said.prompt is None:
        return own
    check_rows(len(said.prompt), "--prompt")
    texts = tuple(map(_prompt, said.prompt))
    if len(texts) > 1 and not all(texts):
        raise InputError(f"--prompt: row {texts.index('')} is empty; every row of a batch is a prompt")
    return replace(own, texts=texts, random=None)


def _prompt(said: str) -> str:
    if not said.startswith("@"):
        return said
    path = Path(said[1:])
    try:
        return read_bounded(path, MAX_PROMPT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"--prompt: {path}: is not UTF-8 text, at byte {error.start}") from error


def _output(said: str) -> Path:
    """Where a trace shall go, refused before the model runs if it can't be written. Raises InputError."""
    path = Path(said)
    folder = path.absolute().parent
    try:
        if not path.name:
            problem = "names no file"
        elif path.is_dir():
            problem = "is a folder"
        elif path.exists() and not path.is_file():
            problem = "is not a regular file"
        elif not folder.is_dir():
            problem = "its folder doesn't exist"
        else:
            problem = "" if os.access(folder, os.W_OK | os.X_OK) else "its folder can't be written to"
    except OSError as error:
        problem = error.strerror or "can't be used"
    if problem:
        raise InputError(f"--output: {said or repr(said)}: {problem}")
    return path


def _offer(recipe: Recipe, stops: tuple[Stop, ...] = DEFAULT_STOPS) -> Offer:
    from tracetui.ui.offer import Offer

    return Offer(
        title=recipe.name,
        description=recipe.title,
        dtype=recipe.dtype,
        weights=_weights(recipe),
        prompts=recipe.prompts,
        tokenizer=recipe.tokenizer,
        facts=_facts(recipe),
        notes=recipe.notes,
        stops=stops,
        edits=recipe.edits,
    )


def _weights(recipe: Recipe) -> str:
    if recipe.weights is None:
        return f"random weights, seed {recipe.seed}"
    from_hub = recipe.hub and recipe.weights.name == recipe.commit
    return f"the hub's weights, {recipe.commit[:12]}" if from_hub else f"weights of {recipe.weights}"


def _facts(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "vocab_size")
    found = [(name, recipe.config.get(name)) for name in names]
    layers = ("layers", f"{len(recipe.layers)} of {recipe.layer_count}")
    latent = (("mla", recipe.mla),) if recipe.has_latent else ()
    return (layers, *((name, str(value)) for name, value in found if value is not None), *latent)
