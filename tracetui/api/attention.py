"""One layer's attention, as Python code asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from tracetui.analysis.attention.kinds import Kind
from tracetui.analysis.attention.scores import AttentionView, Matrix, attention_at
from tracetui.recording.record import AttentionCall, Record
from tracetui.recording.trace import Trace as Recorded
from tracetui.recording.value import Array
from tracetui.text import visible


class Attention:
    """One call of one attention module. Arrays are read, and scores computed, each time they are asked for."""

    def __init__(self, view: AttentionView) -> None:
        self._view = view

    def __repr__(self) -> str:
        shared = f", {self._view.kv_heads} of keys and values" if self._view.kv_heads != self.head_count else ""
        _, _, queries, _ = self._view.query.shape
        sizes = f"{self.head_count} heads{shared}, {queries} queries × {self._view.key.shape[2]} keys"
        return f"<Attention {visible(self.site)}: {sizes}, {visible(self.call.kernel, 20)}>"

    @property
    def site(self) -> str:
        """Path of the module."""
        return self._view.site

    @property
    def call(self) -> AttentionCall:
        """How the kernel was called: its scale, softcap, window."""
        return self._view.call

    @property
    def unexplained(self) -> str:
        """Why scores and probabilities can't be given, as far as the call tells; empty where they can."""
        return self.call.unexplained

    @property
    def head_count(self) -> int:
        """H"""
        return self._view.heads

    @property
    def q(self) -> Array:
        """[B,H,T,K], after RoPE."""
        return self._view.trace.value(self._view.query).read()

    @property
    def k(self) -> Array:
        """[B,G,S,K], after RoPE."""
        return self._view.trace.value(self._view.key).read()

    @property
    def v(self) -> Array | None:
        """[B,G,S,Kv]; None where it wasn't recorded."""
        return self._beside("v")

    @property
    def mask(self) -> Array | None:
        """[B,1 or H,T,S] as passed, True or 0 where a query may look; None where none was passed."""
        return None if self._view.mask is None else self._view.trace.value(self._view.mask).read()

    @property
    def heads(self) -> Array | None:
        """[B,H,T,Kv]: each head's output before o_proj; None where it wasn't recorded."""
        return self._beside("heads")

    def kv_head(self, head: int) -> int:
        """The key-value head that a query head shares."""
        return self._view.kv_head(self._checked(head, 0)[0])

    def scores(self, head: int, row: int = 0) -> Matrix:
        """Scaled scores of one head [T,S] in float32, before the mask.

        Raises IndexError, and as the other matrices UnexplainedError where softmax(scores)·V isn't what the kernel
        returned: then they would not be the model's.
        """
        return self._matrix("scores", head, row)

    def masked(self, head: int, row: int = 0) -> Matrix:
        """The same with hidden cells -inf."""
        return self._matrix("masked", head, row)

    def probs(self, head: int, row: int = 0) -> Matrix:
        """Softmax of the masked scores: what counts for how much in the output, as the kernel computed it.

        Rows sum to less than 1 where there is a sink. Of a row that is hidden whole sdpa makes 0, eager attention equal
        shares.
        """
        return self._matrix("probs", head, row)

    @property
    def positions_before(self) -> int:
        """How many positions of its own the model puts before the prompt's, as CPM-Ant does.

        They stand in q, k, v and heads; scores, masked and probs leave them out, as the attentions do that such a
        model returns, so that rows of probabilities sum to less than 1.
        """
        before, computed = self._view.trace.run.config.get("prompt_length"), self._view.trace.positions(0)
        extra = self._view.query.shape[2] - len(computed)
        return extra if self._view.query.pass_ == 0 and extra > 0 and extra == before else 0

    def _matrix(self, kind: Kind, head: int, row: int) -> Matrix:
        before = self.positions_before
        return self._view.matrix(kind, *self._checked(head, row))[before:, before:]

    def _checked(self, head: int, row: int) -> tuple[int, int]:
        """Both counted from the start, as numpy counts negative ones from the end."""
        return _place("head", head, self._view.heads), _place("row", row, self._view.batch)

    def _beside(self, role: str) -> Array | None:
        record = self._view.beside(role)
        return None if record is None else self._view.trace.value(record).read()


def attention_of(trace: Recorded, layer: int | str, pass_: int, call: int = 0, part: int = 0) -> Attention:
    """One call of a layer's attention, or of a module's at a path. Raises KeyError naming those there are.

    part: which, of a module that attends several times in one call.
    """
    queries = [record for record in trace.records if record.role == "q" and record.pass_ == pass_]
    for record in queries:
        asked = (record.call, record.part) == (call, part) and layer in (record.layer, record.module)
        if asked and (view := attention_at(trace, record)):
            return Attention(view)
    where = "of layer" if isinstance(layer, int) else "at"
    when = f"pass {pass_}" + (f", call {call}" if call else "") + (f", part {part}" if part else "")
    raise KeyError(f"no attention {where} {layer} in {when}; layers that have one: {_layers(queries)}")


def _layers(queries: Sequence[Record]) -> str:
    return ", ".join(map(str, sorted({record.layer for record in queries if record.layer is not None}))) or "none"


def _place(name: str, index: int, count: int) -> int:
    if not -count <= index < count:
        raise IndexError(f"{name}: must be 0 to {count - 1}, got {index}")
    return index % count
