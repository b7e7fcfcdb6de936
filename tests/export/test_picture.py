"""Pictures: what the pixels say is what the numbers say, whatever the labels are."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Here
from tests.tiny_moe import whole_trace
from tests.tracer.models import prompt, tiny_llama
from tracetui.analysis.attention.scores import attention_at
from tracetui.export.heatmaps import Picked, heatmap
from tracetui.export.picture import Picture, PictureAxis, draw, drawable, peaks
from tracetui.export.picture_look import PictureLook
from tracetui.export.report.tiles import SHARES
from tracetui.recording.dumps import open_recorded
from tracetui.recording.npz import write_trace
from tracetui.tracer.call import record_call
from tracetui.views.heatmap.scale import Scale, ScaleKind

HOSTILE = ("$\\frac{", "</text><script>", "\u202eevil", "%s{}", "漢字", "\x1b[2J", "a" * 500, "_^$x$")


@pytest.fixture
def tracetui(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pictures") / "t.npz"
    write_trace(record_call(tiny_llama(), input_ids=prompt(2, 6), use_cache=False), path)
    return str(path)


def of(values: object, labels: tuple[str, ...] = ()) -> Picture:
    return Picture(
        np.array(values, np.float32), PictureAxis("query", labels), PictureAxis("key", labels), "a title", "value"
    )


def drawn(found: Picture, kind: str = "svg") -> bytes:
    file = BytesIO()
    draw(found, "svg" if kind == "svg" else "png", file)
    return file.getvalue()


def test_the_pixels_follow_the_numbers() -> None:
    # Not by every worker, as it is imported in no time but reads all fonts once.
    from matplotlib.image import imread

    file = BytesIO(drawn(of([[4, 0], [-4, -np.inf]]), "png"))
    pixels = imread(file, "png")[..., :3]
    reds, blues = pixels[..., 0] - pixels[..., 2] > 0.2, pixels[..., 2] - pixels[..., 0] > 0.2
    rows, columns = np.nonzero(reds[:, : pixels.shape[1] // 2])
    below, beside = np.nonzero(blues[:, : pixels.shape[1] // 2])
    assert rows.mean() < below.mean()
    assert abs(columns.mean() - beside.mean()) < 20


def test_hostile_labels_are_drawn_as_text_and_never_as_markup() -> None:
    svg = drawn(Picture(np.eye(8), PictureAxis("$x", HOSTILE), PictureAxis("key", HOSTILE), "$\\frac</title>", "<b>$"))
    ElementTree.fromstring(svg)
    assert b"<script" not in svg
    assert b"\x1b" not in svg
    assert drawn(of(np.eye(8), HOSTILE), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "shown"), [("\x1b", "<0x1B>"), ("\u2401", "<0x01>"), ("漢", "<U+6F22>"), ("·é⏎", "·é⏎")]
)
def test_what_the_font_has_no_glyph_for_is_written_by_number(text: str, shown: str) -> None:
    assert drawable(text) == shown


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_numbers_give_the_same_bytes_whatever_the_style(kind: str) -> None:
    import matplotlib

    before = drawn(of(np.eye(4)), kind)
    with matplotlib.rc_context({"font.size": 30, "image.cmap": "jet", "axes.grid": True}):
        assert drawn(of(np.eye(4)), kind) == before


@pytest.mark.parametrize(
    "values",
    [[[np.nan, 1]], [[-np.inf, -np.inf]], [[np.inf, -1]], [[0.0]], [[2.0, 2.0]], np.full((3, 5000), np.nan)],
    ids=["NaN", "masked", "inf", "one", "alike", "wide"],
)
def test_numbers_of_every_kind_are_drawn(values: object) -> None:
    assert drawn(of(values), "png").startswith(b"\x89PNG")


def test_of_a_block_the_greatest_stands_for_all() -> None:
    values = np.full((4, 5), -np.inf, np.float32)
    values[0, 1], values[1, 0], values[3, 4], values[2, 0] = -3, 2, np.nan, 0
    found, step = peaks(values, 2)
    assert step == (2, 3)
    np.testing.assert_array_equal(found, [[-3, -np.inf], [0, np.nan]])
    assert peaks(values, 5)[0] is values


def test_numbers_beyond_float32_are_no_infinities() -> None:
    found = peaks(np.array([[1e300, -1e200], [0, 1]]), 1)[0]
    np.testing.assert_array_equal(found, [[1e300]])
    assert drawn(of([[1, 2]]), "png") != drawn(
        Picture(np.array([[1e300, 2]]), PictureAxis("a"), PictureAxis("b"), "", "value"), "png"
    )


def test_an_attention_module_gives_a_head_s_probabilities(file: str) -> None:
    trace = open_recorded(Path(file))
    found = heatmap(trace, "model.layers.1.self_attn", "--png", Picked(head=2, row=1))
    hidden = np.isneginf(found.values)
    np.testing.assert_array_equal(hidden, np.triu(np.ones((6, 6)), 1) == 1)
    np.testing.assert_allclose(np.where(hidden, 0, found.values).sum(axis=1), 1, rtol=1e-5)
    assert list(found.rows.labels) == [f"#{token.id}" for token in trace.tokens[1]]
    assert found.title == "model.layers.1.self_attn  head 2 of 0–3, row 1"
    assert b"hidden by the mask" in drawn(found, "svg")
    scores = heatmap(trace, "model.layers.1.self_attn:q", "--png", Picked(kind="scores"))
    assert scores.signed
    assert np.isfinite(scores.values).all()
    masked = heatmap(trace, "model.layers.1.self_attn", "--png", Picked(kind="masked"))
    assert (masked.lowest, b"masked, -inf" in drawn(masked, "svg")) == ("masked, -inf", True)


def test_one_matrix_has_one_scale_wherever_it_is_drawn(file: str) -> None:
    trace = open_recorded(Path(file))
    shares = heatmap(trace, "model.layers.1.self_attn", "--png", Picked())
    assert shares.scale == SHARES == Scale(ScaleKind.ROOT, 0.0, 1.0)
    one, other = (heatmap(trace, "model.layers.1.self_attn", "--png", Picked(head, kind="scores")) for head in (0, 3))
    query = trace.find("model.layers.1.self_attn:q")
    view = query and attention_at(trace, query)
    assert view
    reach = max(float(np.abs(view.matrix("scores", head)).max()) for head in range(view.heads))
    assert one.scale == other.scale
    assert one.scale is not None
    assert one.scale.high == pytest.approx(reach)
    assert b"attention probability, square root" in drawn(shares)
    assert b"linear, all heads" in drawn(one)
    linear = heatmap(trace, "model.layers.1.self_attn", "--png", Picked(scale=ScaleKind.LINEAR))
    assert b"attention probability, linear" in drawn(linear)


def test_the_title_says_whose_numbers_they_are_and_texts_stay_texts(file: str) -> None:
    trace = open_recorded(Path(file))
    found = heatmap(trace, "model.layers.1.self_attn", "--svg", Picked(1))
    assert found.subtitle.startswith("LlamaForCausalLM · layer 1 · probabilities")
    texts = [
        "".join(each.itertext())
        for each in ElementTree.fromstring(drawn(found)).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert found.title.replace("  ", " ") in [" ".join(text.split()) for text in texts]
    assert f"{found.rows.labels[2]} 2" in texts


def test_a_long_axis_has_round_numbers_and_the_texts_beside_them() -> None:
    words = tuple(f"w{place}" for place in range(300))
    picture = Picture(np.eye(300), PictureAxis("query", words), PictureAxis("D"), "", "value")
    svg = drawn(picture).decode()
    assert all(f">w{place} {place}<" in svg for place in (0, 20, 280))
    assert ">w10 10<" not in svg


def test_dark_and_large_pictures_are_so() -> None:
    file = BytesIO()
    draw(of(np.eye(3)), "svg", file, PictureLook(dark=True, font_size=20))
    svg = file.getvalue()
    assert b"#0f131a" in svg
    assert b"font-size: 18px" in svg or b"font: 18px" in svg


def test_an_infinity_of_any_tensor_is_called_what_it_is() -> None:
    svg = drawn(of([[-np.inf, 1.0]]), "svg")
    assert b"-inf" in svg
    assert b"mask" not in svg


@pytest.mark.parametrize(("lengths", "labelled"), [((17,), 17), ((9, 8), 0)])
def test_the_flat_tokens_of_one_prompt_have_their_texts(lengths: tuple[int, ...], labelled: int) -> None:
    trace = whole_trace(lengths=lengths).trace
    scores = next(record.key for record in trace.records if record.role == "router_scores")
    found = heatmap(trace, scores, "--png", Picked())
    assert (found.rows.name, len(found.rows.labels)) == ("N", labelled)


def test_a_tensor_gives_its_last_two_axes_or_the_part_said(file: str) -> None:
    trace = open_recorded(Path(file))
    whole = heatmap(trace, "model.layers.0", "--png", Picked())
    np.testing.assert_array_equal(whole.values, trace["model.layers.0"][0])
    assert (whole.rows.name, whole.columns.name, len(whole.rows.labels)) == ("T", "D", 6)
    part = heatmap(trace, "model.layers.0[1, :, 3:5]", "--png", Picked())
    np.testing.assert_array_equal(part.values, trace["model.layers.0"][1, :, 3:5])
    assert part.title == "model.layers.0  [B=1]"
    line = heatmap(trace, "model.layers.0[0, 2]", "--png", Picked())
    assert line.values.shape == (1, 32)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_command_writes_a_picture(tracetui: Here, file: str, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"a.{kind}"
    said = tracetui("export", file, f"--{kind}", "model.layers.0.self_attn", "--head", "3", "-o", str(output))
    assert said.out.startswith(f"{output}: model.layers.0.self_attn  head 3 of 0–3, row 0, 6 × 6, ")
    assert output.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ("--png", "model.layers.0.self_attn", "--head", "4"),
            "--head: model.layers.0.self_attn has heads 0 to 3, got 4",
        ),
        (
            ("--png", "model.layers.0.self_attn", "--row", "-1"),
            "--row: model.layers.0.self_attn has rows 0 to 1, got -1",
        ),
        (("--png", "model.layers.0.mlp", "--head", "1"), "no attention was recorded there"),
        (("--svg", "model.layers.0[0,0,0]"), "a single number is no picture"),
        (("--svg", "model.layers.0[0:0]"), "0 elements are no picture"),
        (("--svg", "nowhere"), "has no 'nowhere'"),
        (
            ("--svg", "model.layers.0.self_attn", "--scale", "layer"),
            "--scale: these numbers have root, linear, log, rows",
        ),
        (("--svg", "model.layers.0", "--font-size", "1"), "--font-size: 4 to 40 points, got 1"),
        (("--csv", "--dark"), "--dark: goes with --png or --svg"),
        (("--csv", "--head", "1"), "--head: goes with --png or --svg"),
    ],
)
def test_what_can_t_be_drawn_is_refused(
    tracetui: Here, file: str, tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in tracetui.refused("export", file, *arguments, "-o", str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_it_is_said_what_to_install(
    tracetui: Here, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = tracetui.refused("export", file, "--png", "model.layers.0", "-o", str(tmp_path / "a.png"))
    assert "pip install 'tracetui[plot]'" in said
