"""``python -m contourdesk`` is the same as the command ``contourdesk``."""

import sys

from contourdesk.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
