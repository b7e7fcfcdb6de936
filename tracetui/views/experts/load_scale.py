"""The scale of the experts' load, on the screen and in the report."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracetui.views.heatmap.scale import Scale, ScaleKind


def load_scale(shares: npt.NDArray[np.floating]) -> Scale:
    """From none of a block's choices to the largest share [L,E] of any expert; NaN where a layer has no experts."""
    finite = shares[np.isfinite(shares)]
    return Scale(ScaleKind.LINEAR, 0.0, float(finite.max(initial=0.0)) or 1.0, spans="all layers")
