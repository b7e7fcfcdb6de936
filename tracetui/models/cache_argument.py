"""What transformers' models call the keys and values of earlier passes that they are given and hand back."""

from __future__ import annotations

from dataclasses import fields

from transformers.modeling_outputs import CausalLMOutputWithPast

CACHE = "cache" if any(field.name == "cache" for field in fields(CausalLMOutputWithPast)) else "past_key_values"
"""`past_key_values` until transformers 5.23; from 5.24 on `cache`, beside which the old name is ignored."""
