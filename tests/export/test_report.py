"""The report: one file that fetches and runs nothing, whatever the trace holds, and the same bytes every time."""

from __future__ import annotations

import math
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.running import Here
from tests.expr.made import made
from tests.recording.made import small_trace
from tests.tiny_moe import whole_trace
from tests.tracer.models import prompt, tiny_gpt_oss, tiny_llama
from tests.ui.massive import CHANNEL, LAYER, massive_trace
from tracetui.analysis.attention.scores import attention_at
from tracetui.analysis.diff.report import report
from tracetui.export.report.document import write_report
from tracetui.export.report.layers import _bars
from tracetui.export.report.markup import el, text
from tracetui.export.report.tiles import shares_png
from tracetui.recording.dumps import open_recorded
from tracetui.recording.npz import write_trace
from tracetui.recording.record import AttentionCall, BadWeight, Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue, StatisticsValue
from tracetui.tracer.call import record_call

EVIL = "</script><script>alert(1)</script><img src=x onerror=y>\u202e\x1b[2J\0\"'&{}"
VOID = {"meta", "img"}


class Reader(HTMLParser):
    """What a browser makes of a file: elements with attributes, and the text; every element must be closed."""

    def __init__(self, document: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(document.decode())
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def tracetui(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def llama() -> Trace:
    return record_call(tiny_llama(), input_ids=prompt(), use_cache=False)


@pytest.fixture(scope="module")
def mixture() -> Trace:
    return record_call(tiny_gpt_oss(), input_ids=prompt(), use_cache=False)


def written(trace: Trace, **more: Any) -> bytes:
    file = BytesIO()
    write_report(trace, file, **more)
    return file.getvalue()


def sections(page: Reader) -> list[str]:
    return [attributes["id"] for attributes in page.named("section")]


def evil_trace() -> Trace:
    """Every text that a trace can hold is hostile; there is a layer, an attention call and a choice of experts."""
    value = ArrayValue(np.full((1, 3, 4), np.nan, np.float32))
    heads = ArrayValue(np.ones((1, 2, 3, 4), np.float32))
    experts = ArrayValue(np.array([[0, 1]] * 3))
    found = {
        f"{EVIL}.layers.0:input": value,
        f"{EVIL}.layers.0.attn:q": heads,
        f"{EVIL}.layers.0.attn:k": heads,
        f"{EVIL}.layers.0.mlp:experts": experts,
        f"{EVIL}.layers.0": value,
        "logits": ArrayValue(np.zeros((1, 3, 4), np.float32)),
    }
    records = [Record(i, key, v.shape, EVIL if not i else v.dtype, 0) for i, (key, v) in enumerate(found.items())]
    call = next(iter(record_call(tiny_llama(), input_ids=prompt(), use_cache=False).attention.values()))
    token = Token(1, EVIL.encode())
    run = RunInfo(EVIL, {"x": EVIL}, {"model_type": EVIL, EVIL: EVIL}, EVIL, {EVIL: EVIL}, (EVIL,), EVIL)
    attention = {records[1].key: call}
    return Trace(run, ((token,) * 3,), records, list(found.values()), attention, {0: token})


def test_a_report_has_every_section_that_the_trace_has(llama: Trace, mixture: Trace) -> None:
    page = Reader(written(llama))
    assert sections(page) == ["tokens", "next", "residual", "layers", "attention", "records"]
    assert [link["href"] for link in page.named("a")] == [f"#{anchor}" for anchor in sections(page)]
    assert "experts" in sections(Reader(written(mixture)))
    assert sections(Reader(written(mixture, report=report(mixture, mixture), names=("a", "b"))))[0] == "diff"


def test_nothing_is_fetched_and_nothing_runs(mixture: Trace) -> None:
    document = written(mixture, report=report(mixture, mixture), names=("a", "b"))
    page = Reader(document)
    assert not {"script", "iframe", "object", "link", "base", "form", "foreignobject"} & {
        tag for tag, _ in page.elements
    }
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:image/png;base64,", "#"))
    assert b"url(" not in document
    assert b"@import" not in document
    policy = next(found for found in page.named("meta") if "http-equiv" in found)
    assert policy["content"].startswith("default-src 'none'; ")


def test_hostile_texts_stay_texts() -> None:
    trace = evil_trace()
    document = written(trace, report=report(trace, replace(trace, records=trace.records)), names=(EVIL, EVIL))
    page = Reader(document)
    assert sections(page) == [
        "diff",
        "health",
        "tokens",
        "next",
        "residual",
        "layers",
        "experts",
        "attention",
        "records",
    ]
    assert "script" not in {tag for tag, _ in page.elements}
    assert {image["alt"] for image in page.named("img")} <= {
        *("from 0 to 1", "", "load of experts by layer", *(f"attention of layer 0, head {head}" for head in range(2)))
    }
    assert all(bad not in document.decode() for bad in ("\u202e", "\x1b", "\0"))
    assert page.text.count("alert(1)") > 10
    assert "<U+202E>" in page.text


def test_the_same_trace_gives_the_same_bytes_and_its_file_too(mixture: Trace, tmp_path: Path) -> None:
    write_trace(mixture, tmp_path / "t.npz")
    assert written(mixture) == written(mixture) == written(open_recorded(tmp_path / "t.npz"))


def test_a_head_s_picture_is_its_probabilities(llama: Trace) -> None:
    page = Reader(written(llama))
    pictures = [image for image in page.named("img") if image["alt"].startswith("attention of layer")]
    assert len(pictures) == 8
    assert [image["alt"] for image in pictures[2:5]] == [
        *("attention of layer 0, head 2", "attention of layer 0, head 3", "attention of layer 1, head 0")
    ]
    query = llama.find("model.layers.0.self_attn:q")
    assert query is not None
    query = llama.find("model.layers.0.self_attn:q")
    assert query is not None
    view = attention_at(llama, query)
    assert view is not None
    codes = decoded(pictures[2]["src"])
    hidden = np.triu(np.ones((9, 9)), 1) == 1
    assert (codes[hidden] == 64).all()
    expected = np.rint(np.sqrt(view.matrix("probs", 2)) * 63)
    np.testing.assert_array_equal(codes[~hidden], expected[~hidden])


def test_all_heads_stand_on_one_picture_first(llama: Trace) -> None:
    images = Reader(written(llama)).named("img")
    heads = [place for place, image in enumerate(images) if image["alt"].startswith("attention of layer")]
    sheet = images[heads[0] - 1]
    assert sheet["alt"] == "all heads: layer 0 to layer 1 downwards, heads from left to right"
    codes = decoded(sheet["src"])
    assert codes.shape == (2 * 25, 4 * 25)
    places = np.arange(24) * 9 // 24
    for place in heads:
        down, across = divmod(place - heads[0], 4)
        of_head = decoded(images[place]["src"])[places[:, None], places]
        np.testing.assert_array_equal(codes[down * 25 : down * 25 + 24, across * 25 : across * 25 + 24], of_head)
    assert (codes[24::25] == 66).all()


def test_it_opens_with_what_ran_and_how_to_run_it_again(tracetui: Here, tmp_path: Path) -> None:
    words = ("llama-tiny", "--layers", "2", "--seed", "5", "-p", "a b", "--edit", "layers.1.mlp: scale 2")
    for name, run in (("a", words), ("b", words[:-2])):
        assert tracetui("trace", *run, "-o", str(tmp_path / f"{name}.npz")).status == 0
    page, other = (str(tmp_path / name) for name in ("a.html", "b.npz"))
    assert tracetui("export", str(tmp_path / "a.npz"), "--html", page, "--diff", other).status == 0
    shown = Reader(Path(page).read_bytes()).text
    head, _, difference = shown.partition("A is this trace")
    assert "tracetui trace llama-tiny --layers 2 --weights random --seed 5" in head
    assert "--prompt 'a b'" in head
    assert "layers0 to 1 of 6" in head
    edits, _, rest = difference.partition("First divergence")
    assert "A: layers.1.mlp: scale 2" in edits
    assert "B: none" in edits
    assert "Next token after token 2 “·b”" in edits
    assert rest


def decoded(source: str) -> np.ndarray[Any, Any]:
    image = Image.open(BytesIO(b64decode(source.removeprefix("data:image/png;base64,"))))
    assert image.mode == "P"
    return np.array(image)


def test_pictures_mark_what_is_no_share() -> None:
    codes = decoded(shares_png(np.array([[0, 1, -np.inf], [np.nan, 4, -1]])))
    np.testing.assert_array_equal(codes, [[0, 63, 64], [65, 63, 0]])
    assert decoded(shares_png(np.ones((500, 301)))).shape == (84, 76)


def test_what_made_a_nan_stands_first_with_its_place_in_the_weights() -> None:
    sound = np.ones((1, 3, 4), np.float32)
    nothing = np.full_like(sound, np.nan)
    norm, mlp = "model.layers.0.post_attention_layernorm", "model.layers.0.mlp"
    trace = made((norm, sound), (f"{mlp}.up_proj", nothing), (mlp, nothing))
    weight = BadWeight("model.layers.0.mlp.up_proj.weight", 1, 128, (7, 11))
    told = written(replace(trace, bad_weights={"model.layers.0.mlp.up_proj": (weight,)})).decode()
    part = told[told.index('<section id="health">') :].split("</section>")[0]
    assert "12 NaN of 12" in part
    assert "its own weights have it: model.layers.0.mlp.up_proj.weight[7, 11]" in part
    assert "[0, 0, 0] = nan\n" in part
    assert 'id="health"' not in written(made(("model.layers.0.mlp", sound))).decode()


def test_a_batch_shows_its_rows(mixture: Trace) -> None:
    found = record_call(tiny_llama(), input_ids=prompt(2, 5), use_cache=False)
    page = Reader(written(found))
    assert len(re.findall(r"row 1(?!, token)", page.text)) == 2
    assert "Row 0 of the batch." in page.text


def test_generated_tokens_stand_apart_from_the_prompt(llama: Trace) -> None:
    page = Reader(written(replace(llama, generated=(2,))))
    kinds = [attributes.get("class") for attributes in page.named("span")]
    assert (kinds.count("token"), kinds.count("added")) == (7, 2)
    assert "in coloured frames" in page.text
    assert "in coloured frames" not in Reader(written(llama)).text


def test_named_tensors_of_a_script_make_a_report_too(tracetui: Here, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"model.layers.0": np.ones((1, 2, 3)), "x": np.zeros(3)}
    np.savez(tmp_path / "d.npz", **arrays)
    said = tracetui("export", str(tmp_path / "d.npz"), "--html", str(tmp_path / "d.html"))
    assert said.out.startswith(f"{tmp_path / 'd.html'}: layers, records, ")
    arrays = {f"model.layers.{layer}:attn_residual": np.ones((1, 2, 3)) for layer in range(2)}
    np.savez(tmp_path / "e.npz", **arrays)
    assert "residual" in tracetui("export", str(tmp_path / "e.npz"), "--html", str(tmp_path / "e.html")).out
    assert "Named tensors" in (tmp_path / "d.html").read_text()


def test_statistics_alone_make_a_report_too(llama: Trace, mixture: Trace) -> None:
    for trace in (llama, mixture):
        values = [StatisticsValue(value.shape, value.dtype, value.statistics()) for value in trace.values]
        page = Reader(written(replace(trace, values=values)))
        assert {"tokens", "residual", "layers", "records"} <= set(sections(page))
        assert "only statistics of q and k were kept" in page.text
    assert sections(Reader(written(whole_trace().trace)))
    assert Reader(written(small_trace())).text


def test_long_prompts_and_many_layers_stay_within_bounds() -> None:
    """Seventy layers of sixteen heads over 250 tokens: a page that a browser opens at once."""
    rng = np.random.default_rng(0)
    q = ArrayValue(rng.normal(size=(1, 16, 250, 4)).astype(np.float32))
    call = next(iter(record_call(tiny_llama(), input_ids=prompt(), use_cache=False).attention.values()))
    sites = [f"model.layers.{layer}.self_attn:{role}" for layer in range(70) for role in "qk"]
    records = [Record(i, site, q.shape, q.dtype, 0) for i, site in enumerate(sites)]
    attention = {site: call for site in sites if site.endswith(":q")}
    tokens = (tuple(Token(i, b"x") for i in range(450)),)
    document = written(Trace(RunInfo(), tokens, records, [q] * len(records), attention))
    pictures = [image for image in Reader(document).named("img") if image["alt"].startswith("attention of")]
    assert len(pictures) == 70 * 10
    assert len(document) < 8 << 20
    assert "and 50 more tokens" in Reader(document).text


def test_of_very_long_prompts_fewer_heads_and_layers_are_computed() -> None:
    q = ArrayValue(np.broadcast_to(np.float32(1), (1, 16, 2896, 1)))
    call = AttentionCall(scale=1.0, is_causal=False, kernel="sdpa")
    records = [Record(i, f"layers.{i // 2}.attn:{'qk'[i % 2]}", q.shape, q.dtype, 0) for i in range(200)]
    trace = Trace(RunInfo(), (), records, [q] * 200, {record.key: call for record in records[::2]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracetui.export.report.attention._CELLS", 3 * 2896**2)
        page = Reader(written(trace))
    assert [image["alt"] for image in page.named("img") if image["alt"].endswith("head 15")] == [
        f"attention of layer {layer}, head 15" for layer in (0, 50, 99)
    ]
    assert "and 97 more layers" in page.text
    assert all(f"Layer {layer}" in page.text for layer in (0, 99))


def test_markup_is_made_of_elements() -> None:
    assert el("td", "a<b", el("b", "&"), class_='x"y') == '<td class="x&quot;y">a&lt;b<b>&amp;</b></td>'
    assert el("img", alt="<", aria_label="x") == '<img alt="&lt;" aria-label="x">'
    assert text("\x1b" * 500).count("␛") == 400


def test_the_difference_tells_the_first_divergence(tracetui: Here, tmp_path: Path) -> None:
    model: Any = tiny_llama()
    write_trace(record_call(model, input_ids=prompt(), use_cache=False), tmp_path / "b.npz")
    model.model.layers[1].post_attention_layernorm.variance_epsilon = 0.3
    write_trace(record_call(model, input_ids=prompt(), use_cache=False), tmp_path / "a.npz")
    said = tracetui(
        *("export", str(tmp_path / "a.npz"), "--html", str(tmp_path / "r.html"), "--diff", str(tmp_path / "b.npz"))
    )
    assert said.status == 0
    shown = Reader((tmp_path / "r.html").read_bytes()).text
    assert "First divergence: model.layers.1.post_attention_layernorm" in shown
    assert "A is this trace, a.npz; B, the reference, is b.npz." in shown
    assert re.search(r"Different: \d+ of \d+ sites compared", shown)


def test_the_difference_is_told_by_the_options_of_diff(tracetui: Here, tmp_path: Path) -> None:
    for name, arrays in {
        "a": {"net.block_1.query": np.ones((2, 3))},
        "b": {"trunk.1.wq": np.full((2, 3), 1.001)},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    (tmp_path / "names.toml").write_text('[[site]]\na = "net.block_1.query"\nb = "trunk.1.wq"\n')
    words = ("export", str(tmp_path / "a.npz"), "--html", str(tmp_path / "r.html"), "--diff", str(tmp_path / "b.npz"))

    def told(*options: str) -> str:
        assert tracetui(*words, *options).status == 0
        return Reader((tmp_path / "r.html").read_bytes()).text

    named = ("--map", str(tmp_path / "names.toml"))
    assert "Nothing to compare" in told()
    assert "Different: 1 of 1 sites compared" in told(*named)
    assert "Different: 1 of 1 sites compared" in told("--fuzzy")
    assert "Same: 1 of 1 sites compared" in told(*named, "--rtol", "0.01")
    assert "--rtol: must be a number" in tracetui.refused(*words, "--rtol", "nan")
    assert "--map: goes with --diff" in tracetui.refused(*words[:4], *named)


def test_reports_are_refused_where_they_can_t_be_written(tracetui: Here, tmp_path: Path) -> None:
    write_trace(small_trace(), tmp_path / "a.npz")
    file, other = str(tmp_path / "a.npz"), str(tmp_path / "b.npz")
    write_trace(small_trace(), tmp_path / "b.npz")
    assert "is the file that is read" in tracetui.refused("export", file, "--html", file)
    assert "is the file that is read" in tracetui.refused("export", file, "--html", other, "--diff", other)
    assert "goes with --html" in tracetui.refused("export", file, "--csv", "--diff", other)
    assert "names its file itself" in tracetui.refused("export", file, "--html", "x.html", "-o", "y.html")
    assert "nowhere" in tracetui.refused("export", file, "--html", str(tmp_path / "r.html"), "--diff", "nowhere.npz")
    assert "doesn't exist" in tracetui.refused("export", file, "--html", str(tmp_path / "no" / "r.html"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_the_layers_bars_go_by_decades_where_one_is_far_larger() -> None:
    sizes = np.array([12.8, 14.0, 25000.0, 25100.0, math.nan])
    shares = _bars(sizes)
    assert shares[0] == pytest.approx(1 / (1 + math.log10(25100 / 12.8)))
    assert shares[3] == 1
    assert math.isnan(shares[4])
    assert _bars(sizes[:2]).tolist() == [12.8 / 14, 1]


def test_a_layer_s_row_tells_its_largest_element() -> None:
    page = Reader(written(massive_trace()))
    layer = massive_trace().find(f"model.layers.{LAYER}")
    assert layer is not None
    largest = massive_trace().value(layer).read().max()
    assert f"{largest:.5g} at token 0 “#1”, channel {CHANNEL}" in page.text
    assert "The L2 norm of the median token as it enters" in page.text
    assert "by decades" in page.text
