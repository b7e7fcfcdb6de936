"""Code that torch.compile would compile runs as it is written while it is watched: hooks can't be compiled with it."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch

_COMPILER = "torch._dynamo.eval_frame"
"""Loaded by whoever compiles anything; it takes a second to load for those who don't."""


def uncompiled() -> AbstractContextManager[Any]:
    """For the length of a `with`, torch.compile's functions and forwards run as Python, in the whole process."""
    if _COMPILER not in sys.modules:
        return nullcontext()
    return cast("AbstractContextManager[Any]", torch.compiler.set_stance("force_eager"))
