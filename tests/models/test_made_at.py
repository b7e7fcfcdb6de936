"""The statement that makes a tensor, in codes of many forms."""

from __future__ import annotations

import pytest

from tracetui.models.made_at import call_of, statement_of

HEAD = ("class Block(nn.Module):", "    def forward(self, x, mask=None):")


def line_of(*body: str, part: int = 0, field: str = "") -> str:
    lines = (*HEAD, *(f"        {line}" for line in body))
    statement = statement_of(lines, part, field)
    assert statement is not None
    return lines[statement.line].strip()


@pytest.mark.parametrize(
    ("body", "part", "made"),
    [
        (["h = self.norm(x)", "return self.proj(h)"], 0, "return self.proj(h)"),
        (["h = self.up(x)", "h = self.down(h)", "return h"], 0, "h = self.down(h)"),
        (["y = x + 1", "y += self.mlp(y)", "return y"], 0, "y += self.mlp(y)"),
        (["out, w = self.attend(x)", "out = self.o(out)", "return out, w"], 0, "out = self.o(out)"),
        (["out, w = self.attend(x)", "out = self.o(out)", "return out, w"], 1, "out, w = self.attend(x)"),
        (["h = self.f(x)", "outputs = (h,)", "return outputs"], 0, "h = self.f(x)"),
        (["if mask is None:", "    return x", "y = self.f(x)", "return y"], 0, "y = self.f(x)"),
        (["for block in self.blocks:", "    x = block(x)", "return x"], 0, "x = block(x)"),
        (["y = self.f(x)", "y[0] = 1", "return y"], 0, "y = self.f(x)"),
        (["y = x", "y: Tensor = self.f(y)", "return y"], 0, "y: Tensor = self.f(y)"),
        (["y = self.f(x)", "z: Tensor = y", "return z"], 0, "y = self.f(x)"),
        (["y: Tensor", "y = self.f(x)", "return y"], 0, "y = self.f(x)"),
        (["y = x", "[a, (y, *b)] = self.f(x)", "return y"], 0, "[a, (y, *b)] = self.f(x)"),
        (["def inner(a):", "    return a", "return inner(x)"], 0, "return inner(x)"),
    ],
)
def test_a_returned_name_leads_to_what_sets_it_last(body: list[str], part: int, made: str) -> None:
    assert line_of(*body, part=part) == made


def test_a_result_of_fields_leads_to_the_field() -> None:
    body = ("h = self.model(x)", "logits = self.head(h)", "loss = None")
    returned = "return Output(loss=loss, logits=logits, hidden=h)"
    assert line_of(*body, returned, field="logits") == "logits = self.head(h)"
    assert line_of(*body, returned, part=1) == "h = self.model(x)"


def test_of_several_on_one_return_the_very_line_is_named() -> None:
    body = ("cos = angles.cos()", "sin = angles.sin()", "return (", "    cos.to(x.dtype),", "    sin.to(x.dtype),", ")")
    assert line_of(*body) == "cos.to(x.dtype),"
    assert line_of(*body, part=1) == "sin.to(x.dtype),"


def test_a_class_without_a_forward_or_code_that_is_none_has_no_statement() -> None:
    assert statement_of(("class A:", "    pass")) is None
    assert statement_of(("class A:", "    def forward(self):", "        self.x = 1")) is None
    assert statement_of(("not python (",)) is None


def test_a_call_of_a_module_is_found_in_whatever_it_stands() -> None:
    lines = (
        *HEAD,
        "        if mask is None:",
        "            q = split(self.q_proj(x), 2)",
        "        return self.o_proj(q)",
    )
    for name, line in (("q_proj", 3), ("o_proj", 4)):
        found = call_of(lines, name)
        assert found is not None
        assert found.line == line
    assert call_of(lines, "k_proj") is None
