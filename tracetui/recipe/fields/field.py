"""One field of a configuration, as it is told to a user."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FieldOrigin(Enum):
    """Where a value comes from."""

    GIVEN = "given"
    DEFAULT = "default"
    DERIVED = "derived"
    UNDECLARED = "undeclared"
    """Given, but the configuration class doesn't declare such a field."""


@dataclass(frozen=True, slots=True)
class DecidedShape:
    """A tensor whose shape a field sets; layers and experts that are alike stand for one."""

    name: str
    """`self_attn.q_proj.weight`; numbers of layers and experts left out."""
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    """Which of its axes change with the field."""


@dataclass(frozen=True, slots=True)
class Decides:
    """What changes in the model when a field alone is changed."""

    shapes: tuple[DecidedShape, ...] = ()
    present: tuple[str, ...] = ()
    """Tensors that are there or not."""
    placed: tuple[str, ...] = ()
    """Tensors of which there are more or fewer."""


NOTHING = Decides()


@dataclass(frozen=True, slots=True)
class ConfigField:
    """A field with all that is known of it."""

    name: str
    value: object
    origin: FieldOrigin
    explanation: str = ""
    source: str = ""
    """Whose words the explanation is: empty for our own."""
    said: object = None
    """The file's own value, where the configuration class changed it."""
    decides: Decides = NOTHING
    becomes: tuple[tuple[str, object], ...] = ()
    """For another implementation's fields: those of transformers' that follow from it."""


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """A model's configuration, explained."""

    name: str
    family: str
    class_name: str
    params: tuple[ConfigField, ...]
    """Another implementation's own fields, where the model is described by them."""
    fields: tuple[ConfigField, ...]
    contradictions: tuple[str, ...]
    language: str = ""
    """Whose fields `params` are: `Meta`."""
