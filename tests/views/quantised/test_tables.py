"""What quantising did, as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from tracetui.analysis.quantised.damage import QuantisationReport, Shift, SwapDamage, SwapKind, TensorDamage
from tracetui.views.quantised.lines import quantised_lines
from tracetui.views.quantised.tables import quantised_csv, quantised_json


def swap(part: SwapKind, name: str, divergence: float, error: float | None = None) -> SwapDamage:
    return SwapDamage(part, name, Shift(divergence, 3 * divergence, (0, 4), 0.8), error)


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
    ("\x1bodd",),
)


def test_text_has_the_whole_first_and_the_most_damaging_parts_above() -> None:
    assert list(quantised_lines(REPORT)) == [
        "original   m",
        "quantised  m-q4",
        "",
        "3 of 21 weights differ, by 0.08 to 0.09 of their norm",
        "next token: KL 0.42 nats over 38 positions, at most 1.26 (token 4); the same token in 80.0%",
        "",
        "One layer's quantised weights in the original (KL 0.231 in all)",
        "                  KL  of whole  same token   its output is off by",
        "  layers.1      0.21       50%       80.0%   0.03",
        "  layers.0     0.021        5%       80.0%   0.01",
        "",
        "One kind of weight, in all layers (KL 0.3 in all)",
        "                     KL  of whole  same token",
        "  mlp.up_proj       0.3       71%       80.0%",
        "",
        "One weight alone (KL 0.2 in all)",
        "                              KL  of whole  same token",
        "  layers.1.mlp.up_proj       0.2       48%       80.0%",
        "",
        "Weights, the furthest first: by themselves, and what their modules return for the original's input",
        "                          weight    output",
        "  layers.1.mlp.up_proj     0.085       0.2",
        "  layers.0.mlp.up_proj      0.09       0.1",
        "  embed_tokens              0.08",
        "note: ␛odd",
    ]


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
    rows = list(csv.DictReader(io.StringIO("\n".join(quantised_csv(REPORT)))))
    assert [row["part"] for row in rows] == ["whole", "layer", "layer", "kind", "matrix", "weight", "weight", "weight"]
    assert (rows[-1]["name"], rows[-1]["error"], rows[-1]["output_error"]) == ("model.embed_tokens.weight", "0.08", "")


def test_a_number_that_json_has_none_for_is_null() -> None:
    (text,) = quantised_json(replace(REPORT, whole=swap(SwapKind.WHOLE, "", float("inf"))))
    assert json.loads(text)["whole"]["kl"] is None
