"""docs/families.md: one row a family with what can be shown of it, and the reasons where something can't."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.families.checks import CHECKS
from tests.families.configs import NOT_MADE
from tests.families.known import FAULTS, LIMITS

FILE = Path(__file__).parents[2] / "docs" / "families.md"
Row = Mapping[str, str]
"""By check: what is shown."""

_HEAD = """# What can be shown of which family

Made by `make families`, which builds a tiny model of every family of causal language models in transformers' own list
and holds what tracetui shows of it against a plain call of the model. Reasons stand below the table.

| column | holds if |
|---|---|
| runs | tracing a module gives the logits of a plain call |
| streamed | the folder that `save_pretrained` writes gives them too, its weights made just in time |
| attention | each layer for which eager attention returns probabilities has a pane with the same ones |
| routing | each layer with experts has a pane, with the router's own logits |
| residual | the residual stream is shown after attention too, and what is added to it was recorded |
| recurrent steps | recurrent blocks show what they compute inside, and their state is what that gives token by token |
| generation | three further tokens and the logits of each pass are those of transformers' `generate` |
| layers | `--layers 2` runs |

– stands where a family has nothing of the kind.
"""


def document(rows: Mapping[str, Row]) -> str:
    """The whole file. `rows` has what each family's checks showed: `yes`, `–`, `no` for what `known.py` tells of."""
    return "\n".join((_HEAD, *_table(rows), "", reasons()))


def reasons() -> str:
    """What stands below the table."""
    limits = ("## No, for what the models are", "", *_listed(LIMITS), "")
    faults = ("## Not yet", "", *_listed(FAULTS), "")
    not_made = (f"- {family}: {reason}" for family, reason in sorted(NOT_MADE.items()))
    return "\n".join((*limits, *faults, "## Not in the table", "", *not_made, ""))


def _table(rows: Mapping[str, Row]) -> Iterator[str]:
    yield f"| family | {' | '.join(CHECKS)} |"
    yield f"|---|{'---|' * len(CHECKS)}"
    for family, row in sorted(rows.items()):
        yield f"| {family} | {' | '.join(row[check] for check in CHECKS)} |"


def _listed(known: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for check, families_of in known.items():
        for reason, families in families_of.items():
            yield f"- {check}, {reason}: {', '.join(sorted(families.split()))}"
