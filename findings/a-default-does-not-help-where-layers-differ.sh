#!/usr/bin/env bash
# getattr with a default, and hasattr, raise on the configuration of a model whose layers differ.
#
# transformers 5.23.0. Gemma 4's configuration has heads of 256 in some layers and of 512 in others, and keeps one
# configuration a layer (per_layer_config). Reading head_dim from the whole raises AmbiguousGlobalPerLayerAttributeError,
# which is a RuntimeError and no AttributeError, so that getattr(config, "head_dim", None) and hasattr(config, "head_dim")
# raise as well, although to_dict() has a key of that name: every loop over a configuration's fields that reads them as
# attributes has to expect it.
#
# Seen:
#   layers 0 and 5: 256 512
#   getattr(config, 'head_dim', None): AmbiguousGlobalPerLayerAttributeError
#   hasattr(config, 'head_dim'): AmbiguousGlobalPerLayerAttributeError
#   named in to_dict(): True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
from transformers import Gemma4TextConfig

config = Gemma4TextConfig()
print("layers 0 and 5:", config.per_layer_config[0].head_dim, config.per_layer_config[5].head_dim)
for read in ("getattr(config, 'head_dim', None)", "hasattr(config, 'head_dim')"):
    try:
        print(f"{read}: {eval(read)}")
    except RuntimeError as error:
        print(f"{read}: {type(error).__name__}")
    else:
        raise SystemExit("this has changed: a default is a default again")
print("named in to_dict():", "head_dim" in config.to_dict())
PYTHON
