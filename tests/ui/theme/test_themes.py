"""The shipped themes are readable and tell meanings apart; a wrong theme is named and left out."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme
from textual.widgets import Static

from tracetui import paths
from tracetui.errors import InputError
from tracetui.ui.dialogs.files.last_folder import keep_folder, last_folder
from tracetui.ui.theme.file import ThemeFile, default_heatmap, read_theme, steady
from tracetui.ui.theme.themes import DEFAULT_THEME, MOST_FILES, load_themes, remember_theme, remembered_theme
from tracetui.ui.theme.variables import MEANINGS, contrast, default_variables, inks, readable
from tracetui.ui.themed_app import ThemedApp
from tracetui.views.palette import channels

SHIPPED = ["tracetui-colourblind", "tracetui-contrast", "tracetui-dark", "tracetui-ember", "tracetui-light"]
TEXTS = ["foreground", "primary", "secondary", "accent", "success", "warning", "error"]
NOT_TEXT = {"rule", "track", "bar", "cursor", "cursor-text"}
TOLD_APART = [
    ["success", "warning", "error"],
    ["stop", "running", "waiting"],
    ["positive", "negative", "zero", "nan", "inf", "cursor"],
    ["provenance-file", "provenance-random", "provenance-dequantised", "provenance-edited"],
    ["residual", "role", "foreground", "quiet"],
]
# Machado, Oliveira and Fernandes (2009), complete protanopia, deuteranopia and tritanopia, over linear RGB.
VISIONS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
NORMAL = np.eye(3).tolist()

Matrix = list[list[float]]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACETUI_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TRACETUI_STATE_DIR", str(tmp_path / "state"))


def shipped(name: str) -> ThemeFile:
    return read_theme(paths.themes() / f"{name}.toml")[0]


def variables(theme: Theme) -> dict[str, str]:
    return default_variables(theme) | theme.to_color_system().generate() | theme.variables


def colours(theme: Theme) -> dict[str, Color]:
    known = variables(theme)
    return {name: Color.parse(known[name]) for name in [*TEXTS, *MEANINGS, "background", "surface", "panel"]}


def oklab(rgb: tuple[int, int, int], vision: Matrix) -> npt.NDArray[np.float64]:
    shares = np.array(rgb) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(vision) @ linear, 0, 1)
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.793617785, -0.0040720468],
        [1.9779984951, -2.428592205, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.808675766],
    ]
    return np.asarray(np.array(to_lab) @ np.cbrt(np.array(to_lms) @ seen))


def distance(one: tuple[int, int, int], other: tuple[int, int, int], vision: Matrix = NORMAL) -> float:
    return float(np.linalg.norm(oklab(one, vision) - oklab(other, vision)))


def test_the_shipped_folder_loads_without_a_warning() -> None:
    themes, warnings = load_themes()
    assert warnings == []
    assert sorted(themes) == SHIPPED
    assert DEFAULT_THEME in themes
    assert all(theme_file.path.stem == name for name, theme_file in themes.items())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_theme_sets_every_variable_itself(name: str) -> None:
    assert set(shipped(name).theme.variables) >= set(MEANINGS)


@pytest.mark.parametrize("name", SHIPPED)
def test_text_is_readable_on_every_ground(name: str) -> None:
    theme = shipped(name).theme
    found, known = colours(theme), variables(theme)
    least = 7.0 if name == "tracetui-contrast" else 4.5
    grounds = [found["background"], found["surface"], found["panel"]]
    for text in [*TEXTS, *(set(MEANINGS) - NOT_TEXT)]:
        assert min(contrast(found[text], ground) for ground in grounds) >= least, text
    assert contrast(found["cursor-text"], found["cursor"]) >= least
    assert min(contrast(found["bar"], ground) for ground in grounds) >= 3
    for part in ("key", "description"):
        ground = Color.parse(known["footer-background"])
        assert contrast(Color.parse(known[f"footer-{part}-foreground"]), ground) >= least, part
    for state in ("", "-blurred"):
        ground = Color.parse(known[f"block-cursor{state}-background"])
        assert contrast(Color.parse(known[f"block-cursor{state}-foreground"]), ground) >= least, state


@pytest.mark.parametrize("name", SHIPPED)
def test_every_step_of_the_number_colours_is_readable(name: str) -> None:
    theme = shipped(name).theme
    styles = inks(variables(theme))
    surface = colours(theme)["surface"]
    for style in [*styles.positive, *styles.negative, styles.zero]:
        assert style.color is not None
        assert contrast(Color.from_rich_color(style.color), surface) >= 4.5


@pytest.mark.parametrize("name", SHIPPED)
def test_different_meanings_have_different_colours(name: str) -> None:
    found = colours(shipped(name).theme)
    for group in TOLD_APART:
        for one, other in itertools.combinations(group, 2):
            assert distance(found[one].rgb, found[other].rgb) >= 0.06, (one, other)


@pytest.mark.parametrize("vision", VISIONS)
def test_the_colour_blind_theme_tells_meanings_apart_in_every_vision(vision: str) -> None:
    found = colours(shipped("tracetui-colourblind").theme)
    for group in TOLD_APART:
        for one, other in itertools.combinations(group, 2):
            assert distance(found[one].rgb, found[other].rgb, VISIONS[vision]) >= 0.05, (one, other)


@pytest.mark.parametrize("name", SHIPPED)
def test_meanings_stay_apart_in_256_colours(name: str) -> None:
    found = colours(shipped(name).theme)
    for group in TOLD_APART:
        numbers = [found[meaning].rich_color.downgrade(ColorSystem.EIGHT_BIT).number for meaning in group]
        assert len(set(numbers)) == len(numbers), group


@pytest.mark.parametrize("name", SHIPPED)
def test_heatmap_colours_are_steady_and_unlike_nan_and_masked(name: str) -> None:
    heatmap = shipped(name).heatmap
    assert steady(heatmap.sequential)
    middle = len(heatmap.diverging) // 2
    assert steady(heatmap.diverging[: middle + 1])
    assert steady(heatmap.diverging[middle:])
    for palette in heatmap.palettes(name):
        for level in palette.levels:
            assert distance(channels(level), channels(palette.nan)) >= 0.1
    sequential, _ = heatmap.palettes(name)
    assert sequential.masked is not None
    for level in sequential.levels:
        assert distance(channels(level), channels(sequential.masked)) >= 0.04


@pytest.mark.parametrize("theme", BUILTIN_THEMES.values(), ids=lambda theme: theme.name)
def test_a_theme_without_our_variables_gets_readable_ones(theme: Theme) -> None:
    defaults = default_variables(theme)
    assert set(defaults) == set(MEANINGS)
    inks(defaults | theme.to_color_system().generate())
    default_heatmap(theme).palettes(theme.name)
    if not theme.ansi:
        found = colours(theme)
        for text in set(MEANINGS) - NOT_TEXT:
            grounds = [found[ground] for ground in ("background", "surface", "panel")]
            best = max(
                min(contrast(end, ground) for ground in grounds) for end in (Color(0, 0, 0), Color(255, 255, 255))
            )
            assert min(contrast(found[text], ground) for ground in grounds) >= min(4.5, best) - 1e-9, text


@given(st.tuples(*[st.integers(0, 255)] * 3), st.tuples(*[st.integers(0, 255)] * 3))
def test_readable_reaches_the_contrast_on_any_one_ground(
    text: tuple[int, int, int], ground: tuple[int, int, int]
) -> None:
    assert contrast(readable(Color(*text), [Color(*ground)]), Color(*ground)) >= 4.5


class Themed(App[None]):
    """Uses every variable of ours in its style sheet."""

    CSS = "\n".join(f"#v-{name} {{ color: ${name}; background: ${name}; }}" for name in MEANINGS)

    def __init__(self, themes: list[Theme]) -> None:
        super().__init__()
        for theme in themes:
            self.register_theme(theme)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return default_variables(self.current_theme)

    def compose(self) -> ComposeResult:
        yield from (Static("x", id=f"v-{name}") for name in MEANINGS)


async def test_every_theme_can_be_worn_by_a_running_app() -> None:
    themes = [theme_file.theme for theme_file in load_themes()[0].values()]
    bare = Theme("bare", "#336699")
    async with Themed([*themes, bare]).run_test() as pilot:
        for theme in [*themes, bare, *BUILTIN_THEMES.values()]:
            pilot.app.theme = theme.name
            await pilot.pause()
            expected = variables(theme)["stop"]
            assert pilot.app.query_one("#v-stop").styles.color == Color.parse(expected), theme.name


def users(text: str | bytes, name: str = "mine.toml") -> Path:
    folder = paths.config_dir() / "themes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_users_theme_with_a_shipped_name_takes_its_place() -> None:
    path = users('name = "tracetui-dark"\nprimary = "#123456"')
    themes, warnings = load_themes()
    assert warnings == []
    assert sorted(themes) == SHIPPED
    assert (themes["tracetui-dark"].path, themes["tracetui-dark"].theme.primary) == (path, "#123456")


def test_a_theme_of_two_fields_gets_all_the_rest_derived() -> None:
    users('name = "small"\nprimary = "teal"')
    theme_file = load_themes()[0]["small"]
    assert theme_file.heatmap == default_heatmap(theme_file.theme)
    assert steady(theme_file.heatmap.sequential)


WRONG = {
    "primary = 3": ("primary", "a string", "3"),
    'accent = "#12"': ("accent", "opaque colour", "'#12'"),
    'accent = "ansi_blue"': ("accent", "opaque colour", "'ansi_blue'"),
    'panel = "#11223380"': ("panel", "opaque colour", "'#11223380'"),
    'boost = "glow"': ("boost", "a colour", "'glow'"),
    'dark = "yes"': ("dark", "true or false", "'yes'"),
    "text_alpha = 2.0": ("text_alpha", "from 0 to 1", "2.0"),
    "luminosity_spread = true": ("luminosity_spread", "from 0 to 1", "True"),
    "variables = 1": ("variables", "a table", "1"),
    "[variables]\nstop = 1": ("variables.stop", "a string", "1"),
    '[variables]\nstop = "auto 60%"': ("variables.stop", "opaque colour", "'auto 60%'"),
    '[variables]\ntext-muted = "#zz"': ("variables.text-muted", "a colour", "'#zz'"),
    '[variables]\nborder = "red; } * { display: none"': ("variables.border", "a colour", "'red; }"),
    '[variables]\nlink-style = "bold shiny"': ("variables.link-style", "the words", "'bold shiny'"),
    '[variables]\nborder = "auto 60%"': ("variables.border", "a colour", "'auto 60%'"),
    '[variables]\nbackground-darken-1 = "red 50%"': ("variables", "can't mix", "red 50%"),
    "heatmap = []": ("heatmap", "a table", "[]"),
    '[heatmap]\nnan = "red"': ("heatmap.nan", '"#rrggbb"', "'red'"),
    "[heatmap]\nmasked = 0": ("heatmap.masked", '"#rrggbb"', "0"),
    '[heatmap]\nsequential = ["#000000"]': ("heatmap.sequential", "2 to 32", "['#000000']"),
    '[heatmap]\nsequential = ["#000000", 1]': ("heatmap.sequential[1]", '"#rrggbb"', "1"),
    '[heatmap]\nsequential = ["#000000", "#ffffff", "#808080"]': ("heatmap.sequential", "steadily", "#808080"),
    '[heatmap]\ndiverging = ["#000000", "#ffffff"]': ("heatmap.diverging", "odd number", "2"),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_field_is_named_and_the_theme_left_out(text: str) -> None:
    head = 'name = "mine"\n' + ("" if text.startswith("primary") else 'primary = "#336699"\n')
    path = users(head + text)
    themes, warnings = load_themes()
    field, problem, found = WRONG[text]
    assert sorted(themes) == SHIPPED
    assert warnings[0].startswith(f"{path}: {field}: ")
    assert problem in warnings[0]
    assert f", got {found}" in warnings[0] or found in warnings[0]


@pytest.mark.parametrize("name", ["", "a,b", "[/x]", "x" * 41, "a\nb", 7, None])
def test_a_name_that_textual_could_not_choose_is_refused(name: object) -> None:
    line = f"name = {name!r}\n" if name is not None else ""
    users(line.replace("'", '"') + 'primary = "#336699"')
    themes, warnings = load_themes()
    assert sorted(themes) == SHIPPED
    assert ": name: must be" in warnings[0]


def test_all_wrong_fields_are_named_at_once() -> None:
    users('dark = 1\naccent = "no"\n[variables]\nstop = "no"\n[heatmap]\nnan = "no"')
    fields = [warning.split(": ")[1] for warning in load_themes()[1]]
    assert fields == ["accent", "primary", "name", "dark", "variables.stop", "heatmap.nan"]


def test_an_unknown_field_is_named_and_the_theme_kept() -> None:
    text = 'name = "mine"\nprimary = "#336699"\ncolour = 1\n[variables]\nstopp = "#fff"\n[heatmap]\nwarm = 1'
    path = users(text)
    themes, warnings = load_themes()
    assert "mine" in themes
    assert "stopp" not in themes["mine"].theme.variables
    named = {
        f"{path}: {field}: is not a field of a theme; ignored"
        for field in ("colour", "variables.stopp", "heatmap.warm")
    }
    assert set(warnings) == named


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name = ", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8 text, at byte 0"),
        (b"x = " + b"[" * 40_000, "is nested too deep"),
        (b"x = " + b"9" * 5_000, "has an integer of more than 64 bits"),
        (b"#" * (64 * 1024 + 1), "larger than"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"", "primary: is missing"),
    ],
)
def test_a_file_that_is_no_theme_is_reported(content: bytes, says: str) -> None:
    path = users(content)
    themes, warnings = load_themes()
    assert sorted(themes) == SHIPPED
    assert warnings[0].startswith(f"{path}: ")
    assert says in warnings[0]


def test_a_pipe_a_folder_and_a_dangling_link_do_not_stop_the_start() -> None:
    folder = users("", "empty.txt").parent
    os.mkfifo(folder / "pipe.toml")
    (folder / "folder.toml").mkdir()
    (folder / "gone.toml").symlink_to(folder / "nowhere")
    themes, warnings = load_themes()
    assert sorted(themes) == SHIPPED
    assert [Path(warning.split(": ")[0]).name for warning in warnings] == ["folder.toml", "gone.toml", "pipe.toml"]


def test_of_thousands_of_themes_the_first_are_read_and_their_number_is_told() -> None:
    folder = paths.config_dir() / "themes"
    folder.mkdir(parents=True)
    for number in range(MOST_FILES + 10):
        (folder / f"{number:05}.toml").write_text("")
    warnings = load_themes()[1]
    assert warnings[0] == f"{folder}: holds {MOST_FILES + 10} themes; the first {MOST_FILES} by name are read"
    assert not any(f"{MOST_FILES:05}.toml" in warning for warning in warnings)
    assert len(ThemedApp().problems) == 21
    assert ThemedApp().problems[-1].endswith("more in themes and keys")


def test_a_theme_folder_that_is_a_file_is_reported() -> None:
    paths.config_dir().mkdir(parents=True)
    (paths.config_dir() / "themes").write_text("")
    themes, warnings = load_themes()
    assert sorted(themes) == SHIPPED
    assert len(warnings) == 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(), st.sampled_from(SHIPPED))
def test_a_damaged_theme_loads_or_is_refused_in_words(tmp_path: Path, seed: int, name: str) -> None:
    dice = random.Random(seed)
    text = bytearray((paths.themes() / f"{name}.toml").read_bytes())
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(text))
        text[at : at + dice.randint(0, 3)] = bytes(dice.choices(b'"#[]=,.0f\n \xff', k=dice.randint(0, 3)))
    path = tmp_path / "damaged.toml"
    path.write_bytes(text)
    message = ""
    try:
        theme_file, _ = read_theme(path)
    except InputError as error:
        message = str(error)
    else:
        inks(variables(theme_file.theme))
        theme_file.heatmap.palettes(name)
    assert all(line.startswith(f"{path}: ") for line in message.splitlines())


def test_the_chosen_theme_is_remembered_beside_what_else_is_kept() -> None:
    assert remembered_theme() == DEFAULT_THEME
    remember_theme("tracetui-light")
    assert remembered_theme() == "tracetui-light"
    state = paths.state_dir() / "ui.toml"
    state.write_text('theme = "tracetui-light"\n[layout]\nmodules = 0.3\n')
    remember_theme("tracetui-ember")
    assert remembered_theme() == "tracetui-ember"
    assert "[layout]\nmodules = 0.3\n" in state.read_text()


@pytest.mark.parametrize("content", [b"", b"theme = 3", b"theme = [", b"\xff", b"theme = " + b"[" * 20_000])
def test_a_state_file_that_makes_no_sense_is_as_good_as_none(content: bytes) -> None:
    paths.state_dir().mkdir(parents=True)
    (paths.state_dir() / "ui.toml").write_bytes(content)
    assert remembered_theme() == DEFAULT_THEME
    remember_theme("tracetui-light")
    assert remembered_theme() == "tracetui-light"


def test_nothing_is_remembered_where_sessions_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_theme("tracetui-light")
    before = (paths.state_dir() / "ui.toml").read_text()
    monkeypatch.setenv("TRACETUI_NO_SESSION", "1")
    remember_theme("dracula")
    keep_folder(paths.state_dir() / "x.npz")
    assert remembered_theme() == DEFAULT_THEME
    assert last_folder() == ""
    assert (paths.state_dir() / "ui.toml").read_text() == before
    assert not (paths.state_dir() / "last_folder").exists()


def test_failing_to_remember_is_silent() -> None:
    paths.state_dir().write_text("a file where the folder should be")
    remember_theme("tracetui-light")
    assert remembered_theme() == DEFAULT_THEME


def test_the_documented_sample_is_complete_and_loads_without_a_warning() -> None:
    text = (Path(__file__).parents[3] / "docs" / "themes.md").read_text(encoding="utf-8")
    theme_file, unused = read_theme(users(text.split("```toml\n")[1].split("```")[0]))
    assert unused == []
    assert set(MEANINGS) <= set(theme_file.theme.variables)
    assert all(f"`{name}`" in text for name in SHIPPED)
    for line in text.split("[heatmap]")[0].split("\n"):
        name = line.split("=")[0].strip()
        if name in MEANINGS:
            assert MEANINGS[name].split(",")[0].split(";")[0] in line, name
    found = colours(theme_file.theme)
    for meaning in set(MEANINGS) - NOT_TEXT:
        assert contrast(found[meaning], found["surface"]) >= 4.5, meaning
