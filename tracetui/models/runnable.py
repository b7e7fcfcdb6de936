"""A recipe made ready to run: the model without memory, its weight source, its tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.session import Module, PromptRow
from tracetui.models.build import BuiltModel, build_model
from tracetui.models.chat.prompt_files import PromptFiles
from tracetui.models.checkpoints.forms import open_checkpoint
from tracetui.models.checkpoints.protocol import Checkpoint
from tracetui.models.checkpoints.weight_file import WeightFile
from tracetui.models.config_help.layer_fields import config_field
from tracetui.models.devices.chosen import CPU, device_of
from tracetui.models.devices.tables import move_tables
from tracetui.models.memory import plan as memory
from tracetui.models.memory.device import on_device
from tracetui.models.module_tree import known_model
from tracetui.models.outline import outline_of
from tracetui.models.prompt_rows import PromptReader
from tracetui.models.recordable.unshown import unshown
from tracetui.models.tokenizers import Tokenizer, load_tokenizer
from tracetui.models.weights.exact import WidenedSource
from tracetui.models.weights.expert_counts import check_routers
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sources import FirstOf, WeightSource
from tracetui.models.weights.streaming import Weights
from tracetui.models.weights.weight_prints import PrintedSource
from tracetui.recipe import DTYPES, Prompts, Recipe
from tracetui.recording.weight_prints import WeightPrints
from tracetui.text import visible

RANDOM_REMARK = "random weights predict nothing: these tokens come from the seed, not from learning"
MIXED_REMARK = "some weights are random: what the model predicts means nothing"
BUILTIN_REMARK = "tracetui's own tokenizer cuts the text, not the model's: its ids mean other words to trained weights"
CUT_REMARK = "layers were left out: what the model predicts means nothing"
_READ_BY = ("n_group", "topk_group", "rope_interleave")
"""Fields that routing and rotary embedding are read by, also where the recipe leaves them to the family's class."""


class RowReader(Protocol):
    """Makes rows of tokens of what a user asks for."""

    def read(self, prompts: Prompts) -> tuple[PromptRow, ...]:
        """The rows, in order. Raises InputError for what the model can't take."""
        ...

    def check_length(self, positions: int) -> None:
        """Raises InputError for more positions than the model has."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Runnable:
    """Everything that a run needs; nothing large is in memory yet."""

    recipe: Recipe
    built: BuiltModel
    weights: Weights
    tokenizer: Tokenizer
    reader: RowReader
    notes: tuple[str, ...]
    layout: str = ""
    """The form of the checkpoint, `meta`, `huggingface` or `reference`; empty without one. Traces keep it."""
    files: Sequence[WeightFile] = ()
    """What weights are read from."""
    prompt_files: PromptFiles | None = None
    """What prompts are read by; None where that is no file's."""
    weight_prints: WeightPrints = field(default_factory=dict)
    """What is remembered of the weights that were read; grows while the model runs."""

    def prints(self) -> WeightPrints:
        """What is remembered of the weights of a run that begins now."""
        return self.weight_prints

    def check_files(self) -> None:
        """Raise FileChangedError if a file that weights are read from isn't what it was when it was opened."""
        for file in self.files:
            file.check()

    @property
    def changed_files(self) -> tuple[Path, ...]:
        """The files that weights or prompts are read by and that aren't what they were when they were opened."""
        weights = tuple(file.path for file in self.files if file.is_changed)
        return weights if self.prompt_files is None else (*weights, *self.prompt_files.changed)

    def outline(self) -> Module:
        """The module tree."""
        return outline_of(self.recipe, self.built)

    def plan(self, base: int, tokens: int, rows: int, new: int, steps: bool = False) -> MemoryPlan:
        """The memory for `rows` prompts, the longest of so many tokens, and `new` ones that the model chooses.

        base: bytes that the process held before weights. steps: some layer's attention is computed step by step.
        """
        built, weights, lens = self.built, self.weights, self.recipe.lens
        itemsize, absorbs = built.dtype.itemsize, self.recipe.mla == "absorb"
        planned = memory.plan_run(built.module, weights, itemsize, tokens, base, rows, absorbs, steps)
        planned = memory.with_lens(planned, built.module, itemsize, rows * tokens, lens)
        of_a_pass = planned.activations
        planned = memory.with_passes(planned, built.module, weights, itemsize, tokens, rows, new)
        if self.device != CPU:
            planned = on_device(planned, weights, of_a_pass)
        return memory.within(planned, self.recipe)

    def described(self, ran: Recipe) -> tuple[dict[str, object], Mapping[str, object]]:
        """The recipe as it was run, and the configuration, in the form in which a trace stores them."""
        fields = {**ran.plain(), "dtype": str(self.built.dtype).removeprefix("torch."), "layout": self.layout}
        return fields, {**_of_the_class(self.built.config), **self.recipe.config}

    def call(self, prompts: Prompts) -> Callable[[], Any] | None:
        """How the model is called for these prompts; None: as a causal model, with their ids."""
        return None

    @property
    def device(self) -> torch.device:
        """Where token ids belong."""
        return self.weights.device

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """What a pass runs under."""
        device = self.device
        current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
        with torch.inference_mode(False), torch.no_grad(), current:
            yield


def make_runnable(
    recipe: Recipe,
    exact: bool = False,
    over: Callable[[WeightSource], WeightSource] | None = None,
    stands: Callable[[BuiltModel, WeightSource], Weights] | None = None,
) -> Runnable:
    """Build the model of a recipe's configuration and open what it needs. Raises InputError.

    exact: the same weights, in float64. over: makes the source that weights are read from of the recipe's own.
    stands: makes what stands for its weights, where they don't come and go.
    """
    device = device_of(recipe.device)
    checkpoint = open_checkpoint(recipe)
    dtype = _dtype(recipe, checkpoint)
    built = build_model(recipe, torch.float64 if exact else dtype)
    check_routers(built.module, recipe)
    stored = checkpoint.source_for(built.module) if checkpoint else None
    random = RandomSource(recipe.seed, float(config_field(built.config, "initializer_range") or 0.02))
    source: WeightSource = FirstOf(stored, random) if stored else random
    source = printed = PrintedSource(source)
    if over is not None:
        source = over(source)
    if exact:
        source = WidenedSource(source, _dtypes(recipe, dtype, source))
    if stands is None:
        weights = Weights(built.module, built.dtype, source, memory.weight_budget(recipe, device), device)
        move_tables(built.module, device)
    else:
        weights = stands(built, source)
    report = stored.report([slot.spec for _, slot in weights.all_slots()]) if stored else []
    notes = (
        *recipe.notes,
        *_about_dtype(recipe, built.dtype),
        *built.notes,
        *unshown(known_model(built.module)),
        *report,
        *_remarks(recipe, weights),
    )
    # Their state is taken before anything of them is read.
    prompt_files = PromptFiles(recipe)
    tokenizer = _tokenizer(recipe, built.config.vocab_size)
    # A family without a limit has none, or -1.
    positions = max(config_field(built.config, "max_position_embeddings") or 0, 0) or None
    reader = PromptReader(recipe, tokenizer, built.config.vocab_size, positions)
    form, files = (checkpoint.form if checkpoint else ""), (stored.files if stored else ())
    notes, prints = (*notes, *tokenizer.remarks), printed.prints
    return Runnable(recipe, built, weights, tokenizer, reader, notes, form, files, prompt_files, weight_prints=prints)


def _dtype(recipe: Recipe, checkpoint: Checkpoint | None) -> torch.dtype:
    """What the recipe says, else the file's, else the configuration's own."""
    if recipe.dtype != "auto":
        name: object = recipe.dtype
    elif checkpoint and checkpoint.dtype:
        return checkpoint.dtype
    else:
        name = _said_dtype(recipe)
    dtype = getattr(torch, name) if name in DTYPES and isinstance(name, str) else torch.bfloat16
    assert isinstance(dtype, torch.dtype)
    return dtype


def _said_dtype(recipe: Recipe) -> object:
    """What the configuration says; `torch.bfloat16` is written too."""
    dtype = recipe.config.get("dtype") or recipe.config.get("torch_dtype")
    return dtype.removeprefix("torch.") if isinstance(dtype, str) else dtype


def _about_dtype(recipe: Recipe, dtype: torch.dtype) -> tuple[str, ...]:
    """A remark if nothing can be computed in the configuration's dtype and the user chose no other."""
    name = _said_dtype(recipe)
    if recipe.dtype != "auto" or name in (None, *DTYPES):
        return ()
    used = str(dtype).removeprefix("torch.")
    remark = (
        f"dtype: {visible(str(name), 40)} is none that tracetui computes in; {used} is used (--dtype takes another)"
    )
    return (f"{Path(recipe.origin).name}: {remark}",)


def _dtypes(recipe: Recipe, dtype: torch.dtype, source: WeightSource) -> dict[str, torch.dtype]:
    """The dtype of every stored tensor, by checkpoint name, in the model as it is run."""
    weights = Weights(build_model(recipe, dtype).module, dtype, source, 0)
    return {slot.spec.name: slot.spec.dtype for _, slot in weights.all_slots()}


def _tokenizer(recipe: Recipe, vocabulary: int) -> Tokenizer:
    bos = recipe.config.get("bos_token_id")
    return load_tokenizer(recipe.tokenizer, vocabulary, bos if isinstance(bos, int) else None)


def _remarks(recipe: Recipe, weights: Weights) -> tuple[str, ...]:
    """What has to be said beside a prediction."""
    provenances = {slot.provenance for _, slot in weights.all_slots()}
    remarks = []
    if "random" in provenances:
        remarks.append(RANDOM_REMARK if provenances == {"random"} else MIXED_REMARK)
    elif recipe.tokenizer == "builtin" and recipe.prompts.texts:
        remarks.append(BUILTIN_REMARK)
    if left_out := recipe.layer_count - len(recipe.layers):
        remarks.append(f"{left_out} of {recipe.layer_count} {CUT_REMARK}")
    return tuple(remarks)


def _of_the_class(config: object) -> dict[str, object]:
    """What a trace tells of a configuration that the recipe may not say."""
    values = {name: config_field(config, name) for name in _READ_BY}
    return {name: value for name, value in values.items() if isinstance(value, int)}
