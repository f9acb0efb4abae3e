"""Spoilt inputs end in a refusal or in what the file says; see fuzz_run.py, which reads as many as one likes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fuzz_run
import pytest
from fuzz_inputs import KINDS, make_bases

# Each was read though it contradicts itself, or came out as another image, before the readers were corrected.
WERE_WRONG = (
    *(13, 28, 172, 223, 253, 276, 284, 320, 413, 535, 1271, 1285, 1757, 1789, 1964, 2296, 3038, 3064, 3181, 3335),
    *(4473, 4956, 5341, 5401, 5441, 5594, 5925, 33313),  # DICOM, NIfTI, NRRD
    *(10, 230, 296, 428, 758, 1022, 1220, 2254, 3024, 3112, 3387),  # Slicer's segments
)
# In these another library or the comparison was at fault, or the child process ended for a reason not found again.
WERE_DOUBTFUL = (38, 251, 386, 445, 485, 529, 540, 639, 840, 874, 2058, 2726, 8254)
MORE = range(20_000, 20_165)  # fifteen of each kind


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good input of each kind."""
    folder = tmp_path_factory.mktemp("bases")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("phantoms", "enhanced_phantoms"):  # `make_bases` gives both other UIDs; put back afterwards
            patch.setattr(f"{module}.generate_uid", None)
        make_bases(folder)
    return folder


@pytest.fixture(scope="module")
def reader(bases: Path) -> Iterator[fuzz_run.Reader]:
    """A child process, ended when the tests are over."""
    reader = fuzz_run.Reader(bases)
    yield reader
    reader.close()


@pytest.mark.parametrize("kind", KINDS)
def test_unspoilt_inputs_are_read(bases: Path, tmp_path: Path, kind: str) -> None:
    """Without this, a reader that refuses everything would do."""
    shutil.copytree(bases / kind, tmp_path, dirs_exist_ok=True)
    assert fuzz_run.judge(bases, kind, tmp_path) == ""


MEMORY = """
import fuzz_run, numpy as np
before = fuzz_run.memory_now()
held = np.ones(40 << 17)  # 40 MB
assert fuzz_run.memory_peak() - before > 30 << 20
del held
assert fuzz_run.memory_peak() - before > 30 << 20  # still known
fuzz_run.memory_now()
assert fuzz_run.memory_peak() - before < 20 << 20
"""


def test_memory_is_seen() -> None:
    """In a fresh process: in this one, memory that other tests freed would be used again."""
    subprocess.run([sys.executable, "-c", MEMORY], check=True, cwd=Path(__file__).parent)


@pytest.mark.parametrize("numbers", [WERE_WRONG, WERE_DOUBTFUL, MORE], ids=["wrong", "doubtful", "more"])
def test_spoilt_inputs(reader: fuzz_run.Reader, numbers: tuple[int, ...]) -> None:
    outcomes = {number: reader.read(number) for number in numbers}
    assert {n: found for n, found in outcomes.items() if found[0] not in fuzz_run.GOOD} == {}
    assert {outcome for outcome, _ in outcomes.values()} == set(fuzz_run.GOOD)
