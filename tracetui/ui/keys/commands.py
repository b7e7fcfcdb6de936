"""Every command once: its key, what the footer, the help and the palette say of it, and what it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.binding import Binding
from textual.keys import key_to_character

from tracetui.ui.panes.table import MODULES, PANES


@dataclass(frozen=True, slots=True)
class Command:
    """One thing a key does on the debugger's screen."""

    id: str
    keys: str
    """Comma-separated, in Textual's names; the first is shown."""
    help: str
    group: str
    label: str = ""
    """In the footer."""
    footer: int = 0
    """Place in the footer, important ones first; 0 keeps it out."""
    pair: str = ""
    """The command whose key stands before this one's in the footer."""
    app: str = ""
    """The application's action that does it; empty where the screen has a handler of the command's id."""

    @property
    def action(self) -> str:
        """As Textual's bindings have it."""
        return f"app.{self.app}" if self.app else f"command('{self.id}')"

    @property
    def action_on_screen(self) -> str:
        """As widgets call it."""
        return self.action if self.app else f"screen.{self.action}"


COMMANDS = (
    Command("over", "n,f10", "step over: the next record at this depth or shallower", "Run", "over", 1),
    Command("into", "s,f11,J", "step into: the very next record", "Run", "into", 2),
    Command("out", "u,shift+f11", "step out: the output of the module around this one", "Run", "out", 3),
    Command("back", "p", "step back over what is recorded: the mirror of over", "Run", "back", 4),
    Command("record_before", "K", "the very record before: the mirror of into", "Run"),
    Command("continue", "c,f5", "run on to the next stop, or to the end", "Run", "run", 5),
    Command("next_layer", "}", "the same place in the next layer", "Run"),
    Command("previous_layer", "{", "the same place in the layer before", "Run"),
    Command("next_pass", "full_stop", "the same place in the next pass, a token further", "Run"),
    Command("previous_pass", "comma", "the same place in the pass before", "Run"),
    Command("generate", "ctrl+g", "let the model go on: so many more tokens, a pass for each", "Run"),
    Command("rerun", "A", "run again from this layer, those before as recorded", "Run"),
    Command("first", "home", "the first record", "Run"),
    Command("last", "end", "the last record so far", "Run"),
    Command("pause", "space,f6", "stop a running model at its next record", "Run"),
    Command("cancel", "escape", "cancel a running model; what is recorded stays", "Run"),
    Command("until", "U", "run until a site that you type", "Run"),
    Command("run_to_line", "T", "run to the tree's line", "Run"),
    Command("repeat", "number_sign", "repeat a step: 5 over", "Run"),
    Command("stop", "b", "stop here, or at the tree's line; again: no more", "Stops", "stop", 5),
    Command("condition", "B", "type a stop: a site, a condition, or both", "Stops"),
    Command("stops", "S", "the stops: hits, on and off, to their records", "Stops"),
    Command("edit", "E", "change a tensor before the model goes on", "Stops"),
    Command("edits", "X", "the edits: on and off, away", "Stops"),
    Command("health", "exclamation_mark", "who made the NaN here (in the tree ! made it, ~ passes on)", "Stops"),
    Command("watch", "w", "watch an expression over sites", "Stops", "watch", 12),
    Command("prompt", "r,:", "type a prompt and run it (Enter runs, Esc leaves)", "Run", "prompt", 8),
    Command("jump", "ctrl+o", "go to a record by its site", "Look"),
    Command("find", "/", "find a module in the tree", "Look", "find", 10),
    Command("tree_numbers", "percent_sign", "the tree: what the run did in each module, or what it holds", "Look"),
    Command("tree_sort", "Z", "the tree: sorted by norm, growth, NaN, time, or as it is", "Look"),
    Command("names", "N", "other implementations' names beside the tree's", "Look"),
    Command("config", "C", "the configuration explained; at a tensor, the fields behind its shape", "Look"),
    Command("next_head", "]", "the next head (pane 4: expert)", "Look", "head", 11, "previous_head"),
    Command("previous_head", "[", "the head or expert before", "Look"),
    Command("next_row", ")", "the next prompt of a batch", "Look", "row", 8, "previous_row"),
    Command("previous_row", "(", "the prompt before in a batch", "Look"),
    Command("next_token", ">", "the next token", "Look", "token", 12, "previous_token"),
    Command("previous_token", "<", "the token before", "Look"),
    Command("rank", "F", "one rank's own records, or those of all ranks together", "Look"),
    Command("largest", "M", "the largest element of this tensor", "Look"),
    Command("outlier_map", "O", "the tensor's values as a map, or as a table again", "Look"),
    Command("scores", "a", "attention: before mask, masked, probabilities, latent", "Look"),
    Command("heads", "H", "attention: all heads of the layer, of all layers, one head", "Look"),
    Command("pixels", "L", "maps, histograms in pixels or characters, where there are pixels", "Look", app="pixels"),
    Command("rope", "R", "RoPE: scores by halves and by adjacent pairs", "Look"),
    Command("source", "v", "the model's own code behind this record", "Look"),
    Command("lens", "P", "the lens: what each layer would predict, layer by token", "Look"),
    Command("check_heads", "i", "check softmax(scores)·V against every head's output", "Look"),
    *(Command(f"pane_{pane.id}", pane.key, pane.help, "Panes") for pane in (MODULES, *PANES)),
    Command("timeline", "9", "the timeline of the run: ← → go through it", "Panes"),
    Command("maximise", "z", "give the pane all the room, or take it back", "Panes", "zoom", 13),
    Command("next_preset", "vertical_line", "the layout: standard, read, attention, experts, diff", "Panes"),
    Command("divider_left", "ctrl+left", "the divider beside this pane to the left; the mouse drags it, too", "Panes"),
    Command("divider_right", "ctrl+right", "the divider beside this pane to the right", "Panes"),
    Command("divider_up", "ctrl+up", "the line above or below this pane up", "Panes"),
    Command("divider_down", "ctrl+down", "the line above or below this pane down", "Panes"),
    Command("reset_layout", "ctrl+l", "the layout as it was at first", "Panes"),
    Command("export", "e", "export the trace as .npz", "Other", "export", 9),
    Command("open", "o", "open a recording, or a file of named tensors", "Other", "open", 15, app="open"),
    Command("close_recording", "backspace", "back from an opened recording", "Other", app="close_recording"),
    Command("diff", "d", "diff: compare this trace with a recording", "Other", "diff", 16),
    Command("effects", "D", "what the edits did: beside the last run without them", "Other"),
    Command("copy", "y", "copy the site, shape and statistics", "Other"),
    Command("theme", "t", "choose a theme", "Other", "theme", 14),
    Command("help", "question_mark,f1", "what is on view, explained; again: these keys", "Other", "help", 6),
    Command("screenshot", "f12", "save the screen as an SVG picture here", "Other", app="picture"),
    Command("palette", "ctrl+p", "find a command by name", "Other", app="command_palette"),
    Command("quit", "q", "quit", "Other", "quit", 7, app="quit"),
)
GROUPS = ("Run", "Stops", "Look", "Panes", "Other")

_NAMES = {
    "escape": "Esc",
    "space": "Space",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "slash": "/",
    "full_stop": ".",
    "comma": ",",
    "colon": ":",
    "number_sign": "#",
    "exclamation_mark": "!",
    "semicolon": ";",
    "apostrophe": "'",
    "asterisk": "*",
    "ampersand": "&",
    "percent_sign": "%",
    "vertical_line": "|",
    "tilde": "~",
    "at": "@",
    "underscore": "_",
    "plus": "+",
    "minus": "-",
    "backslash": "\\",
}


def commands_of(screen: object) -> Iterable[Command]:
    """The commands of a screen: the debugger's, if it has no own."""
    own: Iterable[Command] = getattr(screen, "OWN_COMMANDS", COMMANDS)
    return own


def bindings(commands: Iterable[Command] = COMMANDS) -> list[Binding]:
    """The commands as Textual bindings, each with its id."""
    return [_binding(command) for command in commands]


def dialog_bindings() -> list[Binding]:
    """Those that hold in a dialog too."""
    return [_binding(command) for command in COMMANDS if command.id == "screenshot"]


def _binding(command: Command) -> Binding:
    return Binding(command.keys, command.action, command.help, show=False, id=command.id)


def shown_key(command: Command, keymap: Mapping[str, str]) -> str:
    """The first key of a command as a person reads it."""
    return key_name(keymap.get(command.id, command.keys).split(",")[0])


def shown_keys(command: Command, keymap: Mapping[str, str]) -> str:
    """All keys of a command."""
    return " ".join(key_name(key) for key in keymap.get(command.id, command.keys).split(","))


def key_name(key: str) -> str:
    """`shift+f11` → `Shift+F11`, `question_mark` → `?`, `ctrl+o` → `Ctrl+O`."""
    name = key.strip()
    if name in _NAMES or len(name) == 1:
        return _NAMES.get(name, name)
    character = key_to_character(name)
    if character is not None and character.isprintable():
        return character
    return "+".join(part.capitalize() for part in name.split("+"))


def footer_key(command: Command, keymap: Mapping[str, str], commands: Iterable[Command] = COMMANDS) -> str:
    """The key in the footer, with that of its pair before it: `[ ]`."""
    pair = next((other for other in commands if other.id == command.pair), None)
    key = shown_key(command, keymap)
    return f"{shown_key(pair, keymap)} {key}" if pair else key


def footer_commands(commands: Iterable[Command] = COMMANDS) -> Iterable[Command]:
    """The footer's commands, the important ones first."""
    return sorted((command for command in commands if command.footer), key=lambda command: command.footer)
