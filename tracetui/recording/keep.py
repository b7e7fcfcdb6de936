"""What a run keeps of the tensors it sees, and which of attention's matrices it adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracetui.errors import InputError
from tracetui.recording.sites import SitePattern, parse_pattern

ALL, STATISTICS = "all", "stats"
MatrixRole = Literal["scores", "masked", "probs", "absorbed_scores"]
ATTENTION: Mapping[str, tuple[MatrixRole, ...]] = {
    "qkv": (),
    "scores": ("scores", "masked", "absorbed_scores"),
    "probs": ("scores", "masked", "probs", "absorbed_scores"),
}
"""What a run may add to the queries, keys and values of every attention call."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The sites whose values are kept; of the others there are statistics alone."""

    everything: bool = True
    patterns: tuple[SitePattern, ...] = ()

    def __contains__(self, site: object) -> bool:
        return isinstance(site, str) and (self.everything or any(pattern.matches(site) for pattern in self.patterns))

    @property
    def plain(self) -> list[str]:
        """As a user says it."""
        return [ALL] if self.everything else [pattern.text for pattern in self.patterns] or [STATISTICS]

    def unmatched(self, sites: Iterable[str]) -> tuple[str, ...]:
        """The patterns that fit none of the sites."""
        left = list(self.patterns)
        for site in sites:
            if not left:
                break
            left = [pattern for pattern in left if not pattern.matches(site)]
        return tuple(pattern.text for pattern in left)


KEEP_ALL = Keep()


def parse_keep(texts: Sequence[str], where: str) -> Keep:
    """`all`, `stats`, or patterns of sites. Raises InputError."""
    patterns = tuple(parse_pattern(text, where) for text in texts if text not in (ALL, STATISTICS))
    return Keep(ALL in texts, () if ALL in texts else patterns)


@dataclass(frozen=True, slots=True)
class Room:
    """How much of the machine recorded values may take; None leaves it to what is free."""

    memory: int | None = None
    """Bytes in memory."""
    disk: int | None = None
    """Bytes in the spill file, for what memory has no room for."""
    folder: Path | None = None
    """Where the spill file lies; None: in tracetui's cache folder."""


ROOM = Room()


def check_folder(folder: Path, where: str) -> Path:
    """The folder for the spill file, if it is one. Raises InputError."""
    try:
        if folder.is_dir():
            return folder
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: {folder}: can't be used: {error}") from error
    raise InputError(f"{where}: {folder}: is not a folder")
