"""Running a GGUF file against loading it with transformers: whole processes, with their peak memory.

Run it with `python -m tests.benchmarks gguf`; it takes some minutes, 4 GB of memory and 1 GB of disk.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.results import Results
from tests.benchmarks.weights import IDS, ran, tracetui

HIDDEN, INNER, LAYERS = 2048, 8192, 8
WRITE = f"""
import sys
import torch
from pathlib import Path
from gguf import GGMLQuantizationType
from transformers import LlamaConfig, LlamaForCausalLM
from tests.models.gguf.convert import write_gguf
config = LlamaConfig(hidden_size={HIDDEN}, num_hidden_layers={LAYERS}, num_attention_heads=16, num_key_value_heads=4,
                     head_dim=128, intermediate_size={INNER}, vocab_size=32000, dtype="bfloat16", pad_token_id=None)
with torch.device("meta"):
    model = LlamaForCausalLM(config).to(torch.bfloat16)
model = model.to_empty(device="cpu")
for parameter in model.parameters():
    parameter.data.normal_(0.0, 0.02)
write_gguf(model, Path(sys.argv[1]), GGMLQuantizationType.Q8_0)
"""
LOADED = """
import sys
import torch
from pathlib import Path
from transformers import AutoModelForCausalLM
path = Path(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
with torch.no_grad():
    model(input_ids=torch.tensor([[int(i) for i in sys.argv[2].split(",")]]), use_cache=False)
"""
EMPTY = """
import tracetui.models.runnable, tracetui.tracer.run
from transformers import LlamaForCausalLM
"""
"""What both take before there is a weight."""


def main(results: Results, rounds: int = 3) -> None:
    results.begin("gguf", "a GGUF file's blocks turned back layer by layer, beside transformers' own loading of it")
    if importlib.util.find_spec("accelerate") is None:
        print("  transformers' own loading wants accelerate, which isn't installed", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        ran("-c", WRITE, str(path))
        size = path.stat().st_size / 1e9
        streamed, loaded = [], []
        for _ in range(rounds):
            streamed.append(tracetui("trace", str(path), "--tokens", IDS, "--memory", "0", "--keep", "stats"))
            loaded.append(ran("-c", LOADED, str(path), IDS))
        empty = ran("-c", EMPTY).peak
    layer = 4 * (3 * HIDDEN * INNER + 2 * HIDDEN * HIDDEN + 2 * HIDDEN * HIDDEN // 4) / 1e9
    pairs = list(zip(streamed, loaded, strict=True))
    name, beside = f"a GGUF file of {size:.1f} GB in Q8_0", "from_pretrained and a forward"
    results.add(name, [one.seconds / other.seconds for one, other in pairs], of=beside, target=1.0)
    results.add(f"{name}, processor", [one.processor / other.processor for one, other in pairs], of=beside, target=1.0)
    peaks = [(one.peak - empty) / 1e9 for one in streamed]
    label = f"its peak beyond the process; a layer in float32 has {layer:.2f} GB"
    results.add(label, peaks, unit="GB", target=layer + 0.3, sizes={"gigabytes": size})
    results.add("that of from_pretrained", [(one.peak - empty) / 1e9 for one in loaded], unit="GB")


if __name__ == "__main__":
    main(Results())
