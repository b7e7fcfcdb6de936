"""What the code looks like in numbers: `python -m tests.house` prints them, test_house.py holds them."""

from __future__ import annotations

import ast
import functools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CODE = Path(__file__).parents[1] / "tracetui"
PROSE = frozenset({"found", "said", "told", "wanted", "shown", "given", "taken", "carried"})
"""Names that say that one has a value, and not what it is."""
LONG_MODULE, LONG_FUNCTION = 300, 50


@dataclass(frozen=True, slots=True)
class House:
    """Counts over all modules."""

    modules: int
    lines: int
    bindings: int
    prose: Counter[str]
    """How often each of PROSE is bound: as a variable, an argument or a loop's target."""
    shared_classes: dict[str, list[str]]
    """Names of classes that stand in several modules, with these."""
    long_modules: dict[str, int]
    long_functions: dict[str, int]
    folders: dict[str, int]
    """How many modules each has of its own."""
    methods: Counter[str]
    """Of each class."""
    depths: dict[str, int]
    """How many classes of ours stand on each other, up to each class."""
    screens: frozenset[str]
    """Classes that are screens of Textual's, dialogs left out."""

    @property
    def prose_share(self) -> float:
        return self.prose.total() / self.bindings


@functools.cache
def house() -> House:
    """Read every module, once."""
    trees = {path.relative_to(CODE).as_posix(): ast.parse(path.read_text()) for path in sorted(CODE.rglob("*.py"))}
    bound = Counter(name.strip("_") for tree in trees.values() for name in _bound(tree))
    classes: dict[str, list[str]] = defaultdict(list)
    functions: dict[str, int] = {}
    methods: Counter[str] = Counter()
    bases: dict[str, list[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(path)
                bases[node.name] = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]
                methods[node.name] = sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in node.body)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions[f"{path}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    lines = {path: len((CODE / path).read_text().splitlines()) for path in trees}
    return House(
        modules=len(trees),
        lines=sum(lines.values()),
        bindings=bound.total(),
        prose=Counter({name: count for name, count in bound.items() if name in PROSE}),
        shared_classes={name: paths for name, paths in classes.items() if len(set(paths)) > 1},
        long_modules={path: count for path, count in lines.items() if count > LONG_MODULE},
        long_functions={name: count for name, count in functions.items() if count > LONG_FUNCTION},
        folders=dict(Counter(str(Path(path).parent) for path in trees)),
        methods=methods,
        depths={name: _depth(name, bases) for name in bases},
        screens=frozenset(name for name in bases if "Screen" in _ancestors(name, bases)),
    )


def _ancestors(name: str, bases: dict[str, list[str]]) -> list[str]:
    """All base classes, ours and others'."""
    return [
        *bases.get(name, ()),
        *(far for base in bases.get(name, ()) if base != name for far in _ancestors(base, bases)),
    ]


def _depth(name: str, bases: dict[str, list[str]]) -> int:
    return 1 + max((_depth(base, bases) for base in bases[name] if base in bases and base != name), default=0)


def _bound(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def main() -> None:
    counts = house()
    print(f"{counts.modules} modules, {counts.lines:,} lines")
    print(f"{counts.prose_share:.2%} of {counts.bindings:,} bindings are prose: {dict(counts.prose.most_common())}")
    print(
        f"{len(counts.shared_classes)} names of classes in several modules: {', '.join(sorted(counts.shared_classes))}"
    )
    print(f"above {LONG_MODULE} lines: {counts.long_modules}")
    print(f"functions above {LONG_FUNCTION} lines: {counts.long_functions}")
    print(f"methods: {counts.methods.most_common(5)}")
    print(f"deepest: {Counter(counts.depths).most_common(5)}; screens: {sorted(counts.screens)}")
    print(f"largest folders: {Counter(counts.folders).most_common(5)}")


if __name__ == "__main__":
    main()
