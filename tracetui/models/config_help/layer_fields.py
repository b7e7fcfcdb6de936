"""Fields of a configuration whose layers may have values of their own: of these transformers gives no common one."""

from __future__ import annotations

from typing import Any


def config_field(config: Any, name: str, layer: int | None = None) -> Any:
    """The value of a field; None without one.

    Of a field that differs between layers the value of that layer; without one the largest number of all.
    """
    try:
        return getattr(config, name, None)
    except RuntimeError:
        # What transformers raises where `per_layer_config` has the field.
        layers = config.per_layer_config
    if layer is not None:
        return getattr(layers[layer], name, None)
    values = [getattr(each, name, None) for each in layers]
    return max((value for value in values if isinstance(value, int | float)), default=None)
