"""The documentation inside the program: contents by reader, search, pages with their pictures. Needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt, QUrl
from qtpy.QtGui import (
    QDesktopServices,
    QImage,
    QImageReader,
    QTextBlockFormat,
    QTextCursor,
    QTextDocument,
    QTextFrameFormat,
    QTextLength,
    QTextTable,
)
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QSplitter,
    QTextBrowser,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.handbook import contents, handbook_root, search, sections, slug
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, icon, ink, named

_WHERE = Qt.ItemDataRole.UserRole  # page, or page#anchor


class HelpPage(QTextBrowser):
    """Shows a page of Markdown; pictures as wide as the page, tables with lines, links to headings work."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "help_page", tr("Page of the documentation"))
        self.setOpenLinks(False)
        self.anchorClicked.connect(self.follow)
        self.document().setDocumentMargin(em(self, 1.2))

    def show_page(self, where: str) -> None:
        """Show a page, ``docs/guide.md`` or ``docs/guide.md#look``."""
        page, _, anchor = where.partition("#")
        url = QUrl.fromLocalFile(str(handbook_root() / page))
        url.setFragment(anchor)
        self.setSource(url, QTextDocument.ResourceType.MarkdownResource)

    def follow(self, link: QUrl) -> None:
        """Go to a page of ours; what lies elsewhere is for the system's browser."""
        target = self.source().resolved(link)
        if not target.isLocalFile():
            QDesktopServices.openUrl(target)
        elif Path(target.toLocalFile()).suffix == ".md":
            self.setSource(target, QTextDocument.ResourceType.MarkdownResource)
        else:
            QDesktopServices.openUrl(target)

    def doSetSource(self, name: QUrl, kind: QTextDocument.ResourceType) -> None:
        super().doSetSource(name, QTextDocument.ResourceType.MarkdownResource)
        self._dress()
        self._go_to(name.fragment())

    def loadResource(self, kind: int, name: QUrl) -> Any:
        where = self.source().resolved(name)
        if kind == QTextDocument.ResourceType.ImageResource.value:
            return self._picture(where.toLocalFile())
        return super().loadResource(kind, name)

    def _picture(self, path: str) -> QImage:
        """A picture, made smaller when the page is narrower than it."""
        reader, ratio = QImageReader(path), self.devicePixelRatioF()
        size = reader.size()
        room = round((self.viewport().width() - 4 * em(self, 1.2)) * ratio)
        if size.width() > room > 0:
            reader.setScaledSize(QSize(room, round(size.height() * room / size.width())))
        image = reader.read()
        image.setDevicePixelRatio(ratio if size.width() > room else 1.0)
        return image

    def _dress(self) -> None:
        """Lines and room for the tables, some air between paragraphs."""
        document = self.document()
        cursor = QTextCursor(document)
        for frame in document.rootFrame().childFrames():
            if isinstance(frame, QTextTable):
                form = frame.format()
                form.setBorder(1)
                form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
                form.setCellSpacing(0)
                form.setBorderBrush(ink("line-strong"))
                form.setCellPadding(em(self, 0.35))
                form.setBottomMargin(em(self, 0.8))
                form.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
                frame.setFormat(form)
        air = QTextBlockFormat()
        air.setTopMargin(em(self, 1.1))
        cursor.beginEditBlock()  # one change: Qt loses the height of paragraphs when there are many
        block = document.begin()
        while block.isValid():
            if block.blockFormat().headingLevel() > 1:
                cursor.setPosition(block.position())
                cursor.mergeBlockFormat(air)
            block = block.next()
        cursor.endEditBlock()

    def _go_to(self, anchor: str) -> None:
        block = self.document().begin()
        while anchor and block.isValid():
            if block.blockFormat().headingLevel() and slug(block.text()) == anchor:
                top = self.document().documentLayout().blockBoundingRect(block).top()
                self.verticalScrollBar().setValue(round(top))
                return
            block = block.next()
        self.verticalScrollBar().setValue(0)


class HelpWindow(QWidget):
    """A window of its own, so that it can stand beside the images."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setObjectName("help_window")
        self.setWindowTitle(tr("Documentation"))
        self.page = HelpPage()
        self.search = QLineEdit()
        named(self.search, "help_search", tr("Search the documentation"))
        self.search.setPlaceholderText(tr("Search"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._fill)
        self.list = QTreeWidget()
        named(self.list, "help_contents", tr("Contents"))
        self.list.setHeaderHidden(True)
        self.list.currentItemChanged.connect(self._on_chosen)
        self.list.itemClicked.connect(self._on_chosen)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(em(self, 0.5), em(self, 0.5), 0, em(self, 0.5))
        column.addLayout(self._buttons())
        column.addWidget(self.search)
        column.addWidget(self.list, 1)
        parts = QSplitter()
        parts.setChildrenCollapsible(False)
        parts.addWidget(left)
        parts.addWidget(self.page)
        parts.setStretchFactor(1, 1)
        parts.setSizes([em(self, 17), em(self, 51)])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(parts)
        room = self.screen().availableGeometry()
        self.resize(min(em(self, 68), room.width()), min(em(self, 50), round(room.height() * 0.9)))
        self._fill("")

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        for name, picture, text, slot, signal in (
            ("help_back", "chevron-left", tr("Back"), self.page.backward, self.page.backwardAvailable),
            ("help_forward", "chevron-right", tr("Forward"), self.page.forward, self.page.forwardAvailable),
        ):
            button = QToolButton()
            named(button, name, text, text)
            button.setIcon(icon(picture))
            button.setEnabled(False)
            button.clicked.connect(slot)
            signal.connect(button.setEnabled)
            row.addWidget(button)
        row.addStretch(1)
        return row

    def show_page(self, where: str = "docs/index.md") -> None:
        """Show the window with a page."""
        self.show()
        self.raise_()
        self.activateWindow()
        self.page.show_page(where)

    def _fill(self, words: str) -> None:
        """The contents, or what the search has found."""
        self.list.clear()
        if words.strip():
            for hit in search(words):
                head = sections(hit.page)[0].title
                text = hit.title if hit.title == head else f"{hit.title}\n{head}"
                QTreeWidgetItem(self.list, [text]).setData(0, _WHERE, f"{hit.page}#{hit.anchor}")
        else:
            for title, pages in contents():
                group = QTreeWidgetItem(self.list, [tr(title)])
                for page in pages:
                    QTreeWidgetItem(group, [sections(page)[0].title]).setData(0, _WHERE, page)
            self.list.expandAll()

    def _on_chosen(self, item: QTreeWidgetItem | None, *_: object) -> None:
        where = None if item is None else item.data(0, _WHERE)
        if where:
            self.page.show_page(where)
