"""A configuration as text: 80 columns, nothing that a terminal acts on, every value in its place."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.views.drawn import ANY_TEXT
from tracetui.recipe.fields.field import ConfigField, ConfigReport, DecidedShape, Decides, FieldOrigin
from tracetui.views.config_lines import WIDTH, config_lines

SHAPES = (DecidedShape("q_proj.weight", (64, 32), (0,)), DecidedShape("experts.N.up_proj.weight", (3, 2), ()))
FIELDS = (
    ConfigField(
        "hidden_size", 32, FieldOrigin.GIVEN, "Width. " * 20, decides=Decides(SHAPES, ("a.bias",), ("layers",))
    ),
    ConfigField("window", 0, FieldOrigin.DEFAULT, "A window.", "transformers", said=7),
    ConfigField("flavour", "sweet", FieldOrigin.UNDECLARED),
    ConfigField("layer_types", ["full"] * 28, FieldOrigin.DERIVED),
)
PARAMS = (ConfigField("dim", 32, FieldOrigin.GIVEN, "Width.", becomes=(("hidden_size", 32), ("head_dim", 8))),)
REPORT = ConfigReport("m", "llama", "LlamaConfig", (), FIELDS, ("n_group: is wrong",))


def test_a_field_tells_its_value_meaning_and_shapes() -> None:
    lines = [" ".join(line.split()) for line in config_lines(REPORT)]
    assert lines[0] == "m: a llama, read by transformers' LlamaConfig"
    assert lines[1] == "! n_group: is wrong"
    assert lines.count("hidden_size = 32") == 1
    assert lines[lines.index("sets: q_proj [64*, 32]") :][:3] == [
        "sets: q_proj [64*, 32]",
        "how many of: experts.N.up_proj, layers",
        "whether there is: a.bias",
    ]
    assert lines[lines.index("window = 0 default") :] == [
        "window = 0 default",
        "A window. (transformers)",
        "The file says 7; its class makes it 0.",
        'flavour = "sweet" unknown to its class',
        "Nothing is known of it: this family's configuration declares no such field.",
        'layer_types = 28 × "full" follows from the others',
        "No explanation is known.",
    ]


def test_meta_s_fields_stand_first_with_what_becomes_of_them() -> None:
    found = ConfigReport("m", "llama", "LlamaConfig", PARAMS, FIELDS, ())
    lines = list(config_lines(found))
    assert lines.index("dim = 32") < lines.index("hidden_size = 32")
    assert lines[lines.index("dim = 32") + 2] == "  → hidden_size 32, head_dim 8"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
DECIDED = st.builds(
    DecidedShape,
    ANY_TEXT,
    st.lists(st.integers(0, 2**40), max_size=3).map(tuple),
    st.sampled_from([(), (0,), (0, 1)]),
)
NAMES = st.lists(ANY_TEXT, max_size=30).map(tuple)
ANY_FIELD = st.builds(
    ConfigField,
    ANY_TEXT,
    VALUES,
    st.sampled_from(FieldOrigin),
    ANY_TEXT,
    ANY_TEXT,
    VALUES,
    st.builds(Decides, st.lists(DECIDED, max_size=30).map(tuple), NAMES, NAMES),
    st.lists(st.tuples(ANY_TEXT, VALUES), max_size=3).map(tuple),
)
ANY_FIELDS = st.lists(ANY_FIELD, max_size=3).map(tuple)


@given(ANY_TEXT, ANY_FIELDS, ANY_FIELDS, NAMES)
def test_nothing_foreign_reaches_the_terminal_raw_or_beyond_80_columns(
    name: str, params: tuple[ConfigField, ...], fields: tuple[ConfigField, ...], wrong: tuple[str, ...]
) -> None:
    for line in config_lines(ConfigReport(name, name, name, params, fields, wrong)):
        assert not any(unicodedata.category(char)[0] == "C" for char in line)
        assert cell_len(line) <= WIDTH
