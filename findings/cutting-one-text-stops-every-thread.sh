#!/usr/bin/env bash
# tokenizers' encode stops every other thread of the program for as long as it takes; encode_batch does not.
#
# tokenizers 0.23.3. Tokenizer.encode(text) keeps Python's global lock from its first to its last byte;
# encode_batch([text])[0] gives the same ids and lets go of it. A program that cuts a long text in a thread, so that
# its screen or server goes on meanwhile, stands still with the first and not with the second.
#
# Seen (Python 3.11; a thread that sleeps 5 ms at a time while a text of 2.4 million characters is cut; the counts
# vary with the machine):
#   encode:       the other thread came to its turn 1 times
#   encode_batch: the other thread came to its turn 1054 times
#   the ids are the same: True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check tokenizers==0.23.3

HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import threading
import time

from tokenizers import Tokenizer, models, pre_tokenizers

bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={byte: id_ for id_, byte in enumerate(bytes_)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
text = "a few words of no meaning, " * 90_000


def turns(cut):
    """What `cut` returns, and how often another thread came to its turn meanwhile."""
    count, over = 0, threading.Event()

    def tick():
        nonlocal count
        while not over.is_set():
            count += 1
            time.sleep(0.005)

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.05)
    before = count
    encoding = cut()
    during = count - before
    over.set()
    thread.join()
    return encoding.ids, during


alone, alone_turns = turns(lambda: tokenizer.encode(text))
batch, batch_turns = turns(lambda: tokenizer.encode_batch([text])[0])
print(f"encode:       the other thread came to its turn {alone_turns} times")
print(f"encode_batch: the other thread came to its turn {batch_turns} times")
print(f"the ids are the same: {alone == batch}")
if alone != batch or alone_turns * 10 > batch_turns:
    raise SystemExit("this has changed: encode lets other threads run too")
PYTHON
