"""The grammar: what is taken, what is refused and where, and that nothing else can happen."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.expr.made import layers
from tracetui.errors import InputError
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.evaluate import Answer, evaluate
from tracetui.expr.moment import TraceScope
from tracetui.expr.names import BY_NAME, NAMES, Kind
from tracetui.expr.parse import MAX_DEPTH, MAX_LENGTH, parse


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("nrom > 3", 0, "did you mean norm?"),
        ("norm > bogus", 7, "bogus is no name here"),
        ("norm > 3 and std > maxx", 19, "did you mean max?"),
        ("norm = 3", 5, "`==` compares"),
        ("norm >", 6, "not an expression"),
        ("norm > 'x'", 7, "only numbers"),
        ("shape > 3", 0, "equal (==) or not"),
        ("shape[0.5] > 3", 6, "whole number"),
        ("value[0,:,3] > 3", 0, "a part of the tensor"),
        ("value > 3", 0, "a part of the tensor"),
        ("value[x]", 6, "whole number or a slice"),
        ("expert > 3", 0, "expert(n)"),
        ("expert()", 0, "expert(n)"),
        ("expert(1.5)", 7, "whole number"),
        ("norm(3)", 0, "takes no brackets"),
        ("prev > 3", 0, "say what of it"),
        ("prev.prev.norm", 0, "prev"),
        ("prev.nrom", 0, "did you mean norm?"),
        ("norm.real", 0, "a dot stands after"),
        ("norm ** 99 > 1", 8, "up to 16"),
        ("norm ** norm > 1", 8, "plain number"),
        ("norm if nan else 1", 0, "if … else"),
        ("norm @ 3", 0, "operators"),
        ("norm in 3", 8, "comparisons"),
        ("~norm", 0, "`not` is"),
        ("norm; nan", 4, "not an expression"),
        ("1e999 < norm", 0, "too large"),
        ("entropy(tail=3)", 0, "entropy(head=…)"),
        ("__import__('os')", 0, "is no name here"),
        ("(lambda: 1)()", 0, "only names can be called"),
        ("ü > nrom", 0, "is no name here"),
        ("abs(nrom) > 2", 4, "did you mean norm?"),
        ("", 0, "nothing stands here"),
        ("a\x1bb", 1, "can't be seen"),
    ],
)
def test_a_wrong_expression_is_refused_at_its_place(text: str, column: int, told: str) -> None:
    with pytest.raises(BadExpressionError) as caught:
        parse(text)
    assert told in caught.value.problem
    assert caught.value.column == column
    assert caught.value.details[1].index("^") - 2 == column


def test_a_part_is_no_number_to_a_stop_and_says_so() -> None:
    scene = TraceScope(trace := layers())
    told = [evaluate(parse("value[0,0]"), scene.moment(record)) for record in trace.records]
    assert any(answer.value is None and "not one element" in answer.why for answer in told)


def test_the_bounds_hold() -> None:
    with pytest.raises(BadExpressionError, match="longer"):
        parse("1" * (MAX_LENGTH + 1))
    with pytest.raises(BadExpressionError, match="too"):
        parse("9" * (MAX_LENGTH - 1))
    with pytest.raises(BadExpressionError, match="deep"):
        parse("not " * (MAX_DEPTH + 1) + "nan")
    with pytest.raises(BadExpressionError):
        parse("(" * 240 + "nan" + ")" * 240)
    with pytest.raises(BadExpressionError):
        parse("-" * 480 + "1")


def test_an_expression_knows_what_it_costs() -> None:
    assert parse("norm > 3 and layer == 2").kinds == {Kind.STATISTIC, Kind.PLACE}
    assert Kind.LAYERS in parse("prev.norm > 3").kinds
    assert parse("expert(17) or margin < 0.1").kinds == {Kind.ROUTING}
    assert parse("entropy(head=4) < 0.5").kinds == {Kind.ATTENTION}


def test_every_name_of_the_table_can_be_used_as_it_says() -> None:
    for name in NAMES:
        form = name.form.replace("(n)", "(1)").replace("head=…", "head=0").replace("[…]", "[0,0,0]")
        form = form.replace("(x)", "(norm)").replace("NAME", "norm").replace("shape", "shape[0]")
        answer = evaluate(parse(f"{form} == {form}"), TraceScope(layers()).moment(layers().records[-1]))
        assert answer.value is not None or answer.why, name


ATOMS = st.sampled_from(
    [
        *(n for n, name in BY_NAME.items() if name.arguments is None and n not in ("value", "prev", "shape")),
        *("prev.norm", "prev.value[0,0]", "value[0,-1,3]", "value[0,:,1].max", "value.norm", "shape[-1]", "shape[7]"),
        *("expert(1)", "load(0)", "load()", "entropy(head=1)", "entropy()", "entropy(head=99)", "0", "1e300", "-3"),
    ]
)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", "and", "or"])
    pairs = st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})")
    return st.one_of(pairs, inner.map("not {}".format).map("({})".format), inner.map("({} ** 3)".format))


@settings(max_examples=200)
@given(st.recursive(ATOMS, joined, max_leaves=6))
def test_what_is_taken_can_be_asked_of_every_record(text: str) -> None:
    """Whatever the values: a number, or in words why there is none; never an exception."""
    expression = parse(text)
    trace = layers()
    scene = TraceScope(trace)
    for record in trace.records:
        found = evaluate(expression, scene.moment(record))
        assert isinstance(found, Answer)
        assert isinstance(found.value, float) or (found.value is None and found.why)


@settings(max_examples=300)
@given(st.text(alphabet=string.printable + "é☃\u202e", max_size=60) | st.text(max_size=40))
def test_any_text_is_taken_or_refused_in_words(text: str) -> None:
    told = refusal(text)
    assert "\x1b" not in "".join(told)


def refusal(text: str) -> tuple[str, ...]:
    try:
        parse(text, parts=True)
    except InputError as error:
        return (str(error), *error.details)
    return ()


def test_what_python_thinks_of_the_blanks_reaches_nobody(recwarn: pytest.WarningsRecorder) -> None:
    parse("norm > 1or max > 2")
    assert not recwarn
