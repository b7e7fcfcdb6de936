"""What the sites of an alignment were made of, by name, as the runs that were traced told it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tracetui.analysis.diff.alignment.align import Alignment
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.flow import Flow, Origin
from tracetui.analysis.mapping.names import meaning
from tracetui.recording.record import INPUT, Record, plain_site
from tracetui.recording.trace import Trace


@dataclass(frozen=True, slots=True)
class NamedOrigin:
    """What one site was made of."""

    sites: tuple[str, ...]
    code: str
    """The module whose own code computed it from these; empty where there is none between."""
    whole: bool
    """Whether all that went in was recorded."""
    copied: bool
    """Whether it is the very tensor of the other site."""


class Origins:
    """The origins of both sides' sites; where both recorded one, B's counts."""

    def __init__(self, a: Trace, b: Trace, alignment: Alignment) -> None:
        pairs = alignment.pairs
        sides = (
            (b, [(pair.site, pair.b) for pair in pairs], (*alignment.only_b, *alignment.ahead_b)),
            (a, [(pair.site, pair.a) for pair in pairs], (*alignment.only_a, *alignment.ahead_a)),
        )
        made = (_Side(trace, [*shared, *((named.site, named) for named in lone)]) for trace, shared, lone in sides)
        self._sides = [side for side in made if side.told]
        self._alone = alignment.alone

    def of(self, site: str) -> NamedOrigin | None:
        """The inputs of a site; None where no run recorded them, or only the meaning of its role tells them.

        An input of a module counts as the module's own if only one side computed it, as where a hook changes an
        argument.
        """
        found = [origin for side in self._sides if (origin := side.of(site, any_role=False)) is not None]
        if not found:
            return None
        entered = (name for origin in found[1:] for name in origin.sites if self._entered_alone(name))
        return replace(found[0], sites=tuple(dict.fromkeys((*found[0].sites, *entered))))

    def _entered_alone(self, site: str) -> bool:
        """Whether a site is what entered a module, made on one side only."""
        return site in self._alone and plain_site(site).endswith(f":{INPUT}")

    def of_role(self, site: str) -> NamedOrigin | None:
        """As `of`, for a role whose meaning isn't known."""
        return next((found for side in self._sides if (found := side.of(site, any_role=True)) is not None), None)


class _Side:
    def __init__(self, trace: Trace, sites: Iterable[tuple[str, Named]]) -> None:
        self._flow = Flow(trace)
        self._records: dict[str, Record] = {}
        self._names: dict[int, list[str]] = {}
        self._modules: dict[str, str] = {}
        for site, named in sites:
            self._records[site] = named.record
            self._names.setdefault(named.record.index, []).append(site)
            path, _, role = plain_site(site).partition(":")
            if named.record.role == role and not named.record.part:
                self._modules.setdefault(named.record.module, path)

    @property
    def told(self) -> bool:
        return self._flow.told

    def of(self, site: str, any_role: bool) -> NamedOrigin | None:
        record = self._records.get(site)
        if record is None:
            return None
        origin = self._flow.made_in(record) if any_role else self._flow.origin(record)
        return None if origin is None else self._named(origin)

    def _named(self, origin: Origin) -> NamedOrigin:
        sites = tuple(dict.fromkeys(self._of_records(origin.records)))
        known = all(record.index in self._names for record in origin.records)
        code = self._modules.get(origin.code) or meaning(origin.code).site
        return NamedOrigin(sites, code, origin.whole and known, origin.copied)

    def _of_records(self, records: Iterable[Record]) -> Iterator[str]:
        for record in records:
            yield from self._names.get(record.index, ())
