"""What stands beside a record whose values are not as they should be."""

from __future__ import annotations

from collections.abc import Mapping

from tracetui.analysis.health.diagnosis import HealthPart

MARKS: Mapping[HealthPart | None, str] = {HealthPart.PRODUCES: "!", HealthPart.CARRIES: "~", HealthPart.UNTOLD: "?"}
"""Who made a NaN or an infinity, who passes it on, and where that can't be told."""
UNLIKE = "≠"
"""Ranks that should have the same here have not."""
