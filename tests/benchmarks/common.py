"""How the benchmarks measure: ratios within one run, memory in a fresh process.

A benchmark is a plain script, ``bench_*.py``, whose functions are named here as "module:function". Times of two ways
to do one thing are taken in turns in one fresh process, so that a busy machine slows both; only their ratio is worth
reading. Memory is the peak of the resident set over what was resident just before the call, imports included.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Times:
    """Seconds of each run, by name of the way, in the order of the rounds."""

    seconds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Median seconds of one way."""
        return statistics.median(self.seconds[name])

    def best(self, name: str) -> float:
        """Shortest run of one way."""
        return min(self.seconds[name])

    def ratio(self, name: str, reference: str) -> float:
        """Median over the rounds of the one's time over the other's in that round."""
        pairs = zip(self.seconds[name], self.seconds[reference], strict=True)
        return statistics.median(a / b for a, b in pairs)


def times(ways: Mapping[str, str], *arguments: str, rounds: int = 5, python: str = sys.executable) -> Times:
    """Run each way, "module:function", in turns in one fresh process, `rounds` times after one that isn't kept."""
    return Times(_fresh(python, {"ways": dict(ways), "arguments": arguments, "rounds": rounds}))


def peak_mib(way: str, *arguments: str, python: str = sys.executable) -> float:
    """Peak of resident memory during one call in a fresh process, over what was resident before it, in MiB."""
    return float(_fresh(python, {"memory": way, "arguments": arguments}))


def result(way: str, *arguments: str, python: str = sys.executable) -> Any:
    """What a way returns (anything that JSON can hold), from a fresh process."""
    return _fresh(python, {"result": way, "arguments": arguments})


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) + " |", flush=True)


def _fresh(python: str, task: Mapping[str, Any]) -> Any:
    """Do a task in a process of its own; the script that called us is importable there by its name."""
    process = subprocess.run(
        [python, str(HERE / "common.py"), json.dumps(task)], stdout=subprocess.PIPE, text=True, check=False
    )
    if process.returncode:
        raise SystemExit(f"The measured process failed with {process.returncode}: {task}")
    return json.loads(process.stdout.splitlines()[-1])


def _function(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _resident_kib() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _peak_kib() -> int:
    with open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _memory(function: Callable[..., Any], arguments: Sequence[str]) -> float:
    gc.collect()
    before = _resident_kib()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    kept = function(*arguments)
    peak = _peak_kib()
    del kept
    return (peak - before) / 1024


def _times(ways: Mapping[str, str], arguments: Sequence[str], rounds: int) -> dict[str, list[float]]:
    functions = {name: _function(way) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, function in functions.items():
            gc.collect()
            start = time.perf_counter()
            kept = function(*arguments)
            taken = time.perf_counter() - start
            del kept
            if number:
                seconds[name].append(taken)
    return seconds


def _measure(task: Mapping[str, Any]) -> Any:
    arguments = task["arguments"]
    if "ways" in task:
        return _times(task["ways"], arguments, task["rounds"])
    if "memory" in task:
        return _memory(_function(task["memory"]), arguments)
    return _function(task["result"])(*arguments)


if __name__ == "__main__":
    print(json.dumps(_measure(json.loads(sys.argv[1]))))
