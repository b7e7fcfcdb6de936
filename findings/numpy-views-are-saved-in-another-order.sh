#!/usr/bin/env bash
# safetensors.numpy saves a transposed or strided array with its elements in another order, without a word.
#
# safetensors 0.8.0, numpy 2.4.6. save_file writes the bytes of the memory that a view begins at, in the order in which
# they lie there, under the shape of the view: weight.T comes back as the numbers of weight, and x[:, ::2] with
# elements that are not in it. safetensors.torch refuses such tensors and says what to do. Write
# numpy.ascontiguousarray(x): a dump for a comparison is otherwise wrong before anything is compared.
#
# Seen:
#   weight: saved [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], read [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
#   weight.T: saved [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]], read [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
#   weight[:, ::2]: saved [[0.0, 2.0], [3.0, 5.0]], read [[0.0, 1.0], [2.0, 3.0]]
#   copied first, equal: True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    numpy==2.4.6 safetensors==0.8.0

"$folder/venv/bin/python" - "$folder/dump.safetensors" <<'PYTHON'
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

weight = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {"weight": weight, "weight.T": weight.T, "weight[:, ::2]": weight[:, ::2]}
save_file(arrays, sys.argv[1])
read = load_file(sys.argv[1])
for name, array in arrays.items():
    print(f"{name}: saved {array.tolist()}, read {read[name].tolist()}")
save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, sys.argv[1])
copied = load_file(sys.argv[1])
print("copied first, equal:", all(np.array_equal(array, copied[name]) for name, array in arrays.items()))
equal = [np.array_equal(array, read[name]) for name, array in arrays.items()]
if equal != [True, False, False]:
    raise SystemExit("this has changed: views come back as they were saved")
PYTHON
