"""What quantising did, part by part, against transformers' own logits of folders in which the same weights stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from tests.models.hf_files import expected_logits, saved
from tests.models.quantised.folders import quantised, with_weights
from tests.models.quantised.packing import FORMS, Tensors
from tracetui.analysis.quantised.damage import QuantisationReport, SwapDamage, SwapKind
from tracetui.errors import Cancelled, InputError
from tracetui.recipe import Recipe, load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.quantised.measure import Measurement
from tracetui.tracer.quantised.swapping import SwappingModel

IDS = [5, 17, 3, 99, 42]


@dataclass(frozen=True)
class Measured:
    plain: Path
    other: Path
    meant: Tensors
    report: QuantisationReport
    layer_rows: Counter[int]


def recipe(folder: Path) -> Recipe:
    return with_options(load_recipe(str(folder)), dtype="float32", tokens=[IDS])


def measured(original: Path, other: Path, **options: Any) -> QuantisationReport:
    return Measurement(recipe(original), recipe(other), recipe(original).prompts, **options).run(lambda *_: None)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("llama")
    plain = saved(folder / "plain", num_hidden_layers=2)
    other, meant = quantised(plain, folder / "q", FORMS["int4, group, symmetric"])
    rows: Counter[int] = Counter()
    forward: Callable[..., Any] = LlamaDecoderLayer.forward

    def counted(layer: Any, states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows[layer.self_attn.layer_idx] += len(states)
        return forward(layer, states, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LlamaDecoderLayer, "forward", counted)
        report = measured(plain, other)
    return Measured(plain, other, meant, report, rows)


def by_transformers(llama: Measured, folder: Path, picked: Callable[[str], bool]) -> tuple[float, float]:
    """The divergence and the agreement where only the weights that are picked are the quantised ones."""
    plain = load_file(llama.plain / "model.safetensors")
    mixed = {name: llama.meant[name] if picked(name) else weight for name, weight in plain.items()}
    a = expected_logits(llama.plain, IDS)[0].double()  # [T,V]
    b = expected_logits(with_weights(llama.plain, folder, mixed), IDS)[0].double()  # [T,V]
    divergence = torch.nn.functional.kl_div(b.log_softmax(-1), a.log_softmax(-1), log_target=True, reduction="none")
    return float(divergence.sum(-1).mean()), float((a.argmax(-1) == b.argmax(-1)).double().mean())


def of(llama: Measured, part: SwapKind, name: str) -> SwapDamage:
    (swap,) = (each for each in (llama.report.whole, *llama.report.parts) if (each.part, each.name) == (part, name))
    return swap


@pytest.mark.parametrize(
    ("part", "name", "inside"),
    [
        (SwapKind.WHOLE, "", ""),
        (SwapKind.LAYER, "model.layers.0", "layers.0."),
        (SwapKind.LAYER, "model.layers.1", "layers.1."),
        (SwapKind.KIND, "mlp.down_proj.weight", "down_proj"),
        (SwapKind.MATRIX, "model.layers.1.self_attn.v_proj.weight", "layers.1.self_attn.v_proj"),
    ],
)
def test_a_part_by_itself_moves_the_logits_as_it_does_in_a_folder(
    llama: Measured, tmp_path: Path, part: SwapKind, name: str, inside: str
) -> None:
    divergence, agreement = by_transformers(llama, tmp_path / "mixed", lambda weight: inside in weight)
    found = of(llama, part, name).shift
    assert found.divergence == pytest.approx(divergence, rel=1e-3)
    assert found.agreement == pytest.approx(agreement)


def test_layers_before_the_swapped_one_do_not_run_again(llama: Measured) -> None:
    # The second layer runs by itself for its own swap and for those of its 7 matrices.
    assert llama.layer_rows[1] - llama.layer_rows[0] == 8


def test_weights_are_told_by_themselves_and_by_what_their_modules_return(llama: Measured) -> None:
    report = llama.report
    assert (report.positions, report.compared, len(report.tensors)) == (5, 21, 14)
    plain = load_file(llama.plain / "model.safetensors")
    inputs: dict[str, torch.Tensor] = {}
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(llama.plain, dtype=torch.float32)
    for path, module in model.named_modules():
        module.register_forward_pre_hook(lambda _, args, path=path: inputs.update({path: args[0]} if args else {}))
    with torch.no_grad():
        model(input_ids=torch.tensor([IDS]), use_cache=False)
    for tensor in report.tensors:
        mine, theirs = plain[tensor.name].double(), llama.meant[tensor.name].double()
        assert tensor.error == pytest.approx(float((theirs - mine).norm() / mine.norm()), rel=1e-6)
        x = inputs[tensor.name.removesuffix(".weight")].detach().double()
        expected = (x @ (theirs - mine).t()).norm() / (x @ mine.t()).norm()
        assert tensor.output_error == pytest.approx(float(expected), rel=1e-3)
    assert all(swap.layer_error for swap in report.of(SwapKind.LAYER))


def test_the_most_damaging_come_first(llama: Measured) -> None:
    for part in (SwapKind.LAYER, SwapKind.KIND, SwapKind.MATRIX):
        sizes = [swap.shift.divergence for swap in llama.report.of(part)]
        assert sizes == sorted(sizes, reverse=True)
    assert [len(llama.report.of(part)) for part in (SwapKind.LAYER, SwapKind.KIND, SwapKind.MATRIX)] == [2, 7, 14]


def test_experts_and_tied_tables_are_swapped_too(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", "qwen2_moe", num_hidden_layers=1, tie_word_embeddings=True)
    weights = load_file(plain / "model.safetensors")
    other = {n: w * 1.01 if ".experts." in n or "embed" in n else w for n, w in weights.items()}
    report = measured(plain, with_weights(plain, tmp_path / "q", other))
    names = {tensor.name: tensor.error for tensor in report.tensors}
    assert names.keys() == {
        "model.embed_tokens.weight",
        "model.layers.0.mlp.experts.gate_up_proj",
        "model.layers.0.mlp.experts.down_proj",
    }
    assert names["model.embed_tokens.weight"] == pytest.approx(0.01, rel=1e-3)
    (layer,) = report.of(SwapKind.LAYER)
    assert layer.shift.divergence > 0
    assert report.of(SwapKind.KIND)[0].name == "model.embed_tokens.weight"


def test_predictions_are_told_position_by_position(llama: Measured) -> None:
    damages = llama.report.by_position
    assert [(each.shift.row, each.shift.token, each.token.id) for each in damages] == [
        (0, at, id_) for at, id_ in enumerate(IDS)
    ]
    a = expected_logits(llama.plain, IDS)[0].argmax(-1).tolist()  # [T]
    assert [each.original.id for each in damages] == a
    mean = sum(each.shift.divergence for each in damages) / len(IDS)
    assert mean == pytest.approx(llama.report.whole.shift.divergence)
    assert sum(each.is_same for each in damages) == pytest.approx(len(IDS) * llama.report.whole.shift.agreement)


def test_a_measurement_can_be_given_up(llama: Measured) -> None:
    prompts = recipe(llama.plain).prompts
    measurement = Measurement(recipe(llama.plain), recipe(llama.other), prompts)
    told: list[str] = []

    def tell(what: str, done: int, count: int) -> None:
        told.append(what)
        if what == "the original":
            measurement.cancel()

    with pytest.raises(Cancelled):
        measurement.run(tell)
    assert told[-1] == "the original"


def test_what_is_not_the_same_model_quantised_is_refused(llama: Measured, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plain: all its weights are those of plain: there is nothing to measure"):
        measured(llama.plain, llama.plain)
    wider = saved(tmp_path / "wider", num_hidden_layers=2, intermediate_size=128)
    problem = r"wider: model.layers.0.mlp.gate_proj.weight: is of the shape \[128, 64\], the original's is \[96, 64\]"
    with pytest.raises(InputError, match=problem):
        measured(llama.plain, wider)
    assert np.isfinite(llama.report.whole.shift.divergence)


def test_weights_and_layers_that_one_model_lacks_are_not_measured(llama: Measured, tmp_path: Path) -> None:
    less = {name: weight for name, weight in llama.meant.items() if ".layers.1.mlp.up_proj" not in name}
    partial = with_weights(llama.plain, tmp_path / "partial", less)
    lacking = r"layers\.1\.mlp\.up_proj\.weight: {} lacks it and has random numbers in its place"
    with pytest.raises(InputError, match=lacking.format("partial")):
        measured(llama.plain, partial)
    with pytest.raises(InputError, match=lacking.format("the original")):
        measured(partial, llama.other)
    deeper = saved(tmp_path / "deeper", num_hidden_layers=3)
    with pytest.raises(InputError, match=r"layers\.2\..*: isn't in the original: this is another model"):
        measured(llama.plain, deeper)


def test_a_head_of_its_own_that_the_original_lacks_is_told_not_to_be_swapped(tmp_path: Path) -> None:
    tied = saved(tmp_path / "tied", num_hidden_layers=1, tie_word_embeddings=True)
    weights = load_file(tied / "model.safetensors")
    embedding = weights["model.embed_tokens.weight"]
    note = "lm_head.weight: untied has it apart and the original hasn't: not swapped"
    untied = with_weights(tied, tmp_path / "untied", {**weights, "lm_head.weight": embedding * 1.01})
    alike = with_weights(tied, tmp_path / "alike", {**weights, "lm_head.weight": embedding.clone()})
    assert note in SwappingModel(recipe(tied), recipe(untied)).notes
    assert note.replace("untied", "alike") not in SwappingModel(recipe(tied), recipe(alike)).notes


def layers_alone(folder: Path, family: str, **options: Any) -> tuple[Trace, Trace]:
    """The same prompt traced, and run with nothing but layers' outputs recorded."""
    ready = with_options(load_recipe(str(saved(folder, family, num_hidden_layers=2))), tokens=[IDS], **options)
    every, few = (Engine(ready, layers_alone=alone) for alone in (False, True))
    return every.run(ready.prompts, Gate(waits=False)), few.run(ready.prompts, Gate(waits=False))


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize("family", ["llama", "qwen2_moe", "gemma2", "gpt_oss"])
def test_a_run_that_records_layers_alone_computes_to_the_bit_what_a_traced_one_does(
    tmp_path: Path, family: str, memory: int | None
) -> None:
    traced, few = layers_alone(tmp_path, family, memory=memory)
    assert {record.site for record in few.records} == {
        "model.layers.0:input",
        "model.layers.0",
        "model.layers.1:input",
        "model.layers.1",
        "logits",
    }
    for record in few.records:
        if not record.role:
            np.testing.assert_array_equal(few.value(record).read(()), traced[record.key])
