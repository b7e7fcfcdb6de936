"""What a name, a file or a folder gives, and what is said when there is nothing."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import pytest

from tests.models.tokenizers.samples import BIG, WALK_THROUGH, byte_level_json, learnt, llama3_file, sentencepiece_json
from tracetui.errors import InputError
from tracetui.models.tokenizers import load_tokenizer
from tracetui.models.tokenizers.families import ENCODINGS, llama3_specials
from tracetui.models.tokenizers.ranks import format_ranks
from tracetui.models.tokenizers.whereabouts import find_rank_file

CL100K_KEY = hashlib.sha1(b"https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken").hexdigest()


def many_ranks(count: int) -> list[bytes]:
    """The built-in tokens and then as many others as it takes."""
    tokens = learnt()
    known = set(tokens)
    triples = (bytes(triple) for triple in itertools.product(range(97, 256), range(128, 256), range(128, 256)))
    others = (triple for triple in triples if triple not in known)
    return [*tokens, *itertools.islice(others, count - len(tokens))]


@pytest.fixture(scope="module")
def cl100k_size() -> bytes:
    """A rank file with as many tokens as cl100k_base has."""
    return format_ranks(many_ranks(100_256))


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for tiktoken's cache, the current folder and the user's own."""
    for folder in ("cache", "here", "config"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TRACETUI_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_llama3_specials_stand_above_128000_ranks(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama3_file(tmp_path / "tokenizer.model", many_ranks(128_000))), 128_256)
    named = {
        128000: "<|begin_of_text|>",
        128001: "<|end_of_text|>",
        128002: "<|reserved_special_token_0|>",
        128005: "<|reserved_special_token_3|>",
        128006: "<|start_header_id|>",
        128007: "<|end_header_id|>",
        128008: "<|reserved_special_token_4|>",
        128009: "<|eot_id|>",
        128010: "<|reserved_special_token_5|>",
        128255: "<|reserved_special_token_250|>",
    }
    assert {token_id: tokenizer.token(token_id).bytes.decode() for token_id in named} == named
    assert all(tokenizer.token(token_id).special for token_id in named)
    assert tokenizer.vocab_size == 128_256
    assert tokenizer.name == f"tokenizer.model of {tmp_path} (Llama 3, 128,256 tokens)"
    assert [token.id for token in tokenizer.encode("<|eot_id|>")] == [128000, 128009]


def test_specials_follow_however_many_ranks_there_are(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama3_file(tmp_path / "tokenizer.model")), BIG)
    assert tokenizer.encode("")[0].id == 4096
    assert len(set(llama3_specials(0).values())) == len(llama3_specials(0)) == 256
    assert len(tokenizer.encode(WALK_THROUGH)) == 17


def test_id_beyond_the_models_vocabulary_names_both_numbers(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama3_file(tmp_path / "tokenizer.model")), 4000)
    with pytest.raises(InputError, match="id 4096 is outside the model's vocabulary of 4000 tokens"):
        tokenizer.encode("a")


def test_a_replaced_file_gives_the_new_ranks(tmp_path: Path) -> None:
    file = llama3_file(tmp_path / "tokenizer.model")
    before = load_tokenizer(str(file), BIG).encode("the universe")
    llama3_file(file, learnt()[:256])
    after = load_tokenizer(str(file), BIG).encode("the universe")
    assert len(before) == 3
    assert len(after) == 1 + len("the universe")


def test_folder_with_meta_params_goes_by_the_rank_file(tmp_path: Path) -> None:
    llama3_file(tmp_path / "tokenizer.model")
    byte_level_json(tmp_path / "tokenizer.json")
    assert load_tokenizer(str(tmp_path), BIG).name.startswith("tokenizer.json of ")
    (tmp_path / "params.json").write_text("{}")
    assert load_tokenizer(str(tmp_path), BIG).name.startswith("tokenizer.model of ")


def test_folder_with_one_file(tmp_path: Path) -> None:
    llama3_file(tmp_path / "tokenizer.model")
    assert "Llama 3" in load_tokenizer(str(tmp_path), BIG).name


def test_a_tokenizer_that_is_a_link_out_of_its_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "tokenizer.model").symlink_to("../secret")
    with pytest.raises(InputError, match=r"tokenizer.model: is a link that leads out of its folder"):
        load_tokenizer(str(tmp_path / "m"), 1000)


def test_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}: tokenizer: the folder has no tokenizer.json"):
        load_tokenizer(str(tmp_path), BIG)


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        InputError, match=r"no such file or folder, nor one of builtin, gpt2, .*cl100k_base.*got 'nosuch'"
    ):
        load_tokenizer("nosuch", BIG)


def test_named_encoding_that_is_not_at_hand_says_where_it_was_looked_for(nowhere: Path) -> None:
    with pytest.raises(InputError) as error:
        load_tokenizer("cl100k_base", BIG)
    places = [
        nowhere / "cache" / CL100K_KEY,
        *(nowhere / folder / "cl100k_base.tiktoken" for folder in ("here", "config")),
    ]
    assert all(str(place) in str(error.value) for place in places)


@pytest.mark.parametrize("place", [f"cache/{CL100K_KEY}", "here/cl100k_base.tiktoken", "config/cl100k_base.tiktoken"])
def test_named_encoding_is_found(nowhere: Path, place: str) -> None:
    (nowhere / place).touch()
    assert find_rank_file(ENCODINGS["cl100k_base"]) == nowhere / place


def test_cache_of_the_older_variable_and_none_at_all(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / "cache" / CL100K_KEY).touch()
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(nowhere / "cache"))
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    assert find_rank_file(ENCODINGS["cl100k_base"]).name == CL100K_KEY
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    with pytest.raises(InputError, match="not at hand"):
        find_rank_file(ENCODINGS["cl100k_base"])


def test_named_encoding_puts_the_given_id_in_front(nowhere: Path, cl100k_size: bytes) -> None:
    (nowhere / "cache" / CL100K_KEY).write_bytes(cl100k_size)
    plain = load_tokenizer("cl100k_base", 128_256)
    assert [token.id for token in plain.encode("<|endoftext|>")] == [100257]
    tokens = load_tokenizer("cl100k_base", 128_256, bos=128000).encode("the")
    assert (tokens[0].id, tokens[0].special) == (128000, True)
    assert tokens[1:] == plain.encode("the")


def test_rank_file_of_another_encoding_is_refused(nowhere: Path) -> None:
    llama3_file(nowhere / "here" / "cl100k_base.tiktoken")
    with pytest.raises(InputError, match="cl100k_base: its rank file has 100,256 tokens, got '4,096'"):
        load_tokenizer("cl100k_base", BIG)


def test_path_to_a_named_rank_file_is_read_as_that_encoding(nowhere: Path, cl100k_size: bytes) -> None:
    file = nowhere / "cl100k_base.tiktoken"
    file.write_bytes(cl100k_size)
    assert load_tokenizer(str(file), BIG).encode("<|endofprompt|>")[0].id == 100276


def test_patterns_of_all_encodings_compile_and_keep_the_bytes() -> None:
    import tiktoken

    ranks = {bytes([byte]): byte for byte in range(256)}
    text = "I'll SAY it's 1234567 o'clock\n\n  in  ZÜRICH/Łódź, 東京!!\r\n\t end  "
    for family in ENCODINGS.values():
        encoding = tiktoken.Encoding(family.name, pat_str=family.pattern, mergeable_ranks=ranks, special_tokens={})
        assert bytes(encoding.encode_ordinary(text)) == text.encode()


def test_special_ids_of_the_encodings_do_not_collide_with_their_ranks() -> None:
    for family in ENCODINGS.values():
        specials = family.specials(0)
        assert family.ranks is not None
        taken = set(range(family.ranks + len(family.holes))) - family.holes
        assert len(set(specials.values())) == len(specials)
        assert not taken & set(specials.values())


def test_sentencepiece_blanks_are_those_of_the_text(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(sentencepiece_json(tmp_path / "tokenizer.json")), BIG)
    assert [token.bytes for token in tokenizer.encode("the the")[1:]] == [b"the", b" the"]
    assert [token.bytes for token in tokenizer.encode(" the")[1:]] == [b"", b" the"]
    assert [token.bytes for token in tokenizer.encode("é")[1:]] == [b"", b"\xc3", b"\xa9"]
    assert tokenizer.token(tokenizer.encode("the")[1].id).bytes == b" the"


def test_truncation_in_the_file_does_not_cut_the_prompt(tmp_path: Path) -> None:
    import tokenizers

    file = byte_level_json(tmp_path / "tokenizer.json")
    library = tokenizers.Tokenizer.from_file(str(file))
    library.enable_truncation(3)
    library.enable_padding(length=50)
    library.save(str(file))
    assert len(load_tokenizer(str(file), BIG).encode("x" * 20)) == 21


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the tokenizer library refused it: EOF"),
        (b"{}", "the tokenizer library refused it"),
        (b"[" * 100_000, "the tokenizer library refused it"),
        (
            b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["x \x1b[31m"]}}',
            "the tokenizer library refused it",
        ),
        (b"\xff\xfe{}", "is not UTF-8 text, got 0xFF at byte 0"),
        (b"version https://git-lfs", "git-lfs pointer"),
    ],
)
def test_broken_json(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_tokenizer(str(file), BIG)
    assert str(file) in str(error.value)
    assert message in str(error.value)
    assert "\x1b" not in str(error.value)


def test_sentencepiece_file_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    with pytest.raises(InputError, match="SentencePiece"):
        load_tokenizer(str(tmp_path), BIG)


def test_a_cached_file_of_somebody_else_is_not_used(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = nowhere / "cache" / CL100K_KEY
    place.touch()
    monkeypatch.setattr("os.getuid", lambda: place.stat().st_uid + 1)
    if place.stat().st_uid == 0:
        os.chown(place, 12345, -1)
        monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(InputError, match="not at hand"):
        find_rank_file(ENCODINGS["cl100k_base"])
