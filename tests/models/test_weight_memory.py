"""Memory for weights goes back when they are dropped, whatever was kept meanwhile."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tracetui.models.weights.memory import LARGE, ReusedMemory, empty_weight
from tracetui.tracer.capture.alias import capture_function


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (3, 5), (LARGE // 2,), (LARGE // 2 - 1,), (512, 1025)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_it_is_a_tensor_like_any_other(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    made = empty_weight(shape, dtype)
    like = torch.empty(shape, dtype=dtype)
    assert (made.shape, made.dtype, made.stride()) == (like.shape, like.dtype, like.stride())
    made.fill_(2.0)
    assert torch.equal(made, torch.full_like(like, 2.0))
    assert torch.equal(made[:1] if shape else made, torch.full_like(like, 2.0)[:1] if shape else made)


def test_memory_that_no_tensor_uses_is_used_again() -> None:
    memory = ReusedMemory()
    with memory.used():
        first, other = empty_weight((LARGE,), torch.float32), empty_weight((2 * LARGE,), torch.float32)
        place, view = first.data_ptr(), first[5:]
        del first
        assert empty_weight((LARGE,), torch.float32).data_ptr() != place, "a view of it is still there"
        view.fill_(7.0)
        recorded = capture_function()(view)
        del view
        again = empty_weight((LARGE // 2, 4), torch.bfloat16).fill_(0.0)
        assert bool((again == 0.0).all())
        assert bool((recorded == 7.0).all()), "what was recorded stays as it was"
        assert empty_weight((2 * LARGE,), torch.float32).data_ptr() != other.data_ptr()
        del again, recorded
        made = {empty_weight((LARGE,), torch.float32).data_ptr() for _ in range(9)}
        assert made == {place}, "one after the other, all lie in the same place"
    assert empty_weight((LARGE,), torch.float32).data_ptr() != place, "others have their own"
    memory.release()
    other.fill_(3.0)
    assert bool((other == 3.0).all()), "it is there as long as its tensor is"


def test_a_smaller_weight_lies_in_what_a_larger_one_left_and_nothing_waits_beside_a_larger_one() -> None:
    memory = ReusedMemory()
    with memory.used():
        large = empty_weight((4 * LARGE,), torch.float32)
        place = large.data_ptr()
        del large
        assert empty_weight((LARGE,), torch.float32).data_ptr() == place
        empty_weight((8 * LARGE,), torch.float32)
        assert memory.nbytes == 8 * 4 * LARGE, "the smaller one is given back"
    memory.release()
    assert memory.nbytes == 0


GROWN = """
import sys, torch
from tracetui.models.weights.available_memory import own_bytes
from tracetui.models.weights.memory import empty_weight
from tracetui.tracer.capture.allocator import keep_freed_memory

MIB = 2**20
makers = {
    "weight": lambda: empty_weight((16 * MIB,), torch.uint8),
    "copy of a kernel's": lambda: torch.empty(16 * MIB, dtype=torch.uint8),
}
keep_freed_memory()
makers[sys.argv[1]]().fill_(1)
kept, before = [], own_bytes()
for _ in range(16):
    weight = makers[sys.argv[1]]().fill_(1)
    kept.append(torch.ones(MIB // 8, dtype=torch.uint8))
    del weight
assert all(bool(tensor.all()) for tensor in kept)
print((own_bytes() - before) // MIB)
"""
"""Each kept tensor would fit into the memory that the weight before it left."""


@pytest.mark.parametrize("make", ["weight", "copy of a kernel's"])
def test_what_was_kept_while_weights_came_and_went_is_all_that_stays(make: str) -> None:
    """In a process of its own: in one that has run other things, malloc finds room in what those left."""
    done = subprocess.run([sys.executable, "-c", GROWN, make], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    # Kept in the heap, every one of the sixteen would have left its hole.
    assert int(done.stdout) < 3 * 16
