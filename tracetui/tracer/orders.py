"""What the thread of a model is told to do, one after another."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.recipe import Prompts
from tracetui.tracer.gate import Gate


@dataclass(frozen=True, slots=True)
class PreviewPrompts:
    """Say what prompts would be."""

    prompts: Prompts


@dataclass(frozen=True, slots=True)
class RunPrompts:
    prompts: Prompts
    gate: Gate


@dataclass(frozen=True, slots=True)
class Generate:
    """Choose `count` more tokens."""

    count: int
    gate: Gate


@dataclass(frozen=True, slots=True)
class Rerun:
    """Run again, from the layer of record `at` on."""

    at: int
    gate: Gate


class AnswerQuestions:
    """Something was asked, unless the waiting model has answered already."""


Ordered = RunPrompts | Generate | Rerun
