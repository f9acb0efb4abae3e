"""Sphinx's settings for the documentation: plain Markdown, the same pages that the program shows under Help.

``make docs`` builds it into build/docs. Which pages there are, and for whom, stands in docs/contents.json.
"""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = json.loads((ROOT / "docs" / "contents.json").read_text("utf-8"))
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "packaging" / "package_init.py").read_text("utf-8"))

project, author, version = "Contourdesk", "The Contourdesk contributors", VERSION[1] if VERSION else ""
copyright = author  # noqa: A001
extensions = ["myst_parser"]
myst_heading_anchors = 4
root_doc = "docs/index"
include_patterns = ["docs/*.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "build", "dist", "work"]
nitpicky = True
highlight_language = "none"

html_theme = "furo"
html_title = f"Contourdesk {version}"
html_favicon = str(ROOT / "resources" / "icons" / "contourdesk.svg")
html_theme_options = {"top_of_page_buttons": []}
html_extra_path = ["index.html"]  # the site's root leads to docs/
html_copy_source = False
html_show_copyright = False


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the contents by reader to the first page, where Sphinx looks for them."""
    if name == root_doc:
        trees = (
            "\n```{toctree}\n:hidden:\n:caption: "
            + group["title"]
            + "\n\n"
            + "\n".join(f"/{page.removesuffix('.md')}" for page in group["pages"] if page != "docs/index.md")
            + "\n```\n"
            for group in CONTENTS
        )
        source[0] += "".join(trees)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)
