"""Where a folder in Meta's form has its weights, told before torch is imported."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tracetui.errors import InputError
from tracetui.paths import inside

CHECKPOINT = "consolidated.00.pth"
_SHARD = re.compile(r"consolidated\.\d+\.pth")


def find_checkpoint(folder: Path) -> Path:
    """The checkpoint of a folder in Meta's form. Raises InputError for a folder without it or with more shards."""
    try:
        shards = sorted(entry.name for entry in os.scandir(folder) if _SHARD.fullmatch(entry.name))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{folder}: {CHECKPOINT}: its folder can't be read: {reason}") from error
    if more := [name for name in shards if name != CHECKPOINT]:
        raise InputError(
            f"{folder}: {more[0]}: the checkpoint is split, each of its files holds a slice of every tensor; "
            f"merge them into one {CHECKPOINT}"
        )
    if not shards:
        raise InputError(f"{folder}: {CHECKPOINT}: is missing; --weights random runs the model without it")
    return inside(folder, CHECKPOINT)
