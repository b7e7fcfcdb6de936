"""A tokenizer.json whose regular expressions take long: others run meanwhile, and it isn't waited for without end."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import Regex, models, pre_tokenizers

from tests.models.tokenizers.samples import BIG
from tracetui.errors import InputError
from tracetui.models.tokenizers import json_tokenizer, load_tokenizer
from tracetui.models.tokenizers.json_tokenizer import JsonTokenizer
from tracetui.models.tokenizers.patience import result_within
from tracetui.models.tokenizers.vocabulary import byte_of_character

SLOW = "(x+x+)+y"
"""For each further x before something else it takes twice as long."""


def saved(folder: Path, pattern: str) -> JsonTokenizer:
    library = tokenizers.Tokenizer(models.BPE(byte_of_character(), []))
    library.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    library.save(str(folder / "tokenizer.json"))
    tokenizer = load_tokenizer(str(folder), BIG)
    assert isinstance(tokenizer, JsonTokenizer)
    return tokenizer


def test_a_prompt_that_takes_too_long_is_refused_by_the_tokenizer_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = saved(tmp_path, SLOW)
    monkeypatch.setattr(json_tokenizer, "_FEWEST_SECONDS", 0.05)
    with pytest.raises(InputError, match=r"the prompt: tokenizer.json of .* isn't done with it after 0 s: its regular"):
        tokenizer.encode(("x" * 21 + " ") * 3)
    monkeypatch.undo()
    assert [token.bytes for token in tokenizer.encode("xxy")] == [b"x", b"x", b"y"]


def test_others_run_while_a_prompt_is_tokenized(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, SLOW)
    turns = 0
    thread = threading.Thread(target=tokenizer.encode, args=(("x" * 21 + " ") * 3,))
    thread.start()
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert turns > 2


def test_what_work_gives_and_raises_is_had_and_what_never_ends_is_left() -> None:
    def fail() -> None:
        raise KeyError("x")

    assert result_within(60, lambda: 7) == 7
    with pytest.raises(KeyError, match="x"):
        result_within(60, fail)
    end = threading.Event()
    assert result_within(0.01, lambda: end.wait(60)) is None
    end.set()


def test_more_entries_than_any_vocabulary_has_are_refused_before_the_library_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(text: str) -> Any:
        raise AssertionError("was read")

    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"merges": [[]] * 2_000_000}))
    monkeypatch.setattr(tokenizers.Tokenizer, "from_str", never)
    with pytest.raises(InputError, match="has more than 2,000,000 entries, got 2,000,002"):
        load_tokenizer(str(path), BIG)
