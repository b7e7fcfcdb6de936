"""Panics of the compiled libraries become errors; interrupts and cancels stay what they are."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress

import pytest
import tiktoken

from tracetui.errors import Cancelled, InputError
from tracetui.models.tokenizers.guard import library_errors


def panic() -> None:
    duplicate = {bytes([byte]): byte for byte in range(256)} | {b"ab": 3}
    tiktoken.Encoding("x", pat_str=".", mergeable_ranks=duplicate, special_tokens={})


def test_a_real_panic_becomes_an_input_error() -> None:
    with (
        pytest.raises(InputError, match=r"^here: the tokenizer library refused it: .*equal length"),
        library_errors("here"),
    ):
        panic()


@pytest.mark.parametrize("guarded", [True, False])
def test_what_is_written_of_a_panic_stays_off_the_terminal(guarded: bool) -> None:
    screen, terminal = os.openpty()
    stderr = os.dup(2)
    os.dup2(terminal, 2)
    try:
        with pytest.raises(BaseException, match="equal length"), library_errors("here") if guarded else nullcontext():
            panic()
        assert os.isatty(2)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(terminal)
    written = b""
    with suppress(OSError):
        while block := os.read(screen, 4096):
            written += block
    os.close(screen)
    assert (b"panicked" in written) != guarded
    assert not (guarded and written)


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
