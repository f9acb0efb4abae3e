"""Units are read before the first case needs them, in a process of its own, where nothing has read them yet."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
from qtpy.QtCore import QObject
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
import pint
from pint.registry import LazyRegistry
from contourdesk.widgets.warm_up import warm_up, _use

app = QApplication([])
parent, done = QObject(), []
turns = warm_up(parent, [lambda: done.append(1), lambda: done.append(2)])
assert isinstance(pint.application_registry.get(), LazyRegistry), "not before it is read"
for _ in range(300):
    QTest.qWait(50)
    if len(done) == 2:
        break
assert done == [1, 2], "then the steps"
first = pint.application_registry.get()
assert not isinstance(first, LazyRegistry), "read"
_use(pint.UnitRegistry())
assert pint.application_registry.get() is first, "units that are in use stay"
from napari.layers import Image
import numpy as np
assert Image(np.zeros((2, 2)), units="mm").units[0] == pint.get_application_registry()("mm").units
print("good")
"""


def test_units_are_there_before_the_first_layer():
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "good", done.stderr
