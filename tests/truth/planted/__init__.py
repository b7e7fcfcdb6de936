"""All mistakes that are planted."""

from __future__ import annotations

from tests.truth.planted.attending import ATTENTION
from tests.truth.planted.blocks import FEED_FORWARD, LOGITS, RESIDUAL
from tests.truth.planted.caches import CACHES
from tests.truth.planted.latents import LATENTS
from tests.truth.planted.linear import LINEAR
from tests.truth.planted.loading import LOADING
from tests.truth.planted.mixtures import MIXTURES
from tests.truth.planted.norms import EMBEDDING, NORMS
from tests.truth.planted.rotary import ROPE
from tests.truth.planted.softmax import SOFTMAX
from tests.truth.planted.streams import STREAMS

FAULTS = (
    *EMBEDDING,
    *NORMS,
    *LINEAR,
    *ROPE,
    *ATTENTION,
    *SOFTMAX,
    *LATENTS,
    *FEED_FORWARD,
    *MIXTURES,
    *RESIDUAL,
    *STREAMS,
    *LOADING,
    *LOGITS,
    *CACHES,
)
