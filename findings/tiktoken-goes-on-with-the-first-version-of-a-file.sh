#!/usr/bin/env bash
# tiktoken reads a local rank file once and for all: a file replaced by another still gives the old ranks.
#
# tiktoken 0.14.0. load_tiktoken_bpe, by which Meta's code for Llama 3 reads tokenizer.model, keeps what it read in a
# folder for temporary files under the hash of the path, for files on disk as for addresses. Convert a tokenizer again
# or put another model into the same folder, and prompts are cut by the ranks of before, in later processes too,
# without a word. TIKTOKEN_CACHE_DIR="" switches it off.
#
# Seen:
#   as it is: rank of b'a' 97, once the file is replaced 97, right is 158
#   switched off: rank of b'a' 97, once the file is replaced 158, right is 158
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    tiktoken==0.14.0

for cache in "$folder/cache" ""; do
    TIKTOKEN_CACHE_DIR=$cache "$folder/venv/bin/python" - "$folder/tokenizer.model" <<'PYTHON'
import base64
import os
import sys

from tiktoken.load import load_tiktoken_bpe


def write(order):
    """A rank file of the 256 bytes in an order."""
    with open(sys.argv[1], "w") as file:
        file.writelines(f"{base64.b64encode(bytes([byte])).decode()} {rank}\n" for rank, byte in enumerate(order))


write(range(256))
first = load_tiktoken_bpe(sys.argv[1])[b"a"]
write(range(255, -1, -1))
second = load_tiktoken_bpe(sys.argv[1])[b"a"]
kept = bool(os.environ["TIKTOKEN_CACHE_DIR"])
switch = "as it is" if kept else "switched off"
print(f"{switch}: rank of b'a' {first}, once the file is replaced {second}, right is 158")
if (first, second) != (97, 97 if kept else 158):
    raise SystemExit("this has changed: a replaced file is read again, or the switch does otherwise")
PYTHON
done
