#!/usr/bin/env bash
# A Llama 3.1 or 3.2 read from GGUF by transformers turns its positions without the scaling that the file holds.
#
# transformers 5.23.0, gguf 0.19.0, accelerate 1.15.0, torch 2.13.0. In a GGUF file Llama 3's scaling of RoPE stands
# as a tensor of factors, rope_freqs.weight, by which llama.cpp divides the frequencies. from_pretrained(gguf_file=…)
# reads every weight to the bit, leaves that tensor out without a word, and makes a configuration whose rope_type is
# "default": the text stays fluent, and the longer the prompt the further the logits are off. Set rope_parameters of
# the loaded configuration to what the model's own config.json says. The rest of the file here is written as
# llama.cpp's converter does it: rows of q and k that turn together lie side by side.
#
# Seen (CPU, float32, one layer, 400 tokens):
#   rope_freqs.weight in the file: [1.0, 1.29, 7.67, 8.0, 8.0, 8.0, 8.0, 8.0]
#   rope_type of the model that was written: llama3
#   rope_type of the model that is loaded:   default
#   every weight equal to the bit: True; logits off by 0.5% of the largest
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFWriter
from transformers import AutoModelForCausalLM, LlamaConfig

WIDTH, HEADS, LAYERS, VOCABULARY = 64, 4, 1, 32
HEAD = WIDTH // HEADS
SCALING = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
               original_max_position_embeddings=64)
sizes = dict(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=LAYERS,
             num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=512,
             tie_word_embeddings=False, rms_norm_eps=1e-5)
config = LlamaConfig(**sizes, rope_parameters=SCALING)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_config(config).eval()


def in_pairs(weight):
    """Rows of q or k as a GGUF file of this architecture has them: those that turn together side by side."""
    return weight.reshape(HEADS, 2, HEAD // 2, WIDTH).transpose(1, 2).reshape(WIDTH, WIDTH)


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
folder = Path(sys.argv[1])
writer = GGUFWriter(folder / "model.gguf", "llama")
writer.add_context_length(512)
writer.add_embedding_length(WIDTH)
writer.add_block_count(LAYERS)
writer.add_feed_forward_length(96)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_freq_base(10000.0)
writer.add_vocab_size(VOCABULARY)
tensors = model.state_dict()
for name, tensor in tensors.items():
    if name == "model.embed_tokens.weight":
        stored = "token_embd.weight"
    elif name == "model.norm.weight":
        stored = "output_norm.weight"
    elif name == "lm_head.weight":
        stored = "output.weight"
    else:
        layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
        stored = f"blk.{layer}.{NAMES[part]}.weight"
        tensor = in_pairs(tensor) if NAMES[part] in ("attn_q", "attn_k") else tensor
    writer.add_tensor(stored, tensor.numpy())
plain = 1.0 / 10000.0 ** (np.arange(0, HEAD, 2) / HEAD)
factors = (plain / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
writer.add_tensor("rope_freqs.weight", factors)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32).eval()
same = all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in tensors.items())
tokens = torch.arange(400)[None] % VOCABULARY
with torch.no_grad():
    away = (loaded(tokens).logits - model(tokens).logits).abs().max() / model(tokens).logits.abs().max()
print("rope_freqs.weight in the file:", [round(float(factor), 2) for factor in factors])
print("rope_type of the model that was written:", config.rope_parameters["rope_type"])
print("rope_type of the model that is loaded:  ", loaded.config.rope_parameters["rope_type"])
print(f"every weight equal to the bit: {same}; logits off by {float(away):.1%} of the largest")
if not same or loaded.config.rope_parameters["rope_type"] != "default" or away < 0.001:
    raise SystemExit("this has changed: the factors in the file are heeded")
PYTHON
