"""Attention's full matrices, recorded beside what a kernel received."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from tracetui.analysis.attention.matrices import INPUTS, all_kept, frozen, matrix_values
from tracetui.recording.keep import Keep, MatrixRole
from tracetui.recording.record import AttentionCall
from tracetui.recording.value import Value
from tracetui.tracer.capture.values import TorchValue


def wanted_for_matrices(site: str, keep: Keep, roles: tuple[MatrixRole, ...]) -> bool:
    """Whether a site's values are needed to compute matrices that are to be kept."""
    module, _, role = site.partition(":")
    return role in INPUTS and any(f"{module}:{matrix}" in keep for matrix in roles)


def recorded_matrices(
    path: str,
    call: AttentionCall,
    given: Mapping[str, torch.Tensor],
    stored: Mapping[str, Value],
    keep: Keep,
    roles: tuple[MatrixRole, ...],
) -> Iterator[tuple[str, Value]]:
    """The site and value of each matrix: computed when read where its inputs are stored, else its statistics now."""
    inputs = {role: stored[role] for role in INPUTS if role in given}
    lasting = all_kept(inputs)
    if not lasting:
        inputs = {role: TorchValue(given[role]) for role in inputs}
    for role, value in matrix_values(path, call, inputs, roles):
        site = f"{path}:{role}"
        yield site, value if lasting and site in keep else frozen(value)
