"""The names that an expression may use, each once: parsing, help and documentation read this table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a name is computed from, which also says what it costs."""

    STATISTIC = "statistics of the tensor"
    PLACE = "the record's place"
    ROUTING = "expert routing, from `…:experts` on"
    ATTENTION = "attention, from `…:k` on"
    VALUES = "single values"
    LAYERS = "the layer before"
    ARITHMETIC = "arithmetic"


@dataclass(frozen=True, slots=True)
class Name:
    """One name of the language."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    arguments: tuple[str, ...] | None = None
    """Of a call, all optional but the first `needed`; None for a plain name."""
    needed: int = 0

    @property
    def form(self) -> str:
        """As it is typed: `expert(n)`, `entropy(head=…)`."""
        if self.name in ("value", "prev"):
            return "value[…]" if self.name == "value" else "prev.NAME"
        if self.arguments is None:
            return self.name
        return f"{self.name}({', '.join(f'{name}=…' if name == 'head' else name for name in self.arguments)})"


_STATISTIC, _PLACE, _ROUTING = Kind.STATISTIC, Kind.PLACE, Kind.ROUTING
NAMES = (
    Name("norm", _STATISTIC, "the tensor's own", "square root of the sum of squares (L2) of the finite elements"),
    Name("mean", _STATISTIC, "the tensor's own", "mean of the finite elements"),
    Name("std", _STATISTIC, "the tensor's own", "population standard deviation of the finite elements"),
    Name("min", _STATISTIC, "the tensor's own", "smallest finite element"),
    Name("max", _STATISTIC, "the tensor's own", "largest finite element"),
    Name("absmax", _STATISTIC, "the tensor's own", "largest magnitude of a finite element"),
    Name("nan", _STATISTIC, "elements", "how many are NaN"),
    Name("inf", _STATISTIC, "elements", "how many are infinite; the -inf of masks is not counted"),
    Name("zeros", _STATISTIC, "elements", "how many are zero, of either sign"),
    Name(
        "near_limit",
        _STATISTIC,
        "0 to 1",
        "share of the elements within 2× of what 16 or 8 bits can hold",
    ),
    Name("numel", _PLACE, "elements", "how many there are"),
    Name("shape", _PLACE, "elements", "the lengths of the axes: `shape[-1] == 4096`, `shape == (1, 17, 4096)`"),
    Name("layer", _PLACE, "index", "the decoder layer as the checkpoint counts; outside of all layers nothing holds"),
    Name("step", _PLACE, "index", "the record's place in the order of completion, from 0"),
    Name("pass_", _PLACE, "index", "which forward call of the model; the prompt is pass 0"),
    Name("expert", _ROUTING, "tokens", "how many tokens chose expert n of this block", ("n",), 1),
    Name("load", _ROUTING, "0 to 1", "share of all choices that went to expert n; `load()`: the busiest", ("n",)),
    Name(
        "margin",
        _ROUTING,
        "selection score",
        "smallest gap of any token between the last expert chosen and the first left out",
    ),
    Name(
        "entropy",
        Kind.ATTENTION,
        "bits",
        "mean entropy of a head's attention over all queries; `entropy()`: of all heads",
        ("head",),
    ),
    Name(
        "value",
        Kind.VALUES,
        "the tensor's own",
        "an element, `value[0,-1,3]`; of a part a statistic, `value[0,:,3].max`",
    ),
    Name("prev", Kind.LAYERS, "as the name's", "a name at the same site in the layer before: `norm > 3 * prev.norm`"),
    Name("abs", Kind.ARITHMETIC, "as its argument's", "magnitude of a number", ("x",), 1),
)
BY_NAME = {name.name: name for name in NAMES}
PART_STATISTICS = ("norm", "mean", "std", "min", "max", "absmax", "nan", "inf", "zeros", "numel")
"""What `value[…]` may be asked for with a dot."""


def help_lines() -> Iterator[str]:
    """The table for a terminal: form, unit, meaning."""
    for name in NAMES:
        yield f"  {name.form:<16} {name.meaning} [{name.unit}]"


def markdown_lines() -> Iterator[str]:
    """The table for the documentation."""
    yield "| name | unit | what it is | from |"
    yield "|---|---|---|---|"
    for name in NAMES:
        yield f"| `{name.form}` | {name.unit} | {name.meaning} | {name.kind.value} |"
