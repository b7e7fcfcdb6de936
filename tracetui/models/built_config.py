"""What transformers' own class makes of a configuration: what it leaves out, and what it calls otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from tracetui.models.given import plain_config


def as_built(config: Mapping[str, object], built: object) -> dict[str, object]:
    """Where the configuration by which a model was built says something else than its file's; None: has no such field.

    Two files of one model may differ in what they leave to the class, and in how older ones call it.
    """
    fields = plain_config(built)
    if not fields:
        return {}
    told = {name: value for name, value in fields.items() if name not in config or config[name] != value}
    return {**told, **{name: None for name in config if name not in fields}}
