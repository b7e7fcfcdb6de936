#!/usr/bin/env bash
# A model that is to be cut both by tensors and by stages of layers is not made: a weight of another stage is looked up.
#
# transformers 5.23.0, torch 2.13.0, gloo, four processes. DistributedConfig takes tp_size and pp_size together, and a
# mesh of two axes is made of them. Then the plan of tensors is spelled out for every layer before the layers of other
# stages are taken out, and each weight of the plan is looked up afterwards: one that this stage lacks raises a KeyError.
# Either size alone works.
#
# Seen, of a rank of the first stage and of one of the second:
#   rank 0: KeyError: 'model.layers.1.self_attn.q_proj.weight'
#   rank 3: KeyError: 'model.embed_tokens.weight'
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

cat > "$folder/make.py" <<'PYTHON'
import os
import sys

import torch
import torch.distributed as dist
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.distributed import DistributedConfig

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def make(rank: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "4"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[1]}
    dist.init_process_group("gloo")
    model = LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=4, vocab_size=64))
    config, _, mesh = model.prepare_distribute_model(DistributedConfig(tp_size=2, pp_size=2))
    try:
        model.maybe_distribute_model(model, config, mesh)
        problem = None
    except KeyError as error:
        problem = error.args[0]
    dist.barrier()
    if rank in (0, 3):
        print(f"rank {rank}: KeyError: {problem!r}", flush=True)
    dist.destroy_process_group()
    if problem is None:
        raise SystemExit("this has changed: such a model is made")


if __name__ == "__main__":
    torch.multiprocessing.spawn(make, nprocs=4)
PYTHON
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
GLOO_SOCKET_IFNAME=lo HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore "$folder/make.py" "$port"
