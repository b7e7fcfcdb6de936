#!/usr/bin/env bash
# Whether a sharded DTensor holds a NaN, and what it sums up to, each rank answers for its own part, without a word.
#
# torch 2.13.0, gloo, two processes. A DTensor of four elements is cut in two; the only NaN lies on rank 1. Printed as a
# shape it is the whole tensor, and `torch.isnan(whole).any()` is a DTensor too, one whose parts haven't been put together.
# bool() and float() of such a result take the rank's own part of it. A check such as `if torch.isnan(x).any(): raise`
# under tensor parallelism or FSDP2 therefore ends one rank, and leaves the others waiting in their next collective.
#
# Seen:
#   rank 0: shape (4,), any NaN False, sum 2.0, sum of the full tensor nan
#   rank 1: shape (4,), any NaN True, sum nan, sum of the full tensor nan
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

cat > "$folder/ask.py" <<'PYTHON'
import math
import os
import sys

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard


def ask(rank: int) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[1]}
    dist.init_process_group("gloo")
    local = torch.tensor([1.0, 1.0] if rank == 0 else [1.0, math.nan])
    whole = DTensor.from_local(local, init_device_mesh("cpu", (2,)), [Shard(0)])
    has_nan, total, full = bool(torch.isnan(whole).any()), float(whole.sum()), float(whole.full_tensor().sum())
    for turn in range(2):
        if turn == rank:
            print(
                f"rank {rank}: shape {tuple(whole.shape)}, any NaN {has_nan}, sum {total}, sum of the full tensor {full}",
                flush=True,
            )
        dist.barrier()
    dist.destroy_process_group()
    if has_nan is not bool(rank) or math.isnan(total) is not bool(rank) or not math.isnan(full):
        raise SystemExit("this has changed: the ranks answer alike")


if __name__ == "__main__":
    torch.multiprocessing.spawn(ask, nprocs=2)
PYTHON
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
GLOO_SOCKET_IFNAME=lo "$folder/venv/bin/python" -W ignore "$folder/ask.py" "$port"
