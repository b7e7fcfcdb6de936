"""What may not become worse: the figures of tests/house.py. Lower them whenever the code allows it."""

from __future__ import annotations

import graphlib

import grimp

from tests.house import house

MOST_PROSE = 0.02
MOST_SHARED_CLASSES = 1
MOST_LONG_MODULES = 3
MOST_LONG_FUNCTIONS = 0
MOST_IN_A_FOLDER = 20
MOST_METHODS = 35
DEEPEST = 4
DEEPEST_SCREEN = 1


def test_no_module_is_loaded_for_itself() -> None:
    """By way of others, imports in functions among them; what only a type checker reads doesn't count."""
    graph = grimp.build_graph("tracetui", exclude_type_checking_imports=True)
    order = graphlib.TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    order.prepare()


def test_names_say_what_a_value_is() -> None:
    counts = house()
    assert counts.prose_share <= MOST_PROSE, counts.prose
    assert len(counts.shared_classes) <= MOST_SHARED_CLASSES, sorted(counts.shared_classes)


def test_modules_and_folders_can_be_taken_in() -> None:
    counts = house()
    assert len(counts.long_modules) <= MOST_LONG_MODULES, counts.long_modules
    assert max(counts.folders.values()) <= MOST_IN_A_FOLDER, counts.folders
    assert len(counts.long_functions) <= MOST_LONG_FUNCTIONS, counts.long_functions


def test_classes_are_composed_and_not_stacked() -> None:
    counts = house()
    assert counts.methods.most_common(1)[0][1] <= MOST_METHODS, counts.methods.most_common(5)
    assert max(counts.depths.values()) <= DEEPEST, counts.depths
    assert counts.screens == {"DebuggerScreen", "DiffScreen", "HomeScreen", "QuantisedScreen"}
    assert {name: counts.depths[name] for name in counts.screens if counts.depths[name] > DEEPEST_SCREEN} == {}
