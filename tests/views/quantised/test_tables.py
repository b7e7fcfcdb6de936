"""What quantising did, as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from tracetui.analysis.quantised.damage import (
    Guess,
    PositionDamage,
    PositionShift,
    QuantisationReport,
    Shift,
    SwapDamage,
    SwapKind,
    TensorDamage,
)
from tracetui.recording.record import Token
from tracetui.views.quantised.lines import quantised_lines
from tracetui.views.quantised.ranking import Ranking, ranked
from tracetui.views.quantised.tables import quantised_csv, quantised_json
from tracetui.views.quantised.words import brief_lines, detail_text


def swap(part: SwapKind, name: str, divergence: float, error: float | None = None) -> SwapDamage:
    return SwapDamage(part, name, Shift(divergence, 3 * divergence, (0, 4), 0.8), error)


def after(token: int, text: str, divergence: float, guesses: tuple[bytes, bytes]) -> PositionDamage:
    shift = PositionShift(0, token, divergence, Guess(1, 0.9), Guess(1 if guesses[0] == guesses[1] else 2, 0.3))
    tokens = (Token(shift.original.id, guesses[0]), Token(shift.quantised.id, guesses[1]))
    return PositionDamage(shift, Token(9, text.encode()), *tokens)


REPORT = QuantisationReport(
    "m",
    "m-q4",
    38,
    21,
    (
        TensorDamage("model.layers.0.mlp.up_proj.weight", (96, 64), 0.09, 0.1),
        TensorDamage("model.layers.1.mlp.up_proj.weight", (96, 64), 0.085, 0.2),
        TensorDamage("model.embed_tokens.weight", (320, 64), 0.08),
    ),
    swap(SwapKind.WHOLE, "", 0.42),
    (
        swap(SwapKind.LAYER, "model.layers.0", 0.021, 0.01),
        swap(SwapKind.LAYER, "model.layers.1", 0.21, 0.03),
        swap(SwapKind.KIND, "mlp.up_proj.weight", 0.3),
        swap(SwapKind.MATRIX, "model.layers.1.mlp.up_proj.weight", 0.2),
    ),
    (after(3, " the", 0.1, (b" a", b" a")), after(4, " city", 1.26, (b" of", b"\n"))),
    ("\x1bodd",),
)


def test_text_has_the_whole_first_and_the_most_damaging_parts_above() -> None:
    assert list(quantised_lines(REPORT)) == [
        "original   m",
        "quantised  m-q4",
        "",
        "3 of 21 weights differ, by 0.08 to 0.09 of their norm (|a−b|/|b|)",
        "all of them swapped: KL 0.42 nats a token, the mean over 38 positions; the most probable next token",
        "  is the same at 80.0%",
        "the largest KL, 1.26, is after token 4 “·city”: the original's most probable next token is ·of",
        "  (90.0%), the quantised model's ⏎ (30.0%)",
        "",
        "Each layer's weights swapped alone",
        "                KL  of whole  same token  output off",
        "  layers.1   0.210       50%       80.0%      0.0300",
        "  layers.0  0.0210        5%       80.0%      0.0100",
        "  alone they add up to 0.231; all weights swapped together make 0.42",
        "",
        "Each kind of weight swapped alone, in all layers",
        "                  KL  of whole  same token",
        "  mlp.up_proj  0.300       71%       80.0%",
        "",
        "Single weights swapped alone",
        "                           KL  of whole  same token",
        "  layers.1.mlp.up_proj  0.200       48%       80.0%",
        "",
        "All weights swapped: what is predicted after each token",
        "              KL   original  quantised",
        "  4 ·city   1.26  ·of 90.0%    ⏎ 30.0%",
        "  3 ·the   0.100   ·a 90.0%   ·a 30.0%",
        "",
        "Each weight's own error, and of what its module returns for the original's input",
        "                        weight off  output off",
        "  layers.1.mlp.up_proj      0.0850       0.200",
        "  layers.0.mlp.up_proj      0.0900       0.100",
        "  embed_tokens              0.0800",
        "",
        "note: ␛odd",
    ]


def test_a_narrow_screen_has_the_whole_in_two_lines_and_a_row_in_four() -> None:
    brief = list(brief_lines(REPORT))
    assert brief == [
        "KL 0.42 nats a token; the same next token at 80.0%; 3 of 21 weights differ",
        "largest, 1.26, after token 4 “·city”: ·of 90.0% became ⏎ 30.0%",
    ]
    stayed = replace(REPORT, by_position=REPORT.by_position[:1])
    assert "became" not in list(brief_lines(stayed))[1]
    layer = ranked(REPORT, Ranking.LAYER).rows[0]
    assert detail_text(REPORT, layer.damage) == (
        "layers.1 alone: KL 0.21 nats a token, the mean of 38, 50% of what all do; largest, 0.63, after token 4 “·city”"
        "; same next token at 80.0%; of its weights mlp.up_proj 0.2; its output for the original's input is off by 0.03"
    )


def test_a_table_keeps_the_order_of_the_model_where_that_is_wanted() -> None:
    assert [row.name for row in ranked(REPORT, Ranking.LAYER, in_order=True).rows] == ["layers.0", "layers.1"]
    table = ranked(REPORT, Ranking.LAYER)
    assert [table.share(row) for row in table.rows] == [1.0, 0.1]


def test_long_tables_are_cut_unless_everything_is_wanted() -> None:
    many = tuple(swap(SwapKind.LAYER, f"model.layers.{number}", 0.01 * number) for number in range(20))
    assert "  and 8 more; --all shows all" in list(quantised_lines(replace(REPORT, parts=many)))
    assert not any("more; --all" in line for line in quantised_lines(replace(REPORT, parts=many), everything=True))


def test_json_and_csv_hold_all_of_it() -> None:
    document = json.loads("\n".join(quantised_json(REPORT)))
    assert (document["whole"]["kl"], document["positions"], document["compared"]) == (0.42, 38, 21)
    assert document["parts"][1] == {
        "part": "layer",
        "name": "model.layers.1",
        "kl": 0.21,
        "kl_worst": 0.63,
        "worst_position": [0, 4],
        "same_token": 0.8,
        "output_error": 0.03,
    }
    assert document["by_position"][1] == {
        "row": 0,
        "token": 4,
        "id": 9,
        "text": "·city",
        "kl": 1.26,
        "original": {"id": 1, "text": "·of", "probability": 0.9},
        "quantised": {"id": 2, "text": "⏎", "probability": 0.3},
    }
    rows = list(csv.DictReader(io.StringIO("\n".join(quantised_csv(REPORT)))))
    assert [row["part"] for row in rows] == [
        "whole",
        *("layer", "layer", "kind", "matrix"),
        *("position", "position", "weight", "weight", "weight"),
    ]
    assert (rows[-1]["name"], rows[-1]["error"], rows[-1]["output_error"]) == ("model.embed_tokens.weight", "0.08", "")


def test_a_number_that_json_has_none_for_is_null() -> None:
    (text,) = quantised_json(replace(REPORT, whole=swap(SwapKind.WHOLE, "", float("inf"))))
    assert json.loads(text)["whole"]["kl"] is None
