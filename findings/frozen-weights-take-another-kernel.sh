#!/usr/bin/env bash
# Freezing a weight changes the last bits of what it is multiplied with, even where no gradient is ever taken.
#
# torch 2.13.0, CPU. A weight [O,I] times a batch [B,I,T], as in Mamba's time-step projection, runs as one matrix product
# (mm) if the weight requires a gradient, and as a batch of products (bmm) if it does not; torch.nn.functional.linear of
# an input that is not contiguous does the same. torch.no_grad() makes no difference: the flag on the weight decides. So
# model.requires_grad_(False), or parameters made with requires_grad=False, give other logits in the last bits than
# the same weights as a fresh model has them. Whoever compares two runs bit for bit must keep the flag the same.
#
# Seen (x86-64 with AVX-512, torch's CPU build):
#   requires_grad=True  transpose transpose t view mm _unsafe_view transpose clone
#   requires_grad=False transpose expand view expand view bmm _unsafe_view
#   equal to the bit: False, largest difference 3.8e-06
# Which product ran is checked; whether the bits differ depends on the processor and is only printed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Keeps the names of what torch's dispatcher runs."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.append(operation._schema.name.removeprefix("aten::"))
        return operation(*args, **(kwargs or {}))


torch.manual_seed(0)
inputs = torch.randn(1, 64, 11)  # [B,I,T]
values = torch.randn(64, 64)  # [O,I]
ran, outputs = {}, []
for flag in (True, False):
    weight = torch.nn.Parameter(values.clone(), requires_grad=flag)
    with torch.no_grad(), Operations() as operations:
        outputs.append(weight @ inputs)  # [B,O,T]
    ran[flag] = operations.names
    print(f"requires_grad={flag!s:5}", *operations.names)
same, apart = torch.equal(*outputs), (outputs[0] - outputs[1]).abs().max().item()
print(f"equal to the bit: {same}, largest difference {apart:.2g}")
if "mm" not in ran[True] or "bmm" not in ran[False]:
    raise SystemExit("this has changed: the flag no longer decides between mm and bmm")
PYTHON
