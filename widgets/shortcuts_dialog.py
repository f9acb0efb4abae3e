"""The list of all shortcuts and mouse gestures, in which keys can be changed; also a page of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.shortcuts import FIXED, Keys, assign, in_force, owner, reset
from contourdesk.widgets.actions import Action, defaults_of, native_text
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

_ID = Qt.ItemDataRole.UserRole


class ShortcutsDialog(QDialog):
    """A `ShortcutsEditor` in a window of its own; `changed` is the editor's."""

    changed = Signal(object)

    def __init__(
        self, parent: QWidget, actions: Sequence[Action], changes: Mapping[str, Keys], more: Sequence[tuple[str, str]]
    ) -> None:
        super().__init__(parent)
        self.setObjectName("shortcuts_dialog")
        self.setWindowTitle(tr("Keyboard and mouse"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.editor = ShortcutsEditor(actions, changes, more)
        self.editor.changed.connect(self.changed)
        self.rows, self.choose = self.editor.rows, self.editor.choose
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        buttons.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(False)
        named(buttons, "shortcuts_buttons")
        layout = QVBoxLayout(self)
        layout.addWidget(self.editor, 1)
        layout.addWidget(buttons)
        self.resize(em(self, 36), min(em(self, 44), round(parent.height() * 0.9)))


class ShortcutsEditor(QWidget):
    """All commands with their keys, and `more`: (keys, what they do) of what can't be changed.

    `changed` carries the changes of the user, command's id to its keys, after each.
    """

    changed = Signal(object)

    def __init__(
        self,
        actions: Sequence[Action],
        changes: Mapping[str, Keys],
        more: Sequence[tuple[str, str]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._defaults = defaults_of(actions)
        self._texts = {a.id: tr(a.text).rstrip("…") for a in actions}
        self._changes = dict(changes)
        self.search = QLineEdit()
        named(self.search, "shortcut_search", tr("Search commands and keys"))
        self.search.setPlaceholderText(tr("Search a command or a key"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self._make_list(actions, more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.search)
        layout.addWidget(self._list, 1)
        layout.addLayout(self._make_editor())
        self._show_keys()
        self._on_chosen()

    def _make_list(self, actions: Sequence[Action], more: Sequence[tuple[str, str]]) -> None:
        self._list = QTreeWidget()
        named(self._list, "shortcut_list", tr("Commands and their keys"))
        self._list.setHeaderLabels([tr("Command"), tr("Keys")])
        self._list.setRootIsDecorated(False)
        self._list.setUniformRowHeights(True)
        groups: dict[str, QTreeWidgetItem] = {}
        for action in actions:
            item = QTreeWidgetItem(self._group(groups, tr(action.menu)), [self._texts[action.id], ""])
            item.setData(0, _ID, action.id)
        for keys, text in more:
            QTreeWidgetItem(self._group(groups, tr("Mouse and fixed keys")), [tr(text), keys])
        self._list.expandAll()
        self._list.header().setStretchLastSection(False)
        self._list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._list.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self._list.currentItemChanged.connect(self._on_chosen)
        self._list.itemActivated.connect(lambda *_: self._change())

    def _group(self, groups: dict[str, QTreeWidgetItem], name: str) -> QTreeWidgetItem:
        if name not in groups:
            item = groups[name] = QTreeWidgetItem(self._list, [name, ""])
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            font = item.font(0)
            font.setBold(True)
            item.setFont(0, font)
        return groups[name]

    def _make_editor(self) -> QGridLayout:
        self._edit = QKeySequenceEdit()
        named(self._edit, "shortcut_key", tr("Press the new key"))
        self._edit.setMaximumSequenceLength(1)
        self._edit.keySequenceChanged.connect(self._on_key)
        self._note = QLabel()
        named(self._note, "shortcut_note", tr("What the new key means now"))
        self._note.setWordWrap(True)
        self._note.setTextFormat(Qt.TextFormat.PlainText)
        self._note.setMinimumHeight(em(self, 2.4))
        self._note.setAlignment(Qt.AlignmentFlag.AlignTop)
        grid = QGridLayout()
        grid.addWidget(self._edit, 0, 0)
        self._buttons = {}
        for n, (name, text, what, function) in enumerate((
            ("change", "Change…", "Press another key for the command (Enter)", self._change),
            ("set", "Set", "Give the command this key", self._set),
            ("remove", "No key", "Take all keys from the command", lambda: self._give(())),
            ("default", "Default", "Give the command its default keys", self._reset),
            ("all_defaults", "All defaults", "Give all commands their default keys", lambda: self._put({})),
        )):  # fmt: skip
            button = self._buttons[name] = QPushButton(tr(text))
            named(button, f"shortcut_{name}", tr(what), tr(what))
            button.setAutoDefault(False)
            button.clicked.connect(lambda _=False, function=function: function())
            grid.addWidget(button, 0, n + 1)
        set_role(self._buttons["set"], "primary")
        grid.addWidget(self._note, 1, 0, 1, 6)
        grid.setColumnStretch(0, 1)
        return grid

    def rows(self) -> list[QTreeWidgetItem]:
        """All rows, without the headings."""
        tops = [self._list.topLevelItem(n) for n in range(self._list.topLevelItemCount())]
        return [top.child(k) for top in tops for k in range(top.childCount())]

    def choose(self, command: str) -> None:
        """Choose a command by its id."""
        self._list.setCurrentItem(next(item for item in self.rows() if item.data(0, _ID) == command))

    @property
    def changes(self) -> dict[str, Keys]:
        """The keys that are not the defaults."""
        return dict(self._changes)

    @property
    def command(self) -> str | None:
        """The chosen command's id, None for what can't be changed."""
        item = self._list.currentItem()
        return None if item is None else item.data(0, _ID)

    def _show_keys(self) -> None:
        keys = in_force(self._defaults, self._changes)
        for item in self.rows():
            command = item.data(0, _ID)
            if command is not None:
                item.setText(1, ", ".join(native_text(key) for key in keys[command]))
                font = item.font(1)
                font.setBold(command in self._changes)  # another than the default
                item.setFont(1, font)
        self._filter(self.search.text())

    def _filter(self, text: str) -> None:
        word = text.strip().casefold()
        for item in self.rows():
            item.setHidden(word not in f"{item.text(0)}\n{item.text(1)}".casefold())
        for n in range(self._list.topLevelItemCount()):
            top = self._list.topLevelItem(n)
            top.setHidden(all(top.child(k).isHidden() for k in range(top.childCount())))

    # -- changing -------------------------------------------------------------------------------------------------

    def _on_chosen(self) -> None:
        self._edit.clear()
        chosen = self.command is not None
        self._edit.setEnabled(chosen)
        for name, button in self._buttons.items():
            button.setEnabled(chosen or name == "all_defaults")
        self._on_key()

    def _change(self) -> None:
        if self.command is not None:
            self._edit.clear()
            self._edit.setFocus()
            self._note.setText(tr("Press the new key for {command}.").format(command=self._texts[self.command]))

    def _key(self) -> str:
        return self._edit.keySequence().toString(QKeySequence.SequenceFormat.PortableText)

    def _on_key(self) -> None:
        key, command = self._key(), self.command
        self._buttons["set"].setEnabled(bool(key) and command is not None and key not in FIXED)
        set_role(self._note, "muted")
        keys = in_force(self._defaults, self._changes)
        other = owner(keys, key) if key else None
        if command is None:
            self._note.setText(tr("Choose a command to change its key."))
        elif key in FIXED:
            set_role(self._note, "warning")
            self._note.setText(
                tr("{key} has a fixed meaning in views and lists, which can't be changed.").format(key=key)
            )
        elif other is not None and other != command:
            set_role(self._note, "warning")
            left = ", ".join(native_text(k) for k in keys[other] if k != key)
            rest = tr("which would keep {left}.").format(left=left) if left else tr("which would have no key then.")
            self._note.setText(
                tr("{key} is used by {command}, {rest}").format(
                    key=native_text(key), command=self._texts[other], rest=rest
                )
            )
        else:
            self._note.setText(tr("{key} is free.").format(key=native_text(key)) if key and other is None else "")

    def _set(self) -> None:
        self._give((self._key(),))

    def _give(self, keys: Keys) -> None:
        if self.command is not None:
            self._put(assign(self._defaults, self._changes, self.command, keys))

    def _reset(self) -> None:
        if self.command is not None:
            self._put(reset(self._defaults, self._changes, self.command))

    def _put(self, changes: Mapping[str, Keys]) -> None:
        self._changes = dict(changes)
        self._show_keys()
        self._on_chosen()
        self.changed.emit(dict(changes))
