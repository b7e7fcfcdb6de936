"""The plan is what a run takes, within 15 %: nobody is refused who has room, and none is killed who hasn't."""

from __future__ import annotations

import json
from pathlib import Path

from tests.planned_memory import planned_run


def test_the_logits_of_a_long_prompt_over_a_wide_vocabulary_count_once(tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "vocab_size": 128_000, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = planned_run(
        str(tmp_path / "config.json"), "--random-tokens", "1x512", "--dtype", "bfloat16", "--keep", "logits"
    )
    assert 0.85 < run.ratio < 1.15
