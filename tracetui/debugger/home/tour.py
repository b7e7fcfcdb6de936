"""The tour: what a newcomer is told at each step, and the command that each step waits for."""

from __future__ import annotations

from dataclasses import dataclass

MODEL = "llama-tiny"
PROMPT_GIVEN = "prompt_given"
"""Enter in the prompt line, which is no command."""
LEAVES = "cancel"
"""The command of Esc."""


@dataclass(frozen=True, slots=True)
class TourStep:
    """One step of it."""

    title: str
    text: str
    command: str
    """The id of the command that leads on."""
    does: str
    """What its key does, after the key's name."""
    presses: int = 1
    last: str = ""
    """What the last of several presses does."""


PREPARING = "What you press now waits until the model is there."
TOUR = (
    TourStep(
        "A model, and a prompt",
        "This is a Llama of two million parameters with random weights. Nothing has run yet. The line at the bottom "
        "holds a prompt.",
        PROMPT_GIVEN,
        "runs it",
    ),
    TourStep(
        "Stopped at the first tensor",
        "The model waits at the embeddings: a vector of D=128 numbers for each of T tokens. The pane shows their "
        "shape, statistics, histogram and values; the tree shows the module.",
        "into",
        "steps into the very next tensor",
    ),
    TourStep(
        "Over, not into",
        "Each step lets the model really run on. A layer has many tensors inside; there is a step that passes "
        "over all of them.",
        "over",
        "runs the rotary table, then the whole first layer",
        presses=2,
        last="runs the whole first layer",
    ),
    TourStep(
        "Attention",
        "The layer has computed attention on its way. Each of its heads decides for every token which "
        "earlier tokens it reads.",
        "pane_attention",
        "shows it",
    ),
    TourStep(
        "One head",
        "Rows are tokens that read, columns tokens that are read; each row adds up to 1. Arrows move the crosshair.",
        "next_head",
        "goes to the next head",
    ),
    TourStep(
        "Before the softmax",
        "Probabilities come from scores. The same picture exists before the mask, masked, and after the softmax.",
        "scores",
        "changes between them",
    ),
    TourStep(
        "Back in time",
        "Everything behind the model is recorded; the timeline below is all of it, as high as norms are. Going "
        "back and forth in it costs nothing.",
        "back",
        "goes a step back",
    ),
    TourStep(
        "To the end",
        "From anywhere the model can run on to its end. It stops earlier at a NaN, or where you ask it to: a stop can "
        "be a module, a norm, an expert.",
        "continue",
        "runs on",
    ),
    TourStep(
        "The next token",
        "The last layer's vector becomes a number for every word of the vocabulary. With random weights none stands "
        "out; a real model's next word does.",
        "pane_logits",
        "shows the likeliest",
    ),
    TourStep(
        "From here",
        "b stops at a place, E changes a tensor while the model waits, D shows what that changed, e exports it all "
        "for numpy. There are many more keys.",
        "help",
        "lists them, and ends the tour",
    ),
)
