"""An edit's text read: `layers.3.self_attn head 5: zero`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from tracetui.errors import InputError
from tracetui.expr.actions import ACTIONS, HEAD_ROLES, PLACES, ROLES, form_of, forms_of, unknown_word
from tracetui.expr.edit import MOST_EDITS, REPLACE, Action, Edit, ReplacementSource, separator
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.evaluate import index_of
from tracetui.expr.parse import MAX_LENGTH, parse
from tracetui.recording.sites import MAX_PATTERN, SitePattern
from tracetui.text import visible

if TYPE_CHECKING:
    from tracetui.recording.value import Index

MOST_EXPERTS = 64
MAX_SEED = 2**63 - 1
_SITE = re.compile(r"(?:[\w.*?:!#-]|(?<=[.:])\[[\w!-]+\]|\[[\w!-]+\](?=[\w.*?]))+")
_SLICE = re.compile(r"\[([^\[\]]*)\]")
_COUNTED = re.compile(r"([a-z]+)\s+(-?\d{1,9})(?![^\s\[])")
_WORD = re.compile(r"\S+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?inf|nan")
_PATH = re.compile(r'@(?:"([^"]+)"|([^\s"]+))')
_FORM = "an edit is SITE: ACTION, such as `layers.3.self_attn head 5: zero`"


def parse_edit(text: str, where: str = "") -> Edit:
    """`SITE [head N | expert N | token N | […]] [pass N]: ACTION`. Raises BadExpressionError."""
    if len(text) > MAX_LENGTH:
        raise BadExpressionError(text, MAX_LENGTH, f"longer than {MAX_LENGTH} characters", where)
    if (bad := next((at for at, char in enumerate(text) if not char.isprintable()), None)) is not None:
        raise BadExpressionError(text, bad, "a character that can't be seen", where)
    return _Reading(text, where).edit()


def parse_edits(texts: Sequence[str], where: str) -> tuple[Edit, ...]:
    """Edits in the order in which they are applied. Raises InputError."""
    return check_edits([parse_edit(text, where) for text in texts[: MOST_EDITS + 1]], where)


def check_edits(edits: Sequence[Edit], where: str) -> tuple[Edit, ...]:
    """The edits, if a run takes so many. Raises InputError."""
    if len(edits) > MOST_EDITS:
        raise InputError(f"{where}: {MOST_EDITS} edits are the most")
    return tuple(edits)


def parse_source(text: str, at: int, refuse: Callable[[int, str], object]) -> ReplacementSource:
    """The source named after `replace`, from character `at` on; errors say where in the text the problem is."""
    start = len(text) - len(text[at:].lstrip())
    path = _PATH.match(text, start)
    if path is None:
        refuse(start, '`replace @F.npz [SITE]` is expected; a path with spaces stands in quotes: @"my run.npz"')
        raise AssertionError
    rest = text[path.end() :]
    site = rest.strip()
    if site and (rest[0] != " " or len(site.split()) > 1):
        refuse(path.end(), 'one SITE may follow the file; a path with spaces stands in quotes: @"my run.npz"')
    if len(site) > MAX_PATTERN or set(site) & set("*?"):
        refuse(len(text) - len(rest.lstrip()), f"one site is expected, of up to {MAX_PATTERN} characters, no pattern")
    return ReplacementSource(path[1] or path[2], site)


class _Reading:
    """One text on its way to an edit."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._counted: dict[str, int] = {}
        self._index: Index = ()
        self._sliced = False

    def refuse(self, at: int, problem: str) -> NoReturn:
        raise BadExpressionError(self._text, at, problem, self._where)

    def edit(self) -> Edit:
        colon = separator(self._text)
        if colon is None:
            self.refuse(len(self._text), f"there is no action; {_FORM}")
        start = len(self._text) - len(self._text.lstrip())
        site, places = self._site(start, colon)
        action = self._action(colon + 1)
        self._check_role(site, start, action)
        self._check_together(action, colon + 1)
        does = " ".join(self._text[colon + 1 :].split()) if action.source is None else f"{REPLACE} {action.source}"
        return Edit(
            f"{' '.join(f'{site}{places}'.split())}: {does}",
            SitePattern(site),
            action,
            head=self._counted.get("head"),
            expert=self._counted.get("expert"),
            token=self._counted.get("token"),
            pass_=self._counted.get("pass"),
            first=self._counted.get("from", 0),
            end=self._counted.get("until"),
            index=self._index,
        )

    def _site(self, start: int, colon: int) -> tuple[str, str]:
        """The site, and the text of the places in it, which are read."""
        match = _SITE.match(self._text, start, colon)
        if match is None:
            self.refuse(start, f"no site stands here; {_FORM}")
        site, places = match[0], self._text[match.end() : colon]
        if len(site) > MAX_PATTERN:
            self.refuse(start + MAX_PATTERN, f"a site has up to {MAX_PATTERN} characters")
        if site in {form.name for form in PLACES} and places.strip().isdigit():
            self.refuse(start, f"the site before {site} is missing; {_FORM}")
        self._read_places(match.end(), colon)
        # `SITE: head 5: zero` means what it says: a line that is begun with ends with a colon.
        return (site.removesuffix(":") if places.strip() else site), places

    def _read_places(self, at: int, end: int) -> None:
        """What stands between the site and the colon."""
        while (at := end - len(self._text[at:end].lstrip())) < end:
            if (match := _SLICE.match(self._text, at, end)) is not None:
                self._read_slice(match)
            elif (match := _COUNTED.match(self._text, at, end)) is not None:
                self._read_counted(match)
            else:
                word = _WORD.match(self._text, at, end)
                self.refuse(at, unknown_word(word[0] if word else "", PLACES, "place"))
            at = match.end()

    def _read_counted(self, match: re.Match[str]) -> None:
        name, number = match[1], int(match[2])
        if name not in {form.name for form in PLACES if form.name != "slice"}:
            self.refuse(match.start(), unknown_word(name, PLACES, "place"))
        if name in self._counted:
            self.refuse(match.start(), f"{name} stands there twice")
        if number < 0 and name != "token":
            self.refuse(match.start(2), f"{name} counts from 0 on")
        self._counted[name] = number

    def _read_slice(self, match: re.Match[str]) -> None:
        if self._sliced:
            self.refuse(match.start(), "a slice stands there already; places of several axes go into one: [0,-1]")
        self._sliced = True
        before = "value["
        try:
            self._index = index_of(parse(f"{before}{match[1]}]", parts=True).tree)
        except BadExpressionError as error:
            raise error.inside(self._text, match.start(1) - len(before), self._where) from None
        if any(isinstance(place, slice) and (place.step or 1) < 0 for place in self._index):
            self.refuse(match.start(), "a slice goes forward here: its step is above 0")

    def _action(self, at: int) -> Action:
        words = list(_WORD.finditer(self._text, at))
        if not words:
            self.refuse(len(self._text), f"no action stands here; there are {forms_of(ACTIONS)}")
        name, arguments = words[0][0], words[1:]
        if name not in {form.name for form in ACTIONS}:
            self.refuse(words[0].start(), unknown_word(name, ACTIONS, "action"))
        if name == REPLACE:
            return Action(name, source=parse_source(self._text, words[0].end(), self.refuse))
        if name == "experts":
            return Action(name, experts=self._experts(words[0], arguments))
        seed = 0
        if name == "noise" and len(arguments) == 3 and arguments[1][0] == "seed":
            seed, arguments = self._seed(arguments[2]), arguments[:1]
        numbers = tuple(map(self._number, arguments))
        if len(numbers) != {"scale": 1, "noise": 1, "set": 1, "clamp": 2}.get(name, 0):
            self.refuse(words[0].start(), f"is used as `{form_of(name)}`")
        self._check_numbers(name, numbers, arguments)
        return Action(name, numbers, seed)

    def _number(self, word: re.Match[str]) -> float:
        if _NUMBER.fullmatch(word[0]) is None:
            self.refuse(word.start(), f"a number is expected, got {visible(word[0], 40)}")
        return float(word[0])

    def _check_numbers(self, name: str, numbers: tuple[float, ...], arguments: Sequence[re.Match[str]]) -> None:
        if name in ("scale", "noise") and not math.isfinite(numbers[0]):
            self.refuse(arguments[0].start(), "a finite number is expected")
        if name == "noise" and numbers[0] <= 0:
            self.refuse(arguments[0].start(), "a standard deviation is above 0")
        if name == "clamp" and not numbers[0] <= numbers[1]:
            self.refuse(arguments[0].start(), "LO is at most HI, and neither is nan")

    def _seed(self, word: re.Match[str]) -> int:
        if not (word[0].isascii() and word[0].isdigit() and len(word[0]) < 20 and int(word[0]) <= MAX_SEED):
            self.refuse(word.start(), f"a seed is a whole number from 0 to {MAX_SEED}")
        return int(word[0])

    def _experts(self, name: re.Match[str], arguments: Sequence[re.Match[str]]) -> tuple[int, ...]:
        text = "".join(word[0] for word in arguments)
        if re.fullmatch(r"\d{1,6}(,\d{1,6})*", text, re.ASCII) is None:
            self.refuse(name.start(), f"is used as `{form_of('experts')}`: as many different ones as a token has")
        experts = tuple(map(int, text.split(",")))
        if len(set(experts)) != len(experts) or len(experts) > MOST_EXPERTS:
            self.refuse(arguments[0].start(), f"up to {MOST_EXPERTS} different experts are expected")
        return experts

    def _check_role(self, site: str, at: int, action: Action) -> None:
        """Refuse a role that can't be edited; a pattern may fit some that can and some that can't."""
        _, colon, role = site.partition(":")
        if not colon or set(role) & set("*?["):
            return
        allowed: tuple[str, ...] = ROLES if "head" not in self._counted else HEAD_ROLES
        if action.name == "experts":
            allowed = ("experts",)
        if role not in allowed:
            hint = "; `experts A,B` chooses experts" if role == "experts" else ""
            one = f":{', :'.join(allowed)}"
            self.refuse(at + site.index(":"), f"of roles {one} can be edited here, not :{visible(role, 40)}{hint}")

    def _check_together(self, action: Action, at: int) -> None:
        parts: set[str] = self._counted.keys() & {"head", "expert", "token"}
        if self._sliced:
            parts.add("slice")
        if action.name == "experts":
            if parts - {"token"}:
                self.refuse(at, "`experts` chooses for all tokens of a block or for one, `token N`")
        elif "token" in parts:
            self.refuse(at, "`token N` belongs to `experts A,B`; a slice names a token of other tensors: [:,5]")
        elif action.name == "skip" and parts:
            self.refuse(at, "`skip` is of a whole module; `zero` takes away a part")
        elif "head" in parts and ("expert" in parts or self._index[1:2] not in ((), (slice(None),))):
            self.refuse(at, "`head N` goes with no expert, and takes a slice's second place: head 5[:,:,-1]")
