"""Run before the program: a stand-in for PyTorch's compiler, which is not in the build.

Optimizers import it at each step only to say that they are not to be compiled. In their place nothing is compiled
anyway. It would take half a minute to import, and sympy with it.
"""

import sys
import types


def _as_it_is(function=None, **_):
    """For ``torch._dynamo.disable``, with its function or as a decorator that gets one."""
    return _as_it_is if function is None else function


_stand_in = types.ModuleType("torch._dynamo")
_stand_in.graph_break = lambda *_, **__: None
_stand_in.disable = lambda function=None, *_, **__: _as_it_is(function)
sys.modules["torch._dynamo"] = _stand_in
