"""Panics of the compiled libraries become errors; interrupts and cancels stay what they are."""

from __future__ import annotations

import pytest
import tiktoken

from tracetui.errors import Cancelled, InputError
from tracetui.models.tokenizers.guard import library_errors


def test_a_real_panic_becomes_an_input_error() -> None:
    duplicate = {bytes([byte]): byte for byte in range(256)} | {b"ab": 3}
    with (
        pytest.raises(InputError, match=r"^here: the tokenizer library refused it: .*equal length"),
        library_errors("here"),
    ):
        tiktoken.Encoding("x", pat_str=".", mergeable_ranks=duplicate, special_tokens={})


@pytest.mark.parametrize("kind", [Cancelled, KeyboardInterrupt, SystemExit])
def test_interrupts_pass(kind: type[BaseException]) -> None:
    with pytest.raises(kind), library_errors("here"):
        raise kind


def test_own_errors_pass_unchanged() -> None:
    with pytest.raises(InputError, match=r"^mine$"), library_errors("here"):
        raise InputError("mine")


def test_foreign_text_is_made_visible() -> None:
    with pytest.raises(InputError) as error, library_errors("here"):
        raise ValueError("\x1b[31mred")
    assert "\x1b" not in str(error.value)
