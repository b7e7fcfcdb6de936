#!/usr/bin/env bash
# Each new number of rows that a bfloat16 product has takes more than half a megabyte, and most of it is never given back.
#
# torch 2.13.0, CPU. torch.nn.functional.linear in bfloat16 is oneDNN's, which makes machine code for each shape that it
# meets. A mixture run expert by expert gives each expert another number of tokens, and so makes hundreds of kernels in
# one long prompt: memory that no allocator of torch's counts, and that a plan made of weights and activations misses.
# ONEDNN_PRIMITIVE_CACHE_CAPACITY=0 saves what the cache of primitives holds, a third of it. The same numbers of rows
# again add nothing, so tokens padded to a few numbers of rows don't either; float32 doesn't do it.
#
# Seen (AMD EPYC with avx512_bf16, torch's CPU build; MB of resident memory that 512 numbers of rows add):
#   bfloat16: +329.4, the same products once more: +0.1
#   bfloat16 without oneDNN's cache of primitives: +200.2
#   float32:  +1.0
# On a processor without avx512_bf16 or amx_bf16 the numbers are only printed: oneDNN may take another way there.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

cat > "$folder/rows.py" <<'PYTHON'
import sys

import torch
from torch.nn.functional import linear

ROWS, WIDTH = 512, 256


def resident():
    """Megabytes of this process that lie in memory."""
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def added(dtype):
    """What products of 1 to 512 rows add, and what the same ones add once more."""
    weight, inputs = torch.randn(WIDTH, WIDTH).to(dtype), torch.randn(ROWS, WIDTH).to(dtype)
    linear(inputs, weight)
    for _ in range(2):
        before = resident()
        for rows in range(1, ROWS):
            linear(inputs[:rows], weight)
        yield resident() - before


torch.set_num_threads(1)
with torch.inference_mode():
    print(*(f"{megabytes:.1f}" for megabytes in added(getattr(torch, sys.argv[1]))))
PYTHON

if [ ! -r /proc/self/status ] || [ ! -r /proc/cpuinfo ]; then
    echo "not shown: this system has no /proc to read memory and processor from"
    exit 0
fi
read -r narrow again < <("$folder/venv/bin/python" "$folder/rows.py" bfloat16)
read -r uncached _ < <(ONEDNN_PRIMITIVE_CACHE_CAPACITY=0 "$folder/venv/bin/python" "$folder/rows.py" bfloat16)
read -r wide _ < <("$folder/venv/bin/python" "$folder/rows.py" float32)
echo "bfloat16: +$narrow, the same products once more: +$again"
echo "bfloat16 without oneDNN's cache of primitives: +$uncached"
echo "float32:  +$wide"
if ! grep -qE '\b(avx512_bf16|amx_bf16)\b' /proc/cpuinfo; then
    echo "not checked: this processor has neither avx512_bf16 nor amx_bf16"
elif ! awk -v narrow="$narrow" -v wide="$wide" 'BEGIN { exit !(narrow > 100 && wide < narrow / 5) }'; then
    echo "this has changed: bfloat16 products of other numbers of rows no longer keep so much memory"
    exit 1
fi
