"""The list of a checkpoint's tensors and the files that they stand in, where they are several."""

from __future__ import annotations

from pathlib import Path

from tracetui.errors import bad_field
from tracetui.formats.json_text import parse_json_object
from tracetui.paths import read_bounded
from tracetui.text import visible

MAX_TENSORS = 300_000
"""Published models of a trillion parameters have half as many, their experts one by one and each with its scales."""
MAX_FILES = 4096
"""Of one checkpoint; published ones have some hundreds."""
MAX_INDEX_BYTES = 64 * 2**20


def read_weight_map(index: Path) -> dict[str, str]:
    """The file that each tensor stands in, by a `model.safetensors.index.json`.

    Raises InputError naming file and field; that the names are plain ones is for the caller to check.
    """
    found = parse_json_object(read_bounded(index, MAX_INDEX_BYTES), index, most_objects=100)
    weight_map = found.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise bad_field(index, "weight_map", "must be a table of tensors and their files", weight_map)
    if len(weight_map) > MAX_TENSORS:
        raise bad_field(index, "weight_map", f"must name at most {MAX_TENSORS:,} tensors", len(weight_map))
    for tensor, name in weight_map.items():
        if not isinstance(name, str):
            raise bad_field(index, f"weight_map.{visible(tensor, 80)}", "must be a file's name", name)
    if (count := len(set(weight_map.values()))) > MAX_FILES:
        raise bad_field(index, "weight_map", f"must name at most {MAX_FILES:,} files", count)
    return weight_map
