"""Write the tables of docs/networks.md anew: python packaging/network_tables.py.

Each stands below a comment that names the command which prints it. A test compares them.
"""

import re
from pathlib import Path

from contourdesk.app.segment_command import model_folder
from contourdesk.inference.describe import describe

PAGE = Path(__file__).resolve().parents[1] / "docs" / "networks.md"
BLOCK = re.compile(r"(<!-- contourdesk model describe (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The page with its tables as the command prints them now."""
    return BLOCK.sub(lambda m: m[1] + "\n" + "\n".join(describe(m[2], model_folder)) + "\n\n" + m[3], text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
