"""The language of the window: every text that a user reads goes through `tr`.

English stands in the source. ``packaging/translate.py`` gathers the texts into ``.ts`` files for Qt Linguist and makes
``.qm`` files of those; `load_language` takes the one that was chosen, from the program's resources or from the folder
``languages`` beside the settings.
"""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from contourdesk.app.settings import config_dir

CONTEXT = "contourdesk"
ENGLISH = "en"
_SHIPPED = Path(__file__).parents[1] / "resources" / "languages"


def tr(text: str) -> str:
    """The text in the chosen language, or as it is where there is no translation.

    Parameters
    ----------
    text : English; where values go into it, names in braces that `str.format` fills in afterwards.
    """
    return QCoreApplication.translate(CONTEXT, text)


def languages() -> dict[str, Path]:
    """The translations that are there, by code ("de"), those of the user first."""
    found: dict[str, Path] = {}
    for folder in (_SHIPPED, config_dir() / "languages"):
        found |= {path.stem: path for path in sorted(folder.glob("*.qm"))}
    return found


def language_name(code: str) -> str:
    """What a language calls itself, "Deutsch" for "de"."""
    return QLocale(code).nativeLanguageName().capitalize() or code


def load_language(code: str) -> QTranslator | None:
    """Install a translation, before the first window is made; empty means the system's language.

    Returns
    -------
    The translator, installed and owned by the application; None for English and what there is no translation for.
    """
    wanted = [code] if code else [name.split("-")[0] for name in QLocale.system().uiLanguages()]
    there = languages()
    for name in wanted:
        if name == ENGLISH:
            return None
        if name in there:
            app = QCoreApplication.instance()
            standard, translator = QTranslator(app), QTranslator(app)
            if standard.load(f"qtbase_{name}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
                QCoreApplication.installTranslator(standard)  # OK, Cancel and so on
            if translator.load(str(there[name])):
                QCoreApplication.installTranslator(translator)
                return translator
    return None
