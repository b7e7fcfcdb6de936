"""Headers and indices as large as any may be: what each name of a file costs doesn't grow with their number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import core_model_loading

from tests.models.hf_files import as_file, header_of, saved
from tracetui.errors import InputError
from tracetui.formats.json_text import MOST_VALUES, parse_json
from tracetui.formats.safetensors import parse_header as parse_any_header
from tracetui.models.build import build_model
from tracetui.models.checkpoints.safetensors import folder as safetensors_folder
from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles
from tracetui.models.checkpoints.safetensors.folder import SafetensorsFolder
from tracetui.models.checkpoints.safetensors.header import read_header
from tracetui.models.checkpoints.safetensors.names import Names, match_names
from tracetui.models.checkpoints.safetensors.order import natural_order
from tracetui.models.checkpoints.safetensors.parts import text_prefix
from tracetui.models.checkpoints.safetensors.shards import find_shards
from tracetui.recipe import load_recipe

NORM = "model.layers.0.input_layernorm.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("hostile") / "m", "llama")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return build_model(load_recipe(str(folder / "config.json")), torch.float32).module


def weights(folder: Path, names: list[str]) -> Path:
    """A file in which each of these names has a norm's weight."""
    header = {
        name: {"dtype": "F32", "shape": [64], "data_offsets": [256 * place, 256 * (place + 1)]}
        for place, name in enumerate(names)
    }
    path = folder / "model.safetensors"
    path.write_bytes(as_file(json.dumps(header).encode(), bytes(256 * len(names))))
    return path


@pytest.mark.parametrize("name", ["a" * 513, "a." * 64 + "b", "1" * 5000, "." * 64])
def test_a_name_that_no_tensor_has_is_refused(tmp_path: Path, name: str) -> None:
    path = weights(tmp_path, [name])
    with pytest.raises(InputError, match="must have at most 512 characters and 64 parts, got") as error:
        read_header(path)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("name", ["a" * 512, "a." * 63 + "b", "model.layers.².x", "model.layers.٣.x"])
def test_a_name_that_one_might_have_is_read(tmp_path: Path, model: Any, name: str) -> None:
    names = match_names(model, read_header(weights(tmp_path, [name])))
    assert names.spare == [name]


def test_texts_of_more_values_than_any_has_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    lists = b'{"x": [' + b"[]," * MOST_VALUES + b"[],[]]}"
    with pytest.raises(ValueError, match="holds more than 6,000,000 values"):
        parse_json(lists)
    with pytest.raises(InputError, match="header: holds more than 6,000,000 values"):
        parse_any_header(tmp_path, lists, len(lists), 9)
    keys = b'{"__metadata__": {"a": "' + b":" * 1_000_100 + b'"}}'
    with pytest.raises(InputError, match="header: holds more than 1,000,036 names, four for each tensor"):
        parse_any_header(tmp_path, keys, len(keys), 9)


def test_names_are_gone_through_as_transformers_does() -> None:
    parts = ["layers", "w", "x10", "x9", "x", "10", "9", "0", "07", "a_b", "ab", "-1", ""]
    names = [f"{first}.{second}.{third}" for first in parts for second in parts for third in parts] + parts
    assert sorted(names, key=natural_order) == sorted(names, key=core_model_loading.dot_natural_key)


class Counted(dict[str, Any]):
    """How often all of it is gone through."""

    times = 0

    def __iter__(self) -> Iterator[str]:
        type(self).times += 1
        return super().__iter__()


def test_a_file_of_many_prefixes_is_not_gone_through_for_each(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counted, "times", 0)
    path = weights(tmp_path, [f"p{number}.{NORM}" for number in range(50)])
    assert text_prefix(model, Counted(read_header(path))) is not None
    assert Counted.times < 5


class Spare(list[str]):
    times = 0

    def __iter__(self) -> Iterator[str]:
        type(self).times += 1
        return super().__iter__()


def test_names_that_nobody_asks_for_are_not_gone_through_for_each_tensor(
    folder: Path, tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [*header_of(folder / "model.safetensors"), *(f"tower.{number}.weight" for number in range(50))]
    names.remove("__metadata__")
    weights(tmp_path, names)
    monkeypatch.setattr(Spare, "times", 0)

    def matched(*arguments: Any) -> Names:
        found = match_names(*arguments)
        found.spare = Spare(found.spare)
        return found

    monkeypatch.setattr(safetensors_folder, "match_names", matched)
    SafetensorsFolder(tmp_path, {}, "x").source_for(model)
    assert 0 < Spare.times < 9


def test_only_names_that_a_rule_may_change_are_asked_about(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    plain: Callable[[str, Any], str] = core_model_loading.apply_renamings

    def counted(name: str, rules: Any) -> str:
        asked.extend([name] * bool(rules))
        return plain(name, rules)

    weights(tmp_path, [NORM, *(f"tower.{number}.weight" for number in range(50))])
    monkeypatch.setattr(core_model_loading, "apply_renamings", counted)
    with pytest.raises(InputError, match="missing"):
        SafetensorsFolder(tmp_path, {}, "x").source_for(model)
    assert len(asked) <= 51


def test_a_file_without_tensors_is_no_model(tmp_path: Path) -> None:
    weights(tmp_path, [])
    with pytest.raises(InputError, match=r"model.safetensors: names no tensors; --weights random runs without it"):
        SafetensorsFiles(tmp_path)


def test_more_files_than_any_checkpoint_has_are_refused_before_any_is_looked_for(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {f"w{number}": f"{number}.safetensors" for number in range(4097)}}))
    with pytest.raises(InputError, match="weight_map: must name at most 4,096 files, got 4097"):
        find_shards(tmp_path)
