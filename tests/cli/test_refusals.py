"""Bad input at the command line: exit status 2 and one line that names the place, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.cli.running import Here
from tests.models.meta_files import CHECKPOINT, PARAMS, write_folder
from tests.recording.made import small_trace
from tracetui import paths
from tracetui.recording.npz import write_trace

CONFIG = """
dtype = "float32"
[config]
model_type = "llama"
vocab_size = 300
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 4
num_attention_heads = 4
"""
PARAMS_TABLE = "[params]\ndim = 64\nn_layers = 3\nn_heads = 4\nvocab_size = 300\n"

SMALLEST = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2}
NAMES = (
    "",
    " ",
    "\x1b[31mred",
    "[bold]x[/]",
    "a\0b",
    "x" * 10_000,
    "\udcff\udcfe",
    "a\u202eb",
    "no/such/folder",
    "~nobody-there/m",
    "-",
)
TINY = ("trace", "llama-tiny")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_an_unknown_model_lists_those_there_are(tracetui: Here, name: str) -> None:
    assert "no such model; there are " in tracetui.refused("trace", name)


def test_a_way_to_compute_attention_that_the_model_hasn_t_is_refused(tracetui: Here) -> None:
    assert tracetui.refused(*TINY, "--mla", "absorb").startswith("--mla: absorb needs latent attention (MLA)")
    assert "--mla" in tracetui.refused(*TINY, "--mla", "fold")


def test_the_nearest_model_is_named_before_all_in_their_order(tracetui: Here) -> None:
    listed = [line.split()[0] for line in tracetui("models").out.splitlines()]
    assert listed == sorted(listed)
    for said, meant in (("lama-tiny", "llama-tiny"), ("llama3", "llama3-2layer")):
        wanted = f"{said}: no such model, is {meant} meant? there are {', '.join(listed)}, or "
        assert tracetui.refused("trace", said).startswith(wanted)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("\x1b[31m",), "'␛[31m': is no command; there are run, trace, open, "),
        (("run.npz",), "run.npz: is no command; `tracetui open run.npz` opens a recording"),
        (("my run.npz", "-p"), "'my run.npz': is no command; `tracetui open 'my run.npz'` opens a recording"),
        (("llama-tiny", "-p", "x"), "llama-tiny: is no command; `tracetui run llama-tiny` debugs a model"),
        (("Qwen/Qwen2.5-1.5B",), "Qwen/Qwen2.5-1.5B: is no command; `tracetui run Qwen/Qwen2.5-1.5B` debugs a model"),
        (("trce",), "trce: is no command; is `tracetui trace` meant? there are run, trace, open, "),
        (("models", "\x1b[31m"), "unrecognized arguments: ␛[31m; `tracetui models --help` lists"),
        (("--nope",), "unrecognized arguments: --nope; `tracetui --help` lists"),
        (("info", "x", "--yaml"), "unrecognized arguments: --yaml; `tracetui info --help` lists"),
        (("models", "--x\udcff\x9b"), "unrecognized arguments: --x<U+DCFF><U+009B>"),
        (("trace",), "the following arguments are required: MODEL; `tracetui trace --help` lists"),
        (("open",), "the following arguments are required: F.npz; `tracetui open --help` lists"),
        (("info",), "the following arguments are required: F.npz; `tracetui info --help` lists"),
        (("locate", "moon"), "argument what: invalid choice: 'moon'"),
        ((*TINY, "-p"), "argument -p/--prompt: expected one argument"),
        ((*TINY, "-p", "a", "--tokens", "1"), "argument --tokens: not allowed with argument -p/--prompt"),
        ((*TINY, "--layers", "7"), "--layers: must lie within the model's 6 layers and hold at least one"),
        ((*TINY, "--layers", "3:3"), "--layers: must lie within the model's 6 layers"),
        ((*TINY, "--layers", "\x1b"), r"--layers: must be a count like 2 or a range like 3:7, got '␛'"),
        ((*TINY, "--seed", "1.5"), "argument --seed: invalid int value: '1.5'"),
        ((*TINY, "--seed", "-1"), "--seed: must be between 0 and "),
        ((*TINY, "--seed", "9" * 30), "--seed: must be between 0 and "),
        ((*TINY, "--seed", "9" * 5000), "argument --seed: invalid int value: '999"),
        ((*TINY, "--dtype", "int8"), "--dtype: must be one of auto, float32, bfloat16, float16, got 'int8'"),
        ((*TINY, "--memory", "much"), "--memory: must be a size like 4G or 512M, got 'much'"),
        ((*TINY, "--memory=-1G"), "--memory: must be a size like 4G"),
        ((*TINY, "--tokens", ""), "--tokens: must be ids like 1,2,3, got ''"),
        ((*TINY, "--tokens", "٣"), "--tokens: must be ids like 1,2,3, got '٣'"),
        ((*TINY, "--tokens", "1_0"), "--tokens: must be ids like 1,2,3, got '1_0'"),
        ((*TINY, "--random-tokens", "٣x٣"), "--random-tokens: must be rows and tokens like 4x64, got '٣x٣'"),
        ((*TINY, "--tokens", "1,,2"), "--tokens: must be ids like 1,2,3, got '1,,2'"),
        ((*TINY, "--tokens", "1,\x1b"), "--tokens: must be ids like 1,2,3, got '1,␛'"),
        ((*TINY, "--tokens", "1," * 20_000 + "x"), f"--tokens: must be ids like 1,2,3, got '{'1,' * 40}…'"),
        ((*TINY, "--tokens", "1,-2"), "--tokens: must be between 0 and 2147483647, got -2"),
        ((*TINY, *("-p", "a") * 1025), "--prompt: a batch has 1 to 1,024 prompts, got 1,025"),
        ((*TINY, "--random-tokens", "4"), "--random-tokens: must be rows and tokens like 4x64, got '4'"),
        ((*TINY, "--random-tokens", "4x\x1b"), "--random-tokens: must be rows and tokens like 4x64, got '4x␛'"),
        ((*TINY, "--random-tokens", "0x4"), "--random-tokens: a batch has 1 to 1,024 prompts, got 0"),
        ((*TINY, "--random-tokens", "4x9999999"), "--random-tokens: a row has 1 to 1,048,576 tokens, got 9,999,999"),
        ((*TINY, "--system", "s"), "--system: is a message of a chat; give --chat too"),
        ((*TINY, "--chat", "--tokens", "1"), "--chat: needs texts; token ids go through no template"),
        ((*TINY, "--batch", "/no/such\x1b"), "/no/such␛: can't be opened"),
        ((*TINY, "--tokens", "9" * 4000), f"--tokens: must be between 0 and 2147483647, got {'9' * 30}…"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_in_one_line(tracetui: Here, arguments: tuple[str, ...], said: str) -> None:
    assert tracetui.refused(*arguments).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = [", "is not TOML: "),
        ("", "config: a recipe has one table of [config], [params] and [reference]"),
        (f"{CONFIG}\n{PARAMS_TABLE}", "config: a recipe has one table of [config], [params] and [reference]"),
        ("model = 1", "model: is not a key of a recipe; there are title, layers,"),
        ('"\\u001b" = 1', "␛: is not a key of a recipe"),
        (f"title = 3{CONFIG}", "title: must be a text, got 3"),
        (f"prompt = []{CONFIG}", "prompt: a batch has 1 to 1,024 prompts, got 0"),
        (f"layers = '4:'{CONFIG}", "layers: must lie within the model's 4 layers"),
        (CONFIG.replace("float32", "\\u001b"), r"dtype: must be one of auto, float32, bfloat16, float16, got '\x1b'"),
        (f"seed = -1{CONFIG}", "seed: must be between 0 and "),
        (f"tokenizer = 1{CONFIG}", "tokenizer: must be a text, got 1"),
        (f"weights = 1{CONFIG}", "weights: must be a text, got 1"),
        (CONFIG.replace("300", "0"), "config.vocab_size: must be between 1 and "),
        (CONFIG.replace("32\n", "'32'\n"), "config.hidden_size: must be an integer, got '32'"),
        (CONFIG.replace("= 4\n", "= 4.0\n"), "config.num_hidden_layers: must be an integer, got 4.0"),
        (CONFIG.replace("heads = 4", "heads = 5"), "config.num_attention_heads: must divide hidden_size, 32"),
        (f"{CONFIG}num_key_value_heads = 3", "config.num_key_value_heads: must divide num_attention_heads, 4, got 3"),
        (f"{CONFIG}rms_norm_eps = nan", "rms_norm_eps: must be finite, got nan"),
        (f"{CONFIG}rope_parameters = 1", "config.rope_parameters: must be a table, got 1"),
        (PARAMS_TABLE.replace("n_heads = 4", "n_heads = 5"), "params.n_heads: must divide dim, 64"),
        (CONFIG.replace("llama", "\\u001b"), "model_type: transformers knows no '␛'"),
        (CONFIG.replace("llama", "t5"), "model_type: t5 has an encoder, whose output its decoder reads"),
        (f"{CONFIG}hidden_act = 'no\\u001b'".replace("'", '"'), "config: transformers can't build such a model: "),
        (f"{CONFIG}attention_bias = 'yes'", "config: Validation error for field 'attention_bias'"),
    ],
)
def test_a_faulty_recipe_is_told_with_file_and_field(tracetui: Here, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert tracetui.refused("trace", str(path)).startswith(f"{path}: {said}")


def test_a_missing_recipe_file_is_told_as_such(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "mine\x1b.toml"
    assert tracetui.refused("trace", str(path)).startswith(f"{tmp_path}/mine␛.toml: can't be opened: No such file")


def _no_params(folder: Path) -> None:
    (folder / "params.json").unlink()


def _config_only(folder: Path) -> None:
    (folder / "params.json").rename(folder / "config.json")


def _half_params(folder: Path) -> None:
    (folder / "params.json").write_text(json.dumps(dict(PARAMS))[:-5])


def _wrong_params(folder: Path) -> None:
    (folder / "params.json").write_text(json.dumps({**PARAMS, "dim": "\x1b"}))


def _other_model(folder: Path) -> None:
    (folder / "params.json").write_text(json.dumps({**PARAMS, "vocab_size": 301}))


def _no_checkpoint(folder: Path) -> None:
    (folder / CHECKPOINT).unlink()


def _short_checkpoint(folder: Path) -> None:
    os.truncate(folder / CHECKPOINT, 10_000)


def _no_zip(folder: Path) -> None:
    (folder / CHECKPOINT).write_bytes(b"\x1b[31m" * 1000)


def _a_list(folder: Path) -> None:
    torch.save([1, 2], folder / CHECKPOINT)


def _a_pipe(folder: Path) -> None:
    (folder / CHECKPOINT).unlink()
    os.mkfifo(folder / CHECKPOINT)


def _broken_ranks(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"IQ== 0\n\x1b[31m 1\n")


def _no_ranks(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_params, "params.json"),
        (_config_only, "config.json"),
        (_half_params, "/params.json: line 1: is not JSON"),
        (_wrong_params, r"/params.json: dim: must be an integer, got '\x1b'"),
        (_other_model, "tok_embeddings.weight"),
        (_no_checkpoint, CHECKPOINT),
        (_short_checkpoint, CHECKPOINT),
        (_no_zip, CHECKPOINT),
        (_a_list, CHECKPOINT),
        (_a_pipe, CHECKPOINT),
        (_broken_ranks, "tokenizer.model"),
        (_no_ranks, "tokenizer.model"),
    ],
)
def test_a_spoilt_folder_is_told_with_its_file(
    tracetui: Here, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = write_folder(tmp_path / "llama")
    spoil(folder)
    complaint = tracetui.refused("trace", str(folder))
    assert complaint.startswith(str(folder))
    assert said in complaint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tokens", "1,4352"), "token 1: id 4352 is outside the model's vocabulary of 4352 tokens (0 to 4351)"),
        (("--tokens", "1", "--tokens", "2,4352"), "row 1: token 1: id 4352 is outside the model's vocabulary of 4352"),
        (("-p", ""), "prompt: is empty"),
        (("--chat",), "--chat: there is no chat template beside the tokenizer, built-in byte-level BPE"),
        (("-p", "a", "-p", ""), "--prompt: row 1 is empty; every row of a batch is a prompt"),
        (("-p", "a\udcff"), "the prompt: character 1: is a lone surrogate"),
        (("-p", "word " * 3000), "prompt: has 3,002 tokens, and the model takes at most 2,048"),
        (("--tokenizer", "no\x1b"), r"tokenizer: no such file or folder, nor one of builtin, "),
        (("--tokenizer", "/"), "/: tokenizer: the folder has no tokenizer.json, tokenizer.model or GGUF file"),
        (("--tokenizer", "/dev/null"), "/dev/null: is not a regular file"),
        (("--weights", "/no/such\x1b"), "/no/such␛"),
    ],
)
def test_what_the_model_can_t_take_is_told(tracetui: Here, arguments: tuple[str, ...], said: str) -> None:
    assert tracetui.refused(*TINY, *arguments).startswith(said)


def _latin(path: Path) -> None:
    path.write_bytes("é".encode("latin-1"))


def _large(path: Path) -> None:
    path.write_bytes(b"a" * (2**20 + 1))


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "can't be opened: No such file or directory"),
        (_latin, "is not UTF-8 text, at byte 0"),
        (_large, "larger than the 1,048,576 bytes"),
        (os.mkfifo, "is not a regular file"),
        (_folder, "is not a regular file"),
    ],
)
def test_a_prompt_file_that_can_t_be_read_is_named(
    tracetui: Here, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "p\x1b"
    make(path)
    complaint = tracetui.refused(*TINY, "-p", f"@{path}")
    assert f"{tmp_path}/p␛: {said}" in complaint


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "--output: '': names no file"),
        (".", "--output: .: names no file"),
        ("..", "--output: ..: is a folder"),
        ("no/t.npz", "--output: no/t.npz: its folder doesn't exist"),
        ("file/t.npz", "--output: file/t.npz: its folder doesn't exist"),
        ("pipe", "--output: pipe: is not a regular file"),
        ("x" * 300, "--output: xxx"),
        ("no\x1b/t", "--output: no␛/t: its folder doesn't exist"),
    ],
)
def test_an_output_that_can_t_be_written_is_refused_before_the_run(
    tracetui: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    os.mkfifo("pipe")
    complaint = tracetui.refused(*TINY, "-o", name)
    assert complaint.startswith(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_refused_before_the_run(tracetui: Here, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert tracetui.refused(*TINY, "-o", str(tmp_path / "t.npz")).endswith("its folder can't be written to")


def test_the_debugger_needs_a_terminal(tracetui: Here) -> None:
    assert tracetui.refused("run", "llama-tiny") == "run: needs a terminal; `tracetui trace` works without one"


def _cut(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(1000))


def _pointer(path: Path) -> None:
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")


def _other_npz(path: Path) -> None:
    shutil.make_archive(str(path), "zip", paths.demo_configs())
    path.with_name(f"{path.name}.zip").rename(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "can't be opened: No such file or directory"),
        (Path.touch, "is empty; recordings and dumps are .npz, .npy and .safetensors files"),
        (_cut, "is a zip file that was cut short, or has more behind"),
        (_large, "is a text; recordings and dumps are"),
        (_pointer, "is a git-lfs pointer"),
        (_other_npz, ""),
        (os.mkfifo, "is not a regular file"),
        (_folder, "is a folder and no recording"),
    ],
)
def test_info_on_garbage_names_the_file(
    tracetui: Here, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "t\x1b.npz"
    make(path)
    for command in ("info", "open"):
        assert tracetui.refused(command, str(path)).startswith(f"{tmp_path}/t␛.npz: {said}")


def test_a_folder_without_weights_is_refused_before_anything_is_built(tracetui: Here, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such model"} | SMALLEST))
    assert tracetui.refused("trace", str(tmp_path)) == (
        f"{tmp_path}: model.safetensors: is missing; --weights random runs the model without it"
    )
    (tmp_path / "config.json").rename(tmp_path / "params.json")
    (tmp_path / "params.json").write_text(json.dumps(dict(PARAMS)))
    said = tracetui.refused("trace", str(tmp_path))
    assert said == f"{tmp_path}: consolidated.00.pth: is missing; --weights random runs the model without it"


def test_a_recording_replaces_recordings_alone(tracetui: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own file above all; an empty one, as mktemp makes it, is nobody's."""
    monkeypatch.chdir(tmp_path)
    for name, content in (("config.json", b"{}"), ("m.gguf", b"GGUF\3\0\0\0"), ("w.pth", b"PK\3\4" + b"a/data.pkl")):
        Path(name).write_bytes(content)
        said = tracetui("trace", "llama-tiny", "-p", "hi", "-o", name)
        told = f"tracetui: --output: {name}: is there and no recording; only recordings are replaced\n"
        assert (said.status, said.err, Path(name).read_bytes()) == (2, told, content)
    Path("empty.npz").touch()
    assert tracetui("trace", "no-such-model", "-o", "empty.npz").err.startswith("tracetui: no-such-model")


def test_merging_replaces_none_of_the_files_that_it_reads(tracetui: Here, tmp_path: Path) -> None:
    path = tmp_path / "rank00000.npz"
    write_trace(small_trace(), path)
    said = tracetui("merge", str(tmp_path), "-o", str(path))
    assert (said.status, said.err) == (2, f"tracetui: --output: {path}: is one of the files that are read\n")
