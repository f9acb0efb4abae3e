"""Which keys mean which command: the defaults, and what the user changed. Keys are portable names such as "Ctrl+Z"."""

from __future__ import annotations

from collections.abc import Mapping

Keys = tuple[str, ...]
Table = Mapping[str, Keys]  # command's id -> its keys, the first is shown

# What views, lists and dialogs understand by themselves.
FIXED = frozenset(
    {"Up", "Down", "Left", "Right", "PgUp", "PgDown", "Return", "Enter", "Esc", "Space", "Tab", "Del", "Backspace"}
)


def in_force(defaults: Table, changed: Table) -> dict[str, Keys]:
    """Keys of every command. What the user chose wins; a default key that it takes is none of its old command's."""
    own = {key: keys for key, keys in changed.items() if key in defaults}
    taken = {key for keys in own.values() for key in keys}
    return {
        command: own[command] if command in own else tuple(k for k in keys if k not in taken)
        for command, keys in defaults.items()
    }


def owner(keys: Table, key: str) -> str | None:
    """The command that a key means, or None."""
    return next((command for command, its in keys.items() if key in its), None)


def assign(defaults: Table, changed: Table, command: str, keys: Keys) -> dict[str, Keys]:
    """The changes once a command has these keys; other commands lose them. Raises KeyError for an unknown command."""
    now = in_force(defaults, changed)
    for other, its in now.items():
        now[other] = tuple(k for k in its if k not in keys)
    now[command] = keys
    if command not in defaults:
        raise KeyError(command)
    return _changes(defaults, now)


def reset(defaults: Table, changed: Table, command: str) -> dict[str, Keys]:
    """The changes once a command has its default keys again, also where another command has them now."""
    return assign(defaults, changed, command, defaults[command])


def _changes(defaults: Table, now: Table) -> dict[str, Keys]:
    return {command: keys for command, keys in now.items() if keys != defaults[command]}
