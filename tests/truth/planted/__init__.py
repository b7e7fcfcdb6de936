"""All mistakes that are planted."""

from __future__ import annotations

from tests.truth.planted.attending import ATTENTION
from tests.truth.planted.blocks import FEED_FORWARD, LOGITS, RESIDUAL
from tests.truth.planted.linear import LINEAR
from tests.truth.planted.norms import EMBEDDING, NORMS
from tests.truth.planted.rotary import ROPE

FAULTS = (*EMBEDDING, *NORMS, *LINEAR, *ROPE, *ATTENTION, *FEED_FORWARD, *RESIDUAL, *LOGITS)
