#!/usr/bin/env bash
# An error out of a layer's forward that is caught leaves the layer of FSDP2 with whole weights, until it runs again.
#
# torch 2.13.0, gloo, two processes. fully_shard gathers a layer's weights before its forward and gives them back in a
# hook after it. A forward that raises, in a module, a hook or a debugger, has no hook after it: whoever catches the
# error, as one does that tries a smaller batch after running out of memory, holds a model whose layer has all of its
# weights on every rank. named_parameters gives plain tensors there, not DTensors, so that a checkpoint written now, or a
# norm taken over it, differs in kind from that of a moment before. The next forward of the layer puts it right.
#
# Seen:
#   rank 0: before DTensor, of its own 8 of 16 elements; after the error Parameter, 16 of 16; after the next call DTensor
#   rank 1: before DTensor, of its own 8 of 16 elements; after the error Parameter, 16 of 16; after the next call DTensor
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

cat > "$folder/catch.py" <<'PYTHON'
import os
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def held(weight: torch.Tensor) -> int:
    return getattr(weight, "_local_tensor", weight).numel()


def fail(*_: object) -> None:
    raise ValueError("the batch is too large")


def catch(rank: int) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[1]}
    dist.init_process_group("gloo")
    layer = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model = nn.Sequential(layer)
    for each in (layer, model):
        fully_shard(each, mesh=init_device_mesh("cpu", (2,)))
    seen = [(type(layer[0].weight).__name__, held(layer[0].weight))]
    failing = layer[1].register_forward_hook(fail)
    try:
        model(torch.ones(1, 4))
    except ValueError:
        failing.remove()
    seen.append((type(layer[0].weight).__name__, held(layer[0].weight)))
    model(torch.ones(1, 4))
    seen.append((type(layer[0].weight).__name__, held(layer[0].weight)))
    for turn in range(2):
        if turn == rank:
            (before, own), (after, whole), (again, _) = seen
            print(
                f"rank {rank}: before {before}, of its own {own} of 16 elements; after the error {after}, {whole} of 16; "
                f"after the next call {again}",
                flush=True,
            )
        dist.barrier()
    dist.destroy_process_group()
    if seen != [("DTensor", 8), ("Parameter", 16), ("DTensor", 8)]:
        raise SystemExit(f"this has changed: {seen}")


if __name__ == "__main__":
    torch.multiprocessing.spawn(catch, nprocs=2)
PYTHON
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
GLOO_SOCKET_IFNAME=lo "$folder/venv/bin/python" -W ignore "$folder/catch.py" "$port"
