"""What is known not to be shown of which families, by check, and why.

Both lists are strict: a family that passes a check has to be taken off.
"""

from __future__ import annotations

from collections.abc import Mapping

_ONLY_FROM_PYTHON = "several models in one, none of them a language model alone: from Python alone"
_LIMITS_OF_ALL = {_ONLY_FROM_PYTHON: "blt"}

LIMITS: Mapping[str, Mapping[str, str]] = {
    "streamed": _LIMITS_OF_ALL,
    "residual": {
        "attention and the MLP add to the stream at once": "codegen cohere cohere2 cohere2_moe cohere_compass_text "
        "falcon gpt_neox gptj phi",
        "one sublayer a layer": "falcon_mamba mamba mamba2 nemotron_h zamba zamba2",
        "two residual streams, each of which adds to the other": "reformer",
        "no module holds a layer": "xlm",
    },
    "generation": _LIMITS_OF_ALL,
    "layers": {
        **_LIMITS_OF_ALL,
        "its layers run several times": "hrm_text",
        "no module holds a layer": "xlm",
    },
}
"""What lies in the model: nothing wrong is shown, but something is absent or refused in one line."""

FAULTS: Mapping[str, Mapping[str, str]] = {
    "residual": {
        "an adapter and two norms stand behind the MLP, and what they make isn't followed": "xmod",
    },
    "recurrent steps": {
        "what the recurrence's module is given and returns is recorded without names of its own": "xlstm",
    },
}
"""What tracetui shows wrongly, or doesn't show although it could."""


def known(check: str, family: str) -> tuple[str, bool]:
    """Why a check doesn't pass for a family, and whether that is a fault; no reason where it passes."""
    for table, is_fault in ((LIMITS, False), (FAULTS, True)):
        for reason, families in table.get(check, {}).items():
            if family in families.split():
                return reason, is_fault
    return "", False
