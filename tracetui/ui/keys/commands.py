"""Every command once: its key, what the footer, the help and the palette say of it, and what it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Command:
    """One thing a key does on the debugger's screen."""

    id: str
    keys: str
    """Comma-separated, in Textual's names; the first is shown."""
    action: str
    """An action of the debugger screen, or `app.…`."""
    help: str
    group: str
    label: str = ""
    """In the footer."""
    footer: int = 0
    """Place in the footer, important ones first; 0 keeps it out."""
    pair: str = ""
    """The command whose key stands before this one's in the footer."""


COMMANDS = (
    Command("over", "n,f10", "step('over')", "step over: the next record at this depth or shallower", "Run", "over", 1),
    Command("into", "s,f11", "step('into')", "step into: the very next record", "Run", "into", 2),
    Command("out", "u,shift+f11", "step('out')", "step out: the output of the module around this one", "Run", "out", 3),
    Command("back", "p", "back", "step back over what is recorded", "Run", "back", 4),
    Command("continue", "c,f5", "step('end')", "run on to the next stop, or to the end", "Run", "run", 5),
    Command("next_layer", "}", "step('layer')", "the same place in the next layer", "Run"),
    Command("previous_layer", "{", "layer_back", "the same place in the layer before", "Run"),
    Command("next_pass", "full_stop", "step('later')", "the same place in the next pass, a token further", "Run"),
    Command("previous_pass", "comma", "pass_back", "the same place in the pass before", "Run"),
    Command("generate", "g", "generate", "let the model go on: so many more tokens, a pass for each", "Run"),
    Command("rerun", "A", "rerun", "run again from this layer, those before as recorded", "Run"),
    Command("first", "home", "first", "the first record", "Run"),
    Command("last", "end", "last", "the last record so far", "Run"),
    Command("pause", "space,f6", "pause", "stop a running model at its next record", "Run"),
    Command("cancel", "escape", "cancel", "cancel a running model; what is recorded stays", "Run"),
    Command("until", "U", "until", "run until a site that you type", "Run"),
    Command("run_to_line", "T", "run_to_line", "run to the tree's line", "Run"),
    Command("repeat", "number_sign", "repeat", "repeat a step: 5 over", "Run"),
    Command("stop", "b", "stop", "stop here, or at the tree's line; again: no more", "Stops", "stop", 5),
    Command("condition", "B", "condition", "type a stop: a site, a condition, or both", "Stops"),
    Command("stops", "S", "stops", "the stops: hits, on and off, to their records", "Stops"),
    Command("edit", "E", "edit", "change a tensor before the model goes on", "Stops"),
    Command("edits", "X", "edits", "the edits: on and off, away", "Stops"),
    Command(
        "health", "exclamation_mark", "health", "who made the NaN here (in the tree ! made it, ~ passes on)", "Stops"
    ),
    Command("watch", "w", "watch", "watch an expression over sites", "Stops", "watch", 12),
    Command("prompt", "r,:", "prompt", "type a prompt and run it (Enter runs, Esc leaves)", "Run", "prompt", 8),
    Command("jump", "ctrl+o", "jump", "go to a record by its site", "Look"),
    Command("find", "/", "find", "find a module in the tree", "Look", "find", 10),
    Command("names", "N", "names", "other implementations' names beside the tree's", "Look"),
    Command("config", "C", "config", "the configuration explained; at a tensor, the fields behind its shape", "Look"),
    Command("next_head", "]", "head(1)", "the next head (pane 4: expert)", "Look", "head", 11, "previous_head"),
    Command("previous_head", "[", "head(-1)", "the head or expert before", "Look"),
    Command("next_row", ")", "batch(1)", "the next prompt of a batch", "Look", "row", 8, "previous_row"),
    Command("previous_row", "(", "batch(-1)", "the prompt before in a batch", "Look"),
    Command("next_token", ">", "token(1)", "the next token", "Look", "token", 12, "previous_token"),
    Command("previous_token", "<", "token(-1)", "the token before", "Look"),
    Command("scores", "a", "scores", "attention: before mask, masked, probabilities, latent", "Look"),
    Command("rope", "R", "rope", "RoPE: scores by halves and by adjacent pairs", "Look"),
    Command("source", "v", "source", "the model's own code behind this record", "Look"),
    Command("lens", "P", "lens", "the lens: what each layer would predict, layer by token", "Look"),
    Command("check_heads", "i", "check_heads", "check softmax(scores)·V against every head's output", "Look"),
    Command("pane_modules", "1", "pane('modules')", "the module tree", "Panes"),
    Command("pane_tensor", "2", "pane('tensor')", "the tensor", "Panes"),
    Command("pane_attention", "3", "pane('attention')", "attention", "Panes"),
    Command("pane_experts", "4", "pane('experts')", "expert routing", "Panes"),
    Command("pane_logits", "5", "pane('logits')", "the next tokens", "Panes"),
    Command("pane_log", "6", "pane('log')", "the log", "Panes"),
    Command("maximise", "z", "maximise", "give the pane all the room, or take it back", "Panes", "zoom", 13),
    Command("export", "e", "export", "export the trace as .npz", "Other", "export", 9),
    Command("open", "o", "app.open", "open a recording, or a file of named tensors", "Other", "open", 15),
    Command("close_recording", "backspace", "app.close_recording", "back from an opened recording", "Other"),
    Command("diff", "d", "diff", "diff: compare this trace with a recording", "Other", "diff", 16),
    Command("effects", "D", "effects", "what the edits did: beside the last run without them", "Other"),
    Command("copy", "y", "copy", "copy the site, shape and statistics", "Other"),
    Command("theme", "t", "theme", "choose a theme", "Other", "theme", 14),
    Command("help", "question_mark,f1", "help", "these keys", "Other", "help", 6),
    Command("screenshot", "f12", "app.picture", "save the screen as an SVG picture here", "Other"),
    Command("palette", "ctrl+p", "app.command_palette", "find a command by name", "Other"),
    Command("quit", "q", "app.quit", "quit", "Other", "quit", 7),
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
    return "+".join(part.capitalize() for part in name.split("+"))


def footer_key(command: Command, keymap: Mapping[str, str], commands: Iterable[Command] = COMMANDS) -> str:
    """The key in the footer, with that of its pair before it: `[ ]`."""
    pair = next((other for other in commands if other.id == command.pair), None)
    key = shown_key(command, keymap)
    return f"{shown_key(pair, keymap)} {key}" if pair else key


def footer_commands(commands: Iterable[Command] = COMMANDS) -> Iterable[Command]:
    """The footer's commands, the important ones first."""
    return sorted((command for command in commands if command.footer), key=lambda command: command.footer)
