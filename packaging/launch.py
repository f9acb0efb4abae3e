"""Where the built program starts; PyInstaller makes the executables from it.

``contourdesk`` is the command line, ``contourdesk-gui`` (Windows) the same without a console window.
"""

import multiprocessing
import sys

if __name__ == "__main__":
    multiprocessing.freeze_support()  # a worker of contourdesk batch is this program again, and ends here
    from contourdesk.app.cli import main

    sys.exit(main())
