"""One of nnU-Net's commands in a process of its own: ``python -m contourdesk.app.nnunet_main MODULE FUNCTION ARG…``."""

from __future__ import annotations

import importlib
import re
import sys


def load_torchvision() -> None:
    """Import torchvision, which nnU-Net's list of trainers wants, also where it was built for another PyTorch.

    A PyTorch for the processor and a torchvision from PyPI are such a pair: it then misses operations of its own, and
    nnU-Net can't even look for its trainer. None of them is used by it, so their names are enough.
    """
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(20):
        try:
            importlib.import_module("torchvision")
            return
        except ImportError:
            return  # it isn't there at all
        except RuntimeError as error:
            missing = re.match(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


def main() -> None:
    """Run the command."""
    module, function = sys.argv[1:3]
    sys.argv = [function, *sys.argv[3:]]
    load_torchvision()
    getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    main()
