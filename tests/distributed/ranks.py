"""Several ranks of one program, forked from this process: what is imported and built already is there at once."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.tensor  # before the fork: a second for each rank
import transformers.distributed.pipeline_parallel  # noqa: F401
from torch import nn
from transformers.distributed.configuration_utils import DistributedConfig

_PATIENCE = 60.0
"""Seconds after which ranks that wait for one another are ended."""


def on_ranks(count: int, body: Callable[..., Any], *arguments: object) -> list[Any]:
    """What `body(rank, *arguments)` returns on each of so many ranks; raises AssertionError with a rank's traceback."""
    port = _free_port()
    children = [_start(rank, count, port, body, arguments) for rank in range(count)]
    ends = {end: rank for rank, (_, end) in enumerate(children)}
    answers: dict[int, Any] = {}
    until = time.monotonic() + _PATIENCE
    try:
        while ends:
            ready = select.select(list(ends), [], [], max(0.0, until - time.monotonic()))[0]
            assert ready, f"ranks {sorted(ends.values())} wait for ever"
            with os.fdopen(ready[0], "rb") as pipe:
                worked, answers[ends.pop(ready[0])] = pickle.loads(pipe.read())
            # The others may wait for one that failed.
            assert worked, answers.popitem()[1]
    finally:
        for rank, (process, _) in enumerate(children):
            if rank not in answers:
                os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    return [answers[rank] for rank in range(count)]


def spread(model: Any, **sizes: int) -> Any:
    """A model of transformers on the ranks of this program, each with its part: `tp_size=2`."""
    config, _, mesh = type(model).prepare_distribute_model(DistributedConfig(**sizes))
    return type(model).maybe_distribute_model(model, config, mesh)


def spoilt(model: nn.Module, name: str, index: tuple[int, ...], value: float = float("nan")) -> nn.Module:
    """A model with one of its weights changed."""
    with torch.no_grad():
        model.get_parameter(name)[index] = value
    return model


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _start(
    rank: int, count: int, port: int, body: Callable[..., Any], arguments: tuple[object, ...]
) -> tuple[int, int]:
    """The process of a rank, and where its answer can be read."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process:
        os.close(theirs)
        return process, ours
    os.close(ours)
    answer = _answer(rank, count, port, body, arguments)
    with os.fdopen(theirs, "wb") as pipe:
        pipe.write(answer)
    os._exit(0)


def _answer(rank: int, count: int, port: int, body: Callable[..., Any], arguments: tuple[object, ...]) -> bytes:
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
        dist.init_process_group("gloo")
        answer = pickle.dumps((True, body(rank, *arguments)))
        dist.barrier()
        dist.destroy_process_group()
        return answer
    except BaseException:
        return pickle.dumps((False, f"rank {rank}: {traceback.format_exc()}"))
