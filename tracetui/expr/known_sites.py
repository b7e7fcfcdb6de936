"""The sites that a model can have, as far as its module tree tells, and the nearest ones to a wrong one."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from tracetui.recording.outline import Module
from tracetui.recording.sites import SitePattern
from tracetui.text import visible

WHOLE_MODEL = ("logits", "output")
"""Sites of what the whole model gives back."""
MATRICES = ("scores", "masked", "probs", "absorbed_scores")
ROLES = (
    *("input", "attn_residual", "q", "k", "v", "mask", "sinks", "position_bias", *MATRICES, "heads"),
    *("kv_latent", "k_rope", "q_absorbed"),
    *("router_logits", "router_scores", "selection_scores", "selection_bias", "experts", "routing_weights"),
    *("in", "tokens", "conv", "conv_state", "dt", "decay", "beta", "x", "B", "C", "query", "key", "value", "update"),
    *("gate", "scan_output", "state", "lens_ids", "lens_probs", "before_edit"),
)
"""What stands behind a module's path for a tensor that the module computes inside."""
_LISTS = frozenset({"ModuleList", "ModuleDict"})
_ROUTERS = ("gate", "router")
_PART = re.compile(r"#\d+$")
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class ExpertBlock:
    """A block with experts: its own path, that of the module which holds them, and their numbers."""

    block: str
    holder: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class KnownSites:
    """The paths of a module tree, without those that stand for several modules."""

    paths: tuple[str, ...] = ()
    lists: frozenset[str] = frozenset()
    """Paths of lists of modules, which nobody calls: they have no record of their own."""
    folded: tuple[tuple[str, tuple[int, ...], str], ...] = ()
    """Modules that stand for several: the path before the number, the numbers, and the path after it."""
    skipped: tuple[int, ...] = ()
    """Layers that are not run."""
    blocks: tuple[ExpertBlock, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is a tree to look at."""
        return bool(self.paths)

    def problem(self, pattern: str) -> str:
        """Why no record can be at a pattern of sites; empty if one can, or where nothing is known."""
        module, colon, role = _PART.sub("", pattern).partition(":")
        if not self.known or self._fits(module, role if colon else None):
            return ""
        if colon and (problem := role_problem(role)) and self._fits(module, None):
            return problem
        return self._no_module(module, f":{role}" if colon else "")

    def _fits(self, module: str, role: str | None) -> bool:
        """Whether a module's path, or a role of one, can be meant by the two parts of a pattern."""
        if role is not None and role_problem(role):
            return False
        pattern = SitePattern(module)
        if any(map(pattern.matches, WHOLE_MODEL)):
            return True
        callable_paths = (path for path in self._paths_for(module) if role is not None or path not in self.lists)
        if any(map(pattern.matches, callable_paths)):
            return True
        # `*probs` names what modules compute inside, too.
        return role is None and "*" in module and any(map(pattern.matches, self._roles_of_modules))

    @cached_property
    def _roles_of_modules(self) -> tuple[str, ...]:
        return tuple(f"{path}:{role}" for path in self.paths for role in ROLES)

    @cached_property
    def _routers(self) -> tuple[str, ...]:
        """What a router chose is asked for by its own path as well."""
        return tuple(f"{block.block}.{name}" for block in self.blocks for name in _ROUTERS)

    def _paths_for(self, pattern: str) -> Iterator[str]:
        """All paths, and of modules that stand for several those that a pattern may name."""
        yield from self.paths
        yield from self._routers
        named = {int(number) for number in re.findall(r"\d{1,6}", pattern)}
        for before, numbers, after in self.folded:
            for number in sorted(named.intersection(numbers)) or numbers[:1]:
                yield f"{before}{number}{after}"

    def _no_module(self, module: str, role: str) -> str:
        if any(map(SitePattern(module).matches, self.lists)):
            return f"{visible(module, 80)} is a list, which has no record of its own; {visible(module, 80)}.* is meant?"
        parts = module.split(".")
        wrong = next((at for at in range(len(parts)) if not self._begins(parts[: at + 1])), len(parts))
        if wrong == len(parts):
            return f"no module {visible(module, 80)}"
        if parts[wrong].isdecimal():
            return self._no_number(parts[:wrong], int(parts[wrong]))
        if module in MATRICES:
            return f"no module {module}; *:{module} names what attention computes"
        if meant := self._mended(parts, wrong):
            return f"no module {visible(module, 80)}; {meant}{role} is meant?"
        return f"no module {visible(module, 80)}; {self._instead(parts[:wrong])}"

    def _begins(self, parts: Sequence[str]) -> bool:
        """Whether some path goes on from these names, or ends with them."""
        pattern = SitePattern(".".join(parts))
        return any(map(pattern.matches, self._paths_for(pattern.text)))

    def names_after(self, parts: Sequence[str]) -> list[str]:
        """The names that can follow these, in the order of the tree; of none, every name there is."""
        paths = self._paths_for(".".join(parts))
        if not parts:
            return list(dict.fromkeys(name for path in paths for name in path.split(".") if not name.isdecimal()))
        pattern = SitePattern(".".join(parts))
        around = (path.rpartition(".") for path in paths)
        return list(dict.fromkeys(name for path, dot, name in around if dot and pattern.matches(path)))

    def _no_number(self, before: Sequence[str], number: int) -> str:
        name = visible(".".join(before), 60)
        if number in self.skipped:
            return f"layer {number} is not run: --layers leaves it out"
        numbers = sorted(int(each) for each in self.names_after(before) if each.isdecimal())
        if not numbers:
            return f"{name} is no list; there is no {name}.{number}"
        run = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]} alone"
        return f"no {name}.{number}; {name} has {run}{' that are run' if self.skipped else ''}"

    def _mended(self, parts: Sequence[str], wrong: int) -> str:
        """The names with each wrong one replaced by the nearest there is; empty where that leads nowhere."""
        mended = list(parts)
        for at in range(wrong, len(mended)):
            if self._begins(mended[: at + 1]):
                continue
            near = get_close_matches(mended[at], [name for name in self.names_after(mended[:at]) if name], 1, 0.5)
            if not near:
                return ""
            mended[at] = near[0]
        return ".".join(mended)

    def _instead(self, before: Sequence[str]) -> str:
        names = [name for name in self.names_after(before) if not name.isdecimal()]
        several = f"{', '.join(names[:_MOST_NAMED])}{', …' if len(names) > _MOST_NAMED else ''}"
        inside = f"{visible('.'.join(before), 60)} has " if before else "there are "
        return f"{inside}{visible(several, 300) or 'no modules inside'}"

    def expert_blocks(self, pattern: str) -> Iterator[ExpertBlock]:
        """The blocks with experts that a pattern names."""
        site = SitePattern(pattern.partition(":")[0])
        for block in self.blocks:
            if any(map(site.matches, (block.block, block.holder, *(f"{block.block}.{name}" for name in _ROUTERS)))):
                yield block


def role_problem(role: str) -> str:
    """Why no module computes what a role, or a pattern of roles, names; empty if one may."""
    if any(fnmatch.fnmatchcase(known, role) for known in ROLES):
        return ""
    near = get_close_matches(role, ROLES, 1)
    meant = f":{near[0]} is meant?" if near else f"there are :{', :'.join(ROLES[:10])}, …"
    return f"no module computes :{visible(role, 40)}; {meant}"


NOTHING_KNOWN = KnownSites()


def sites_of(outline: Module) -> KnownSites:
    """What a module tree tells."""
    paths: list[str] = []
    lists: set[str] = set()
    folded: list[tuple[str, tuple[int, ...], str]] = []
    skipped: list[int] = []
    blocks: list[ExpertBlock] = []
    for module in _modules(outline.children):
        if module.indices:
            before = f"{module.path.rpartition('.')[0]}."
            if module.skipped:
                skipped.extend(module.indices)
                continue
            folded.extend((before, module.indices, path) for path in _inside(module))
            blocks.append(ExpertBlock(before[:-1].rpartition(".")[0], before[:-1], module.indices))
            continue
        if not module.skipped:
            paths.append(module.path)
            if module.kind in _LISTS:
                lists.add(module.path)
    return KnownSites(tuple(paths), frozenset(lists), tuple(folded), tuple(skipped), tuple(_joined(blocks)))


def _modules(modules: Iterable[Module]) -> Iterator[Module]:
    """All of them and those inside, but not inside of what stands for several or isn't run."""
    for module in modules:
        yield module
        if not module.indices and not module.skipped:
            yield from _modules(module.children)


def _inside(module: Module) -> Iterator[str]:
    """What follows the number in the paths of a module that stands for several, and of those inside it."""
    yield ""
    for child in _modules(module.children):
        yield child.path[len(module.path) :]


def _joined(blocks: Sequence[ExpertBlock]) -> Iterator[ExpertBlock]:
    """One for each holder: experts that differ stand on several lines."""
    by_holder: dict[str, list[ExpertBlock]] = {}
    for block in blocks:
        by_holder.setdefault(block.holder, []).append(block)
    for holder, several in by_holder.items():
        numbers = tuple(sorted(number for block in several for number in block.numbers))
        yield ExpertBlock(several[0].block, holder, numbers)
