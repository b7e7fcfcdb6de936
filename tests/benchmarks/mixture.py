"""What watching a mixture of experts costs: routing and every hit expert's tensors, as ratios to the untraced forward.

Run it with `python -m tests.benchmarks mixture`.
"""

from __future__ import annotations

import torch
from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

from tests.benchmarks.capture import Timed, interleaved
from tests.benchmarks.results import Results, ratios
from tracetui.tracer.call import record_call
from tracetui.tracer.capture.allocator import settle

TOKENS = 128
TARGET = 1.10
KERNELS = ("eager", "grouped_mm")


def small_mixture(kernel: str) -> Qwen2MoeForCausalLM:
    """64 experts, 8 for each token, hidden 512, 4 layers, float32; experts by one of transformers' kernels."""
    torch.manual_seed(0)
    config = Qwen2MoeConfig(
        hidden_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=1536,
        moe_intermediate_size=384,
        shared_expert_intermediate_size=1536,
        num_experts=64,
        num_experts_per_tok=8,
        vocab_size=32_000,
        attn_implementation="sdpa",
    )
    model = Qwen2MoeForCausalLM(config).eval()
    model.config._experts_implementation = kernel
    return model


def ways(counted: list[int]) -> dict[str, Timed]:
    """The untraced forward with each kernel, and the traced one, which leaves the number of its records."""
    ids = torch.randint(0, 32_000, (1, TOKENS), generator=torch.Generator().manual_seed(1))
    models = {kernel: small_mixture(kernel) for kernel in KERNELS}

    def untraced(kernel: str) -> object:
        with torch.no_grad():
            return models[kernel](input_ids=ids, use_cache=False)

    def traced() -> object:
        trace = record_call(models["grouped_mm"], input_ids=ids, use_cache=False)
        if not counted:
            # In the first call alone, which isn't timed: whoever looks has all of it described.
            counted.append(len(trace))
        return trace

    def looked_into() -> object:
        return len(record_call(models["grouped_mm"], input_ids=ids, use_cache=False))

    return {
        "eager": lambda: untraced("eager"),
        "grouped_mm": lambda: untraced("grouped_mm"),
        "traced": traced,
        "looked into": looked_into,
    }


def main(results: Results, rounds: int = 15) -> None:
    results.begin("mixture", f"64 experts, 8 a token, {TOKENS} tokens, 4 layers")
    settle()
    counted: list[int] = []
    seconds = interleaved(ways(counted), rounds)
    for kernel, target in (("eager", TARGET), ("grouped_mm", None)):
        results.add(
            f"traced, {counted[0]} records, against {kernel} experts",
            ratios(seconds["traced"], seconds[kernel]),
            of=f"untraced, {kernel} experts",
            target=target,
            sizes={"tokens": TOKENS, "experts": 64},
        )
    results.add(
        "traced and looked into", ratios(seconds["looked into"], seconds["eager"]), of="untraced, eager experts"
    )


if __name__ == "__main__":
    main(Results())
