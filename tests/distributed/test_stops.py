"""Stops of several ranks: all leave at the same record, and the next call is what it would have been."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import tracetui
from tests.distributed.models import IDS, whole
from tests.distributed.ranks import on_ranks, spread
from tracetui.errors import RunError
from tracetui.models.ranks.local import local_tensor, whole_indices
from tracetui.tracer.hooks import guard  # noqa: F401  # before the fork, too
from tracetui.tracer.ranks import together

Q_PROJ = "model.layers.0.self_attn.q_proj"
PLACE = (19, 3)
"""Of an element of its weight, which lies on the second of two ranks."""


@pytest.fixture(scope="module", autouse=True)
def _made_before_the_fork() -> None:
    for family in ("Llama", "Mixtral"):
        whole(family)


def _stopped(rank: int, family: str, sizes: dict[str, int]) -> Any:
    """Where a call stops because of one weight, and whether the calls before and after it are alike."""
    sound = float(whole(family).get_parameter(f"{Q_PROJ}.weight")[PLACE])
    model = spread(whole(family), **sizes)
    with torch.no_grad():
        before = model(IDS).logits
        _put(model, float("nan"))
        with pytest.raises(tracetui.StopHit) as caught, tracetui.stops("nan"):
            model(IDS)
        _put(model, sound)
        after = model(IDS).logits
        with tracetui.stops("nan"):
            again = model(IDS).logits
    hit = caught.value
    return hit.record.key, len(hit.hits), str(hit), torch.equal(before, after), torch.equal(before, again)


def _put(model: Any, value: float) -> None:
    """Change an element of a weight where it lies."""
    weight = dict(model.named_parameters()).get(f"{Q_PROJ}.weight")
    if weight is None:
        return
    here = [whole_indices(weight, dimension).tolist() for dimension in range(weight.ndim)]
    if all(place in indices for place, indices in zip(PLACE, here, strict=True)):
        local = tuple(indices.index(place) for place, indices in zip(PLACE, here, strict=True))
        local_tensor(weight.data)[local] = value


def test_all_leave_where_a_stop_holds_on_one_rank() -> None:
    first, second = on_ranks(2, _stopped, "Llama", {"tp_size": 2})
    assert (first[0], second[0]) == (Q_PROJ, Q_PROJ)
    assert (first[1], second[1]) == (0, 1)
    assert f"rank 1 of 2: stop nan: {Q_PROJ} (step 5)" in first[2]
    assert "its own weights have it" in second[2]
    assert [*first[3:], *second[3:]] == [True] * 4


@pytest.mark.parametrize("sizes", [{"fsdp_size": 2}, {"pp_size": 2}, {"tp_size": 2, "ep_size": 2}])
def test_every_form_is_as_it_was_after_a_stop(sizes: dict[str, int]) -> None:
    """Stages leave once all have ended: what one has computed another one waits for."""
    first, second = on_ranks(2, _stopped, "Mixtral" if "ep_size" in sizes else "Llama", sizes)
    assert [*first[3:], *second[3:]] == [True] * 4
    assert first[1] + second[1]


def _alone(rank: int) -> str:
    together._PATIENCE = 0.2
    if rank == 0:
        with pytest.raises(RunError) as caught, tracetui.stops("nan"):
            whole("Llama")(IDS)
        return str(caught.value)
    return ""


def test_a_rank_that_does_not_come_is_named() -> None:
    expected = "tracetui.stops: rank 1 of 2 didn't call it in 0 seconds; all ranks have to"
    assert on_ranks(2, _alone)[0] == expected
