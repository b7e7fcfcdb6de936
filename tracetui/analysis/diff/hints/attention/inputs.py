"""What an attention kernel was given and made, laid out alike whoever recorded it."""

from __future__ import annotations

from tracetui.analysis.diff.arrays import Both, Numbers
from tracetui.analysis.diff.hints.attention.heads import KernelInputs
from tracetui.analysis.diff.hints.scene import Scene

Shape = tuple[int, ...]


def kernel_of(scene: Scene, leaves: tuple[str, ...]) -> tuple[KernelInputs, dict[str, Numbers]] | None:
    """What a kernel was given, and what came out on both sides, [H,T,Kv] or scores [H,T,S].

    None where a tensor of none of these leaves differs, or q, k and v aren't there.
    """
    if scene.leaf not in leaves:
        return None
    q, k, v = (scene.lent(role) for role in ("q", "k", "v"))
    if q is None or k is None or v is None:
        return None
    q, k, v = (_heads_first(part, scene.target.a.shape) for part in (q, k, v))
    target = _apart(scene.target, q.shape)
    width = target.a.shape[:-1] + v.shape[-1:]
    if not _go_together(width, q.shape, k.shape, v.shape) or target.a.shape[-1] not in (v.shape[-1], k.shape[2]):
        return None
    inputs = KernelInputs.of(scene, q, k, v)
    return (inputs, {"A": target.a[0], "B": target.b[0]}) if inputs.rows else None


def _heads_first(part: Numbers, made: Shape) -> Numbers:
    """q, k or v of one prompt, [T,H,K] as llama.cpp has them or [H,T,K], as [B,H,T,K]; others as they are.

    made: of what the kernel makes, [T,H·Kv], [H,T,Kv] or [H,T,S].
    """
    if part.ndim != 3 or len(made) not in (2, 3):
        return part
    tokens = made[0] if len(made) == 2 else made[1]
    return (part.swapaxes(0, 1) if part.shape[0] == tokens else part)[None]


def _apart(sides: Both, q: Shape) -> Both:
    """Heads that a script keeps side by side, [B,T,H·Kv], as [B,H,T,Kv]; with a batch axis where it has none."""
    a, b = ((side[None] if _lacks_batch(side.shape, q) else side) for side in (sides.a, sides.b))
    if len(q) != 4 or a.ndim != 3 or a.shape[:2] != (q[0], q[2]) or a.shape[2] % q[1]:
        return Both(a, b)
    a, b = (side.reshape(*side.shape[:2], q[1], -1).swapaxes(1, 2) for side in (a, b))
    return Both(a, b)


def _lacks_batch(shape: Shape, q: Shape) -> bool:
    """Whether these are [H,T,Kv] or [T,H·Kv] of one prompt."""
    if len(q) != 4 or q[0] != 1:
        return False
    return (len(shape) == 3 and shape[:2] == q[1:3]) or (len(shape) == 2 and shape[0] == q[2])


def _go_together(heads: Shape, q: Shape, k: Shape, v: Shape) -> bool:
    """Whether these are [B,H,T,Kv] [B,H,T,K] [B,G,S,K] [B,G,S,Kv]: a file may have any shapes under the names."""
    if {len(shape) for shape in (heads, q, k, v)} != {4}:
        return False
    return heads[:3] == q[:3] and k[:3] == v[:3] and (q[0], q[3]) == (k[0], k[3]) and heads[3] == v[3]
