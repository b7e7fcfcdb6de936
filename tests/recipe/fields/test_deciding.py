"""Which fields set the shape of a tensor."""

from __future__ import annotations

from tracetui.recipe.fields.deciding import deciding
from tracetui.recipe.fields.field import ConfigField, ConfigReport, DecidedShape, Decides, FieldOrigin

QUERY = DecidedShape("self_attn.q_proj.weight", (64, 32), (0,))
EXPERT = DecidedShape("mlp.experts.N.up_proj.weight", (3, 2), (1,))
COUNTED = DecidedShape("mlp.experts.N.up_proj.weight", (3, 2), ())
FIELDS = (
    ConfigField("heads", 4, FieldOrigin.GIVEN, decides=Decides((QUERY,))),
    ConfigField("hidden", 32, FieldOrigin.GIVEN, decides=Decides((EXPERT, QUERY))),
    ConfigField("experts", 8, FieldOrigin.GIVEN, decides=Decides((COUNTED,))),
)
REPORT = ConfigReport("m", "llama", "LlamaConfig", (), FIELDS, ())


def test_a_tensor_has_the_fields_that_set_one_of_its_axes() -> None:
    assert deciding(REPORT, "self_attn.q_proj") == ("heads", "hidden")
    assert deciding(REPORT, "mlp.experts.17") == ("hidden",)
    assert deciding(REPORT, "mlp.experts.17.up_proj") == ("hidden",)


def test_a_block_has_those_of_all_in_it_and_no_other_place_has_any() -> None:
    assert deciding(REPORT, "self_attn") == ("heads", "hidden")
    assert deciding(REPORT, "self_attn.q_pro") == ()
    assert deciding(REPORT, "") == ()
