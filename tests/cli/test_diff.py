"""`tracetui diff` as at a shell."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from tests.analysis.diff.made import normal, trace_of
from tests.cli.running import Here
from tests.cli.terminal import Terminal
from tracetui.recording.npz import write_trace
from tracetui.recording.value import Array

CONFIG = {
    "model_type": "llama",
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}


def arrays() -> dict[str, Array]:
    found = {"model.embed_tokens": normal(1, 5, 8)}
    for layer in range(12):
        found[f"model.layers.{layer}:input"] = normal(1, 5, 8, seed=2 * layer)
        found[f"model.layers.{layer}.input_layernorm"] = normal(1, 5, 8, seed=2 * layer + 1)
        found[f"model.layers.{layer}"] = normal(1, 5, 8, seed=2 * layer + 2)
    return found


def saved(folder: Path, name: str, arrays: dict[str, Array]) -> str:
    write_trace(trace_of(arrays, [[1, 2, 3, 4, 5]]), folder / name)
    return str(folder / name)


def test_equal_traces_end_with_0(tracetui: Here, tmp_path: Path) -> None:
    a, b = saved(tmp_path, "a.npz", arrays()), saved(tmp_path, "b.npz", arrays())
    said = tracetui("diff", a, b)
    assert (said.status, said.err) == (0, "")
    assert "Same: 37 of 37 sites compared" in said.out


def test_the_first_divergence_is_shown_with_what_fed_it(tracetui: Here, tmp_path: Path) -> None:
    later = list(arrays())[list(arrays()).index("model.layers.3.input_layernorm") :]
    other = {site: array + np.float32(0.5 * (site in later)) for site, array in arrays().items()}
    a, b = saved(tmp_path, "a.npz", arrays()), saved(tmp_path, "b.npz", other)
    said = tracetui("diff", a, b)
    assert said.status == 1
    assert "First divergence: model.layers.3.input_layernorm" in said.out
    assert "its inputs agree" in said.out
    assert "[batch=0, T=" in said.out
    assert re.search(r"\] at token \d+ “[^”]*t", said.out)
    assert "--all" in said.out
    assert max(map(cell_len, said.out.splitlines())) <= 80
    everything = tracetui("diff", a, b, "--all")
    assert len(everything.out.splitlines()) > len(said.out.splitlines())
    assert tracetui("diff", a, b, "--atol", "1").status == 0


def test_a_script_s_own_dump_is_compared(tracetui: Here, tmp_path: Path) -> None:
    np.savez(tmp_path / "dump.npz", **{site.removeprefix("model."): array for site, array in arrays().items()})  # type: ignore[arg-type]
    a = saved(tmp_path, "a.npz", arrays())
    said = tracetui("diff", a, str(tmp_path / "dump.npz"))
    assert said.status == 0
    assert "Same: 37 of 37 sites compared" in said.out
    about = tracetui("info", str(tmp_path / "dump.npz"))
    assert about.status == 0
    assert "a file of named tensors" in about.out


def test_what_is_in_a_file_is_told_to_machines(tracetui: Here, tmp_path: Path) -> None:
    np.savez(tmp_path / "dump.npz", **arrays())  # type: ignore[arg-type]
    for name, dump in ((saved(tmp_path, "a.npz", arrays()), False), (str(tmp_path / "dump.npz"), True)):
        said = tracetui("info", name, "--json")
        assert (said.status, said.err) == (0, "")
        (line,) = said.out.splitlines()
        found = json.loads(line)
        assert (found["file"], found["bytes"], found["dump"]) == (name, Path(name).stat().st_size, dump)
        (header,) = tracetui("export", name, "--json").out.splitlines()
        assert json.loads(header).items() <= found.items()
        assert [record["key"] for record in found["records"]] == list(arrays())


def test_nothing_foreign_reaches_the_terminal(tracetui: Here, tmp_path: Path) -> None:
    hostile = {"\x1b[2J\u202e evil": normal(2, 3), "ok": normal(2)}
    np.savez(tmp_path / "a.npz", **hostile)  # type: ignore[arg-type]
    np.savez(tmp_path / "b.npz", **{name: array + 1 for name, array in hostile.items()})  # type: ignore[arg-type]
    said = tracetui("diff", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"))
    assert said.status == 1
    assert all(line.isprintable() for line in said.out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("diff", "none.npz", "none.npz"), "none.npz: can't be opened"),
        (("diff", "{a}", "{a}", "--rtol", "nan"), "--rtol: must be a number"),
        (("diff", "{a}", "{a}", "--atol", "-1"), "--atol: must be a number"),
        (("diff", "{a}", "{a}", "--map", "{a}"), "is not UTF-8"),
        (("diff", "{a}"), "required: B"),
    ],
)
def test_bad_input_ends_with_2(tracetui: Here, tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    a = saved(tmp_path, "a.npz", {"x": normal(2)})
    assert complaint in tracetui.refused(*(argument.replace("{a}", a) for argument in arguments))


def test_the_same_for_machines(tracetui: Here, tmp_path: Path) -> None:
    broken = arrays()
    broken["model.layers.3"][0, 2, 1] = np.nan
    a, b = saved(tmp_path, "a.npz", broken), saved(tmp_path, "b.npz", arrays())
    said = tracetui("diff", a, b, "--json")
    assert said.status == 1
    found = json.loads(said.out)
    assert (found["same"], found["first"], found["compared"]) == (False, "model.layers.3", 37)
    (site,) = (site for site in found["sites"] if site["outcome"] == "different")
    assert site["distance"]["worst"] == [0, 2, 1]
    assert site["distance"]["unlike"] == 1
    assert site["distance"]["worst_a"] == "NaN"
    assert json.loads(tracetui("diff", a, a, "--json").out)["same"]


def test_routing_and_proposals_are_told(tracetui: Here, tmp_path: Path) -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.6, 0.1, 0.3]], dtype=np.float32)
    block = "model.layers.0.mlp"

    def routed(name: str, experts: list[list[int]], extra: str) -> str:
        found = {f"{block}:router_scores": scores, f"{block}:experts": np.array(experts), extra: normal(2, 7)}
        write_trace(trace_of(found, [[5, 6]]), tmp_path / name)
        return str(tmp_path / name)

    a = routed("a.npz", [[0, 1], [0, 2]], "net.block_1.query")
    b = routed("b.npz", [[0, 2], [0, 2]], "trunk.1.wq")
    said = tracetui("diff", a, b)
    assert "Routing: 1 token chose other experts" in said.out
    assert "the choice is at fault" in said.out
    assert "net.block_1.query = trunk.1.wq" in said.out
    assert max(map(cell_len, said.out.splitlines())) <= 80
    assert "1 of 2 sites compared" in said.out
    assert "1 of 3 sites compared" in tracetui("diff", a, b, "--fuzzy").out


def tiny(folder: Path, **fields: object) -> str:
    config = {**CONFIG, **fields}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder / "config.json")


def test_noise_runs_the_reference_again_and_tells_a_fault_from_rounding(tracetui: Here, tmp_path: Path) -> None:
    model = tiny(tmp_path)
    made = []
    for name, dtype in (("a.npz", "bfloat16"), ("b.npz", "float32")):
        said = tracetui("trace", model, "--tokens", "5,6,7,8", "--dtype", dtype, "-o", str(tmp_path / name))
        assert said.status == 0, said.err
        made.append(str(tmp_path / name))
    said = tracetui("diff", *made, "--noise")
    assert "Noise or bug: B was run again in float64" in said.out
    assert "no suspect: rounding explains it all" in " ".join(said.out.split())
    assert max(map(cell_len, said.out.splitlines())) <= 80
    # The same weights, but every norm has another epsilon: the first one is where it begins.
    other = tiny(tmp_path, rms_norm_eps=1.0)
    assert tracetui("trace", other, "--tokens", "5,6,7,8", "--dtype", "float32", "-o", made[0]).status == 0
    said = tracetui("diff", *made, "--noise", "--json")
    found = json.loads(said.out)["noise"]
    assert found["rerun"] == "B"
    assert found["suspects"] == ["model.layers.0.input_layernorm"]
    site = next(site for site in found["sites"] if site["site"] == "model.layers.0.self_attn.q_proj")
    assert site["verdict"] == "carried"


def test_noise_without_a_model_says_what_is_missing(tracetui: Here, tmp_path: Path) -> None:
    a, b = saved(tmp_path, "a.npz", arrays()), saved(tmp_path, "b.npz", arrays())
    said = tracetui("diff", a, b, "--noise")
    assert said.status == 2
    assert "b.npz: doesn't say which model it is of; name it with --model" in said.err
    assert said.err.count("\n") == 1


def test_the_screen_needs_a_terminal(tracetui: Here, tmp_path: Path) -> None:
    a, b = saved(tmp_path, "a.npz", arrays()), saved(tmp_path, "b.npz", arrays())
    said = tracetui("diff", a, b, "--tui")
    assert said.status == 2
    assert "diff: --tui needs a terminal" in said.err


def test_a_terminal_sees_how_far_it_is_and_nothing_of_that_stays(tmp_path: Path) -> None:
    saved(tmp_path, "a.npz", arrays())
    with Terminal("diff", "a.npz", "a.npz", cwd=tmp_path) as terminal:
        terminal.until("Same: 37 of 37 sites compared")
        assert terminal.ended() == 0
        assert b"comparing 0 of 37 sites" in terminal.written
        assert "comparing" not in "".join(terminal.screen.display)


def test_both_are_shown_on_a_real_terminal_without_torch(tmp_path: Path) -> None:
    a = trace_of({site: array * np.float32(1.5) for site, array in arrays().items()}, [[1, 2, 3, 4, 5]])
    write_trace(a, tmp_path / "a.npz")
    saved(tmp_path, "b.npz", arrays())
    with Terminal("diff", "a.npz", "b.npz", "--tui", cwd=tmp_path) as terminal:
        terminal.until("A a.npz", "B b.npz", "off by 0.5·|b|", "first at model.embed_tokens")
        assert not terminal.maps("torch")
        terminal.send("2")
        terminal.until("First divergence")
        terminal.send("7")
        terminal.until("A−B")
        terminal.send(";")
        terminal.until("layers.0")
        terminal.send("\x1b")
        assert terminal.ended() == 1, "as without --tui: they differ"
        terminal.assert_restored()
