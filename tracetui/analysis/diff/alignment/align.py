"""Which records of two traces are the same tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise

from tracetui.analysis.diff.alignment.calls import name_calls
from tracetui.analysis.diff.alignment.fused import split_fused
from tracetui.analysis.diff.alignment.named import Meanings, Named
from tracetui.analysis.diff.alignment.naming.meanings import decide_meanings
from tracetui.analysis.diff.alignment.naming.norm_places import place_norms
from tracetui.analysis.diff.alignment.naming.other_names import through_other_names
from tracetui.analysis.diff.alignment.naming.own_sums import name_own_sums
from tracetui.analysis.diff.alignment.naming.parts import name_parts
from tracetui.analysis.diff.alignment.naming.paths import name_under_stem, number_from_zero
from tracetui.analysis.diff.alignment.state_lists import listed_states
from tracetui.analysis.mapping.ggml import is_look
from tracetui.analysis.mapping.layouts import SAME, Layout, part, transposed
from tracetui.analysis.mapping.names import execution_rank, has_rank
from tracetui.analysis.mapping.rules import Rules
from tracetui.analysis.mapping.spelling import is_transposed
from tracetui.recording.record import Record, plain_site
from tracetui.recording.trace import Trace


@dataclass(frozen=True)
class Pair:
    """One tensor of both sides."""

    a: Named
    b: Named

    @cached_property
    def site(self) -> str:
        """A's name; B's where tables know that one alone, so that layer, place and inputs are known."""
        return self.a.known or self.b.known or self.a.site

    @cached_property
    def record(self) -> Record:
        """A's record under the site's own name: what tells layer, place and axes."""
        record, site = self.a.record, plain_site(self.site)
        return record if record.site == site else replace(record, site=site)


@dataclass(frozen=True, eq=False)
class Alignment:
    """What stands against what, in order of execution."""

    pairs: tuple[Pair, ...]
    only_a: tuple[Named, ...]
    only_b: tuple[Named, ...]
    ahead_a: tuple[Named, ...] = ()
    """What A has of the part that B's run, which waits or was left, has not come to."""
    ahead_b: tuple[Named, ...] = ()
    """The same of B's, where A's run has not come so far."""

    @cached_property
    def layers(self) -> frozenset[int]:
        """The layers of which both sides have something."""
        return frozenset(layer for pair in self.pairs if (layer := pair.record.layer) is not None)

    @cached_property
    def alone(self) -> Mapping[str, str]:
        """The side, A or B, of each site that only one side has."""
        return {**{named.site: "A" for named in self.only_a}, **{named.site: "B" for named in self.only_b}}


def align(a: Trace, b: Trace, rules: Rules) -> Alignment:
    """Records of the same site, pass, call and part; where a side lacks a site, one that shows the same values."""
    names_a, names_b = ({record.site for record in trace.records} for trace in (a, b))
    meanings_a = Meanings(names_a, a.dump)
    meanings_b = meanings_a if (names_a, a.dump) == (names_b, b.dump) else Meanings(names_b, b.dump)
    side_a = _unique(_named_a(a, rules, meanings_a))
    named_b = sorted(_named_b(b, rules, meanings_b, side_a), key=lambda named: not named.by_rule)
    side_b = _unique(named_b)
    number_from_zero(side_a, side_b, a, b)
    number_from_zero(side_b, side_a, b, a)
    place_norms(side_a, side_b)
    place_norms(side_b, side_a)
    decide_meanings(side_a, side_b, a, b)
    decide_meanings(side_b, side_a, b, a)
    split_fused(side_a, side_b, a, b)
    split_fused(side_b, side_a, b, a)
    _name_states(side_a, a, b, side_b)
    _name_states(side_b, b, a, side_a)
    name_under_stem(side_a, side_b)
    name_calls(side_a, a, b, side_b)
    name_calls(side_b, b, a, side_a)
    name_own_sums(side_a, side_b, a, b)
    name_parts(side_a, side_b, a, b)
    pairs = [Pair(named, side_b[site]) for site, named in side_a.items() if site in side_b]
    rest_a = {site: named for site, named in side_a.items() if site not in side_b}
    rest_b = {site: named for site, named in side_b.items() if site not in side_a}
    pairs += [Pair(one, other) for one, other in through_other_names(rest_a, rest_b, side_b, a, b)]
    _drop_looks(rest_a, side_a)
    _drop_looks(rest_b, side_b)
    of_a, of_b = [pair.a for pair in pairs], [pair.b for pair in pairs]
    strange_a, strange_b = _strange_after(rest_a, of_a), _strange_after(rest_b, of_b)
    ahead_a = () if b.complete or strange_b else _ahead(rest_a, of_a)
    ahead_b = () if a.complete or strange_a else _ahead(rest_b, of_b)
    return Alignment(in_order(pairs, a, b), tuple(rest_a.values()), tuple(rest_b.values()), ahead_a, ahead_b)


def _name_states(side: dict[str, Named], own: Trace, other: Trace, others: Mapping[str, Named]) -> None:
    """Put the sites of the other side in place of a list of hidden states."""
    strange = [record for record in own.records if record.site in side and not side[record.site].naming]
    known = {named.record.key: site for site, named in others.items()}
    for state, place in listed_states(strange, own, other):
        if (site := known.get(place, "")) and site not in side:
            layout = SAME if state.layout is None else state.layout
            side.pop(state.record.site, None)
            side[site] = Named(state.record, site, "states", layout)


def _drop_looks(rest: dict[str, Named], side: Mapping[str, Named]) -> None:
    """Leave out what of llama.cpp's graph holds nothing of its own.

    Those are tensors laid out anew or without a name, and those of a name that another one was taken for.
    """
    if any(named.naming == "ggml" for named in side.values()):
        for site, named in list(rest.items()):
            if is_look(named.record.site) or (named.naming == "ggml" and site == named.record.key):
                del rest[site]


def _last(shared: Sequence[Named]) -> int:
    return max((named.record.index for named in shared), default=-1)


def _strange_after(rest: Mapping[str, Named], shared: Sequence[Named]) -> bool:
    """Whether a side has records after the last shared one whose names may stand for anything on the other side."""
    last = _last(shared)
    return any(named.record.index > last and not named.naming for named in rest.values())


def _ahead(rest: dict[str, Named], shared: Sequence[Named]) -> tuple[Named, ...]:
    """Records of one side after the last shared one; they are removed from `rest`."""
    last = _last(shared)
    found = {site: named for site, named in rest.items() if shared and named.record.index > last}
    for site in found:
        del rest[site]
    return tuple(found.values())


def _named_a(trace: Trace, rules: Rules, meanings: Meanings) -> Iterator[Named]:
    for record in trace.records:
        yield _named(record, rules.of_a(record.key), meanings, SAME)


def _named_b(trace: Trace, rules: Rules, meanings: Meanings, side_a: Mapping[str, Named]) -> Iterator[Named]:
    for record in trace.records:
        key = record.key
        said = rules.of_b(key)
        if said is None and rules.drops(key):
            continue
        if said is None:
            yield _named(record, key, meanings, SAME)
            continue
        for name, cut in zip(said.names, _cuts(record, said.names, side_a), strict=True):
            named = replace(_named(record, name, meanings, said.layout.then(cut)), by_rule=said.by_rule)
            yield named if named.naming or len(said.names) > 1 else replace(named, own=_own(record, meanings))


def _cuts(record: Record, names: Sequence[str], side_a: Mapping[str, Named]) -> list[Layout]:
    """The pieces of the last axis that a rule gives several names: as wide as A's tensors of these names."""
    if len(names) == 1:
        return [SAME]
    shapes = [side_a[name].record.shape if name in side_a else () for name in names]
    whole = record.shape[-1] if record.shape else 0
    widths = [shape[-1] if shape else 0 for shape in shapes]
    if sum(widths) != whole:
        widths = [whole // len(names)] * len(names)
    starts = accumulate(widths, initial=0)
    return [part(start, width, f"columns from {start}") for start, width in zip(starts, widths, strict=False)]


def _named(record: Record, name: str, meanings: Meanings, layout: Layout) -> Named:
    site, naming = meanings.of(record, name)
    return Named(record, site, naming, transposed().then(layout) if is_transposed(name) else layout)


def _own(record: Record, meanings: Meanings) -> str:
    """What a record is by its own name; empty where no table knows it."""
    named = _named(record, record.key, meanings, SAME)
    return named.site if named.naming else ""


def _unique(found: Iterable[Named]) -> dict[str, Named]:
    """Records by site; if two have the same meaning, one keeps its own name, so that none is lost.

    In llama.cpp's graph rotated heads come later, under the name of the heads before the rotation: there the later
    record takes the site, unless it is but another look at the earlier one. Otherwise the first one does.
    """
    known: dict[str, Named] = {}
    for named in found:
        earlier = known.get(named.site)
        rotated = named.naming == "ggml" and plain_site(named.site).endswith(_ROTATED)
        if earlier is not None and rotated and is_look(named.record.site) <= is_look(earlier.record.site):
            known[named.site] = named
            named = earlier
        site = named.site if named.site not in known else named.record.key
        if site in known and known[site].by_rule:
            # A map gave its name to another.
            site, named = f"{site} (its own name)", replace(named, naming="")
        if site not in known:
            known[site] = named if site == named.site else replace(named, site=site)
    return known


def in_order(pairs: Sequence[Pair], a: Trace, b: Trace) -> tuple[Pair, ...]:
    """In order of execution: by the records of a run that tracetui recorded, else by what the names tell.

    Where these don't tell all, by that of two files that has kept its order.
    """
    if a.dump and b.dump:
        return tuple(_of_files(pairs))
    if a.dump and not b.dump:
        place = _Execution(b)
        return tuple(sorted(pairs, key=lambda pair: place.of(pair.b.record)))
    place = _Execution(a)
    return tuple(sorted(pairs, key=lambda pair: place.of(pair.a.record)))


def _of_files(pairs: Sequence[Pair]) -> list[Pair]:
    named = all(pair.a.naming for pair in pairs)
    by_rank = sorted(pairs, key=lambda pair: execution_rank(pair.site))
    if named and all(has_rank(pair.site) for pair in pairs):
        return by_rank
    by_a, by_b = (sorted(pairs, key=key) for key in (_index_in_a, _index_in_b))
    kept = next((order for order in (by_a, by_b) if _is_execution([pair.record for pair in order])), None)
    return (by_rank if named else by_a) if kept is None else kept


def _index_in_a(pair: Pair) -> int:
    return pair.a.record.index


def _index_in_b(pair: Pair) -> int:
    return pair.b.record.index


def _is_execution(records: Sequence[Record]) -> bool:
    """Whether records may stand as they were computed: layer by layer, modules behind what is in them, not by name."""
    sites = [record.site for record in records]
    places = [(record.pass_, record.layer) for record in records if record.layer is not None]
    if sites == sorted(sites) or any(one > other for one, other in pairwise(places)):
        return False
    seen: set[tuple[int, str]] = set()
    for record in records:
        parents = accumulate(record.site.split(".")[:-1], lambda path, name: f"{path}.{name}")
        if any((record.pass_, parent) in seen for parent in parents):
            return False
        seen.add((record.pass_, record.site))
    return True


_ROTATED = (":q", ":k")
_MADE_BY_ROUTER = ("selection_bias", "router_logits", "router_scores", "selection_scores", "experts")


class _Execution:
    """Where records stand in the order in which they were computed.

    A router's scores are told from what it returned, and its records stand behind it: what it chose and weighed by
    comes before its choice, and that before the weights.
    """

    def __init__(self, trace: Trace) -> None:
        self._weights: dict[tuple[str, int, int], list[int]] = {}
        """By the module around a router: where the weights stand that it returned, the second of its tensors."""
        self._choices: dict[int, int] = {}
        """Where the choices stand that routers returned with them, and where those weights do."""
        for one, other in pairwise(trace.records):
            if one.part == 1:
                self._weights.setdefault((one.parent, one.pass_, one.call), []).append(one.index)
                if other.part == 2 and other.site == one.site and other.dtype.startswith("int"):
                    self._choices[other.index] = one.index

    def of(self, record: Record) -> tuple[int, int, int]:
        if record.role in _MADE_BY_ROUTER:
            returned = self._weights.get((record.module, record.pass_, record.call), ())
            nearest = max((index for index in returned if index < record.index), default=record.index)
            return nearest, _MADE_BY_ROUTER.index(record.role) - len(_MADE_BY_ROUTER), record.index
        if record.index in self._choices:
            return self._choices[record.index], -1, record.index
        return record.index, 0, record.index
