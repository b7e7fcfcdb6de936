"""`tracetui trace` on several ranks: each makes its own part of the weights, and the file is that of one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.distributed.models import config_of, whole
from tests.distributed.ranks import on_ranks, spread
from tracetui.analysis.diff.report import report
from tracetui.commands import ranked
from tracetui.commands.ranked_trace import ranked_trace
from tracetui.commands.traces import trace
from tracetui.errors import InputError
from tracetui.models.ranks import boxes
from tracetui.models.ranks.boxes import read_box
from tracetui.models.ranks.local import whole_indices
from tracetui.models.ranks.spread import Sizes, check_plans
from tracetui.models.ranks.standing import StandingWeights
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sources import TensorSpec, Tick
from tracetui.options.parser import parse
from tracetui.recording.npz import read_trace


def _written(family: str, folder: Path) -> str:
    """A model's configuration in a file."""
    path = folder / f"{family}.json"
    path.write_text(json.dumps(whole(family).config.to_dict()))
    return str(path)


def _words(model: str, output: Path, *options: str) -> list[str]:
    return ["trace", model, "--random-tokens", "2x9", "--dtype", "float32", "-o", str(output), *options]


def _ranked(rank: int, words: Sequence[str]) -> tuple[int, str]:
    ranked._WAITING_SECONDS = 0.0
    try:
        return ranked_trace(parse(words)), ""
    except InputError as error:
        return error.exit_code, str(error)
    except Exception as error:
        return int(getattr(error, "exit_code", -1)), ""


@pytest.mark.parametrize(
    ("family", "count", "options"),
    [
        ("Llama", 2, ()),
        ("Qwen3", 4, ("--tp", "4")),
        ("Mixtral", 2, ("--tp", "2", "--ep", "2")),
        ("DeepseekV3", 2, ("--pp", "2")),
        ("Llama", 4, ("--tp", "2", "--pp", "2")),
        ("Llama", 2, ("--generate", "3", "--lens", "3")),
        ("GptOss", 2, ()),
        ("Qwen2", 2, ("--pp", "2", "--generate", "3")),
    ],
)
def test_the_file_is_that_of_one_process(family: str, count: int, options: tuple[str, ...], tmp_path: Path) -> None:
    model, one, many = _written(family, tmp_path), tmp_path / "one.npz", tmp_path / "many.npz"
    everywhere = options[options.index("--generate") :] if "--generate" in options else ()
    assert trace(parse(_words(model, one, *everywhere))) == 0
    (tmp_path / ".many.npz.ranks").mkdir()
    (tmp_path / ".many.npz.ranks" / "rank00009.npz").write_bytes(one.read_bytes())  # of a run that was killed
    assert on_ranks(count, _ranked, _words(model, many, *options)) == [(0, "")] * count
    a, b = read_trace(one), read_trace(many)
    assert report(a, b).comparison.same
    assert {record.key for record in a.records} == {record.key for record in b.records}
    assert a.tokens == b.tokens
    assert [each.name for each in tmp_path.iterdir() if "ranks" in each.name] == []
    # Of gpt-oss the plan cuts lm_head alone.
    assert ("--tp: transformers' plan leaves 97% of this model whole on each rank" in b.run.notes) == (
        family == "GptOss"
    )


@pytest.mark.parametrize(
    ("family", "count", "options", "problem"),
    [
        ("Qwen2", 2, ("--tp", "4"), "--tp 4 × --pp 1: are 4 ranks, and there are 2"),
        ("Qwen2", 2, ("--pp", "2", "--lens", "3"), "that it reads by are on the last stage alone"),
        ("Mixtral", 2, ("--ep", "3"), "--ep: must be 1 or as many as --tp, 2, got 3"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_on_all_ranks(
    family: str, count: int, options: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    said = on_ranks(count, _ranked, _words(_written(family, tmp_path), tmp_path / "run.npz", *options))
    assert {status for status, _ in said} == {2}
    assert said[0][1].endswith(problem)
    assert list(tmp_path.glob("*.npz")) == []


class _Counted(RandomSource):
    """A source that remembers how many rows at most were read at once."""

    most = 0

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        self.most = max(self.most, spec.rows if rows is None else len(rows))
        return super().read(spec, rows, tick)


def _boxes(rank: int) -> list[str]:
    """The names of weights that are not what they are in the whole, of a model cut by rows, columns and experts."""
    model = spread(whole("Mixtral"), tp_size=2)
    source = _Counted(0, 0.02)
    boxes._BLOCK = 2**10
    wrong = []
    for name, parameter in model.named_parameters():
        spec = TensorSpec(name, tuple(parameter.shape), torch.float32)
        here = read_box(source, spec, parameter, lambda made: None)
        expected = source.read(spec, None, lambda made: None)
        for dimension in range(parameter.ndim):
            expected = expected.index_select(dimension, whole_indices(parameter, dimension))
        wrong += [] if torch.equal(here, expected) else [name]
    return wrong


def test_a_part_is_the_same_numbers_without_the_rest() -> None:
    assert on_ranks(2, _boxes) == [[], []]


def test_columns_are_read_in_blocks_of_rows() -> None:
    spec, source = TensorSpec("w", (4096, 8), torch.float32), _Counted(0, 0.02)
    column = torch.tensor([3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "_BLOCK", 2**12)
        patch.setattr(boxes, "whole_indices", lambda tensor, dimension: column if dimension else torch.arange(4096))
        made: Any = read_box(source, spec, torch.empty(0), lambda made: None)
    assert source.most == 128
    assert torch.equal(made, source.read(spec, None, lambda made: None)[:, 3:4])


@pytest.mark.parametrize(
    ("family", "sizes", "problem"),
    [
        ("Llama", Sizes(tensor=8), "num_key_value_heads: 4 heads can't be shared out among --tp 8 ranks"),
        ("GPT2", Sizes(tensor=2), "--tp: transformers has no tensor-parallel plan for gpt2"),
        ("Llama", Sizes(tensor=2, expert=2), "--ep: transformers has no expert-parallel plan for llama"),
        ("GPT2", Sizes(pipeline=2), "--pp: transformers has no pipeline plan for gpt2"),
        ("Llama", Sizes(pipeline=3), "--pp: 3 stages of 2 layers: some would have none"),
        ("Mixtral", Sizes(tensor=1, expert=3), "8 experts can't be shared out among 3 ranks"),
    ],
)
def test_what_no_plan_can_cut_is_refused_before_it_is_built(family: str, sizes: Sizes, problem: str) -> None:
    assert problem in _refusal(family, sizes)


def _refusal(family: str, sizes: Sizes) -> str:
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config_of(family))
    try:
        check_plans(model, sizes, "model.json")
    except InputError as error:
        return str(error)
    return ""


def _short(rank: int, words: Sequence[str]) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        if rank:
            patch.setattr(StandingWeights, "local_bytes", 2**50)
        return _ranked(rank, words)


def test_a_rank_without_the_memory_ends_all(tmp_path: Path) -> None:
    first, second = on_ranks(2, _short, _words(_written("Llama", tmp_path), tmp_path / "run.npz"))
    assert (first[0], second[0]) == (2, 2)
    assert first[1].startswith("rank 1: this run needs ")


def _other_seed(rank: int, words: Sequence[str]) -> tuple[int, str]:
    return _ranked(rank, [*words, "--tokens", "1,2,3" if rank else "1,2,4"])


def test_other_tokens_on_another_rank_are_refused_before_the_pass(tmp_path: Path) -> None:
    words = ["trace", _written("Llama", tmp_path), "--dtype", "float32", "-o", str(tmp_path / "run.npz")]
    said = on_ranks(2, _other_seed, words)
    assert [status for status, _ in said] == [2, 2]
    assert "the ranks have other tokens" in said[0][1]
