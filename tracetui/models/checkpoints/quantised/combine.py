"""Puts together what stands in a file in several tensors: the weights that they make, by their usual names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracetui.errors import InputError, bad_field
from tracetui.models.checkpoints.quantised.forms import FORMS, QuantisedForm
from tracetui.models.checkpoints.quantised.incomplete import parts_alone
from tracetui.models.checkpoints.quantised.method import Method
from tracetui.models.checkpoints.quantised.weight import PackedWeight, StoredParts, dtype_text

if TYPE_CHECKING:
    from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles

_MOST_TEXT = 2**16
"""Bytes of a tensor that is read before anything is known of its weight."""
_ENDINGS = tuple(sorted({ending for form in FORMS for ending in form.endings[form.mark] if ending != ".weight"} - {""}))
_DTYPES = frozenset(dtype for form in FORMS for dtype in form.dtypes)


@dataclass(frozen=True, eq=False, slots=True)
class Combined:
    """A weight, and the names of the tensors that it is made of."""

    parts: tuple[str, ...]
    """The one that tells of the form comes first."""
    weight: PackedWeight | None
    """None where one of them stands in a file that isn't there."""


def combine(files: SafetensorsFiles, method: Method) -> dict[str, Combined]:
    """The quantised weights of a folder by their usual names: those that a file of plain numbers would have.

    Raises InputError where tensors don't fit together.
    """
    combined: dict[str, Combined] = {}
    used: set[str] = set()
    marks = [name for name in files.tensors if name.endswith(_ENDINGS) or files.tensors[name].dtype in _DTYPES]
    for form in FORMS:
        for mark in marks:
            for stem in _stems(form, mark, method, files) if mark not in used else ():
                names = _parts(form, stem, files)
                lacking = [role for role in form.endings if role not in names and _is_needed(form, stem, role, files)]
                if lacking and not (form.is_certain or files.shards.is_partial):
                    continue
                name = stem + form.weight
                parts = (mark, *(part for part in names.values() if part != mark))
                _check_single(files, name, mark, parts, combined)
                weight = _made(form, names, method, files) if not _lacks(form, stem, mark, lacking, files) else None
                combined[name] = Combined(parts, weight)
                used.update(parts)
    for name in parts_alone(files, used):
        combined[name] = Combined((name,), None)
    return combined


def _is_needed(form: QuantisedForm, stem: str, role: str, files: SafetensorsFiles) -> bool:
    """Whether a weight means nothing without a tensor, or means another with it that stands in a missing file."""
    absent = files.shards.absent
    return role not in form.optional or any(files.own_name(stem + ending) in absent for ending in form.endings[role])


def _stems(form: QuantisedForm, mark: str, method: Method, files: SafetensorsFiles) -> Iterator[str]:
    """What stands before the endings of a weight's tensors, if this one marks such a weight."""
    if form.methods and method.name not in form.methods:
        return
    if form.dtypes and files.tensors[mark].dtype not in form.dtypes:
        return
    for ending in form.endings[form.mark]:
        if mark.endswith(ending):
            yield mark.removesuffix(ending) if ending else mark
            return


def _parts(form: QuantisedForm, stem: str, files: SafetensorsFiles) -> dict[str, str]:
    """The names of a weight's tensors that are there, by their roles."""
    names = {}
    for role, endings in form.endings.items():
        name = next((stem + ending for ending in endings if stem + ending in files.tensors), None)
        if name is not None:
            names[role] = name
    return names


def _lacks(form: QuantisedForm, stem: str, mark: str, lacking: list[str], files: SafetensorsFiles) -> bool:
    """Whether a tensor is missing with a whole file. Raises InputError where all files are there."""
    if not lacking or files.shards.is_partial:
        return bool(lacking)
    missing = files.said(stem + form.endings[lacking[0]][0])
    kind = f"of {form.name}" if form.weight or form.mark == "state" else dtype_text(files.tensors[mark].dtype)
    problem = f"is {kind}, which means nothing without its scales: {missing} is missing"
    raise InputError(f"{files.path(mark)}: {files.said(mark)}: {problem}")


def _check_single(
    files: SafetensorsFiles, name: str, mark: str, parts: tuple[str, ...], combined: Mapping[str, Combined]
) -> None:
    """Raises InputError where a weight stands there in two ways."""
    if name in combined or (name in files.tensors and name not in parts):
        raise bad_field(files.path(mark), files.said(mark), "stands there beside the same weight in another form", name)


def _made(form: QuantisedForm, names: Mapping[str, str], method: Method, files: SafetensorsFiles) -> PackedWeight:
    stored = {role: files.tensor(name) for role, name in names.items()}
    labels = {role: files.said(name) for role, name in names.items()}
    parts = StoredParts(stored, labels, {})
    texts = {}
    for role in form.read_first:
        if role in stored:
            if stored[role].nbytes > _MOST_TEXT:
                parts.fail(role, f"must be of at most {_MOST_TEXT:,} bytes", stored[role].nbytes)
            texts[role] = stored[role].content()
    return replace(form.make(replace(parts, texts=texts), method), label=labels[form.mark], parts=stored)
