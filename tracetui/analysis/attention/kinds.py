"""The matrices that a call of attention has."""

from __future__ import annotations

from typing import Literal

Kind = Literal["scores", "masked", "probs"]
KINDS: tuple[Kind, ...] = ("scores", "masked", "probs")
