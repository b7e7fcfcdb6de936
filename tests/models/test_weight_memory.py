"""Memory for weights goes back when they are dropped, whatever was kept meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tracetui.models.plan import own_bytes
from tracetui.models.weight_memory import LARGE, empty_weight
from tracetui.tracer.allocator import keep_freed_memory

MIB = 2**20


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (3, 5), (LARGE // 2,), (LARGE // 2 - 1,), (512, 1025)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_it_is_a_tensor_like_any_other(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    made = empty_weight(shape, dtype)
    like = torch.empty(shape, dtype=dtype)
    assert (made.shape, made.dtype, made.stride()) == (like.shape, like.dtype, like.stride())
    made.fill_(2.0)
    assert torch.equal(made, torch.full_like(like, 2.0))
    assert torch.equal(made[:1] if shape else made, torch.full_like(like, 2.0)[:1] if shape else made)


def weight_of(length: int) -> torch.Tensor:
    return empty_weight((length,), torch.uint8)


def copy_of_a_kernel_s(length: int) -> torch.Tensor:
    return torch.empty(length, dtype=torch.uint8)


@pytest.mark.parametrize("make", [weight_of, copy_of_a_kernel_s])
def test_what_was_kept_while_weights_came_and_went_is_all_that_stays(make: Callable[[int], torch.Tensor]) -> None:
    """Each kept tensor would fit into the memory that the weight before it left."""
    keep_freed_memory()
    kept, before = [], own_bytes()
    for _ in range(16):
        weight = make(16 * MIB).fill_(1)
        kept.append(torch.ones(MIB // 8, dtype=torch.uint8))
        del weight
    # Kept in the heap, every one of the sixteen would have left its hole.
    assert own_bytes() - before < 3 * 16 * MIB
    assert all(bool(tensor.all()) for tensor in kept)
