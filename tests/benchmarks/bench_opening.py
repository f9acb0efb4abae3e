"""Opening a CT of 512x512x200, against SimpleITK's `ImageSeriesReader`. Run: python tests/benchmarks/bench_opening.py.

Timed for us: `scan` of the folder and `read_series`: from the path to a `Case` in HU. For SimpleITK:
`GetGDCMSeriesFileNames` and `Execute`: from the path to an image (it neither checks the spacing nor looks for
duplicates). Files are in the page cache for both. Bars: time ratio <= 0.6, peak memory <= 1.5 times the volume's size.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import common
import imagecodecs
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless
from scipy import ndimage

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.jobs import run

sys.path.insert(0, str(common.HERE.parent))

SHAPE = (200, 512, 512)
KINDS = ("uncompressed", "JPEG 2000")


def ours(folder: str) -> Case:
    """Folder to case."""
    (info,) = run(scan(Path(folder)))
    return run(read_series(info))


def simpleitk(folder: str) -> sitk.Image:
    """Folder to image."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    return reader.Execute()


def our_digest(folder: str) -> str:
    """Hash of our voxels."""
    return _digest(ours(folder).volume.array)


def simpleitk_digest(folder: str) -> str:
    """Hash of SimpleITK's voxels."""
    return _digest(sitk.GetArrayFromImage(simpleitk(folder)))


def _digest(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.int32).tobytes()).hexdigest()


def body(shape: Sequence[int]) -> NDArray[np.int16]:
    """A noisy elliptic cylinder with organs in it: as hard to compress as a patient (about 2.5 to 1)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    inside = (x / 0.75) ** 2 + (y / 0.5) ** 2 < 1
    tissue = ndimage.gaussian_filter(rng.normal(size=(shape[1], shape[2])), 12) * 900
    out = np.empty(shape, np.int16)
    for k in range(shape[0]):
        noise = ndimage.gaussian_filter(rng.normal(size=(shape[1], shape[2])), 0.7) * 30
        out[k] = np.where(inside, np.roll(tissue, k, 1) + 30, -1000) + noise
    return np.maximum(out, -1024)


def write(folder: Path, kind: str, shape: tuple[int, int, int] = SHAPE) -> None:
    """A series with as many attributes as a scanner writes."""
    from phantoms import make_ct

    def edit(ds: Dataset, k: int) -> None:
        _fill(ds)
        if kind == "JPEG 2000":
            image = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns).astype(np.uint16)
            ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 0, 16, 15
            ds.PixelData = encapsulate([imagecodecs.jpeg2k_encode(image, codecformat="j2k", reversible=True, level=0)])
            ds["PixelData"].is_undefined_length = True
            ds.file_meta.TransferSyntaxUID = JPEG2000Lossless

    make_ct(folder, shape, (2.0, 0.9, 0.9), hu=body(shape), edit=edit)


def _fill(ds: Dataset) -> None:
    """What else is in a clinical header: some 120 elements, sequences and private ones among them."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.3", "1.2.3.4.5"
    ds.ReferencedStudySequence, ds.ReferencedImageSequence, ds.SourceImageSequence = [item], [item] * 3, [item]
    ds.InstitutionName, ds.StationName, ds.ManufacturerModelName = "Hospital", "CT01", "Scanner"
    ds.BodyPartExamined, ds.ProtocolName, ds.ConvolutionKernel = "THORAX", "Planning", "B30f"
    ds.DataCollectionDiameter = ds.ReconstructionDiameter = "500"
    ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure, ds.FilterType = 500, 200, 100, "0"
    ds.ContentDate = ds.AcquisitionDate = ds.StudyDate
    block = ds.private_block(0x0029, "PHANTOM HEADER", create=True)
    block.add_new(0x10, "OB", bytes(8000))
    for n in range(90):
        block.add_new(0x20 + n, "LO", f"private value {n}")


def main() -> None:
    """Make the series in a temporary folder, measure, print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = []
    size = np.prod(SHAPE) * 2 / 2**20
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), kind)
            same = common.result("bench_opening:our_digest", folder) == common.result(
                "bench_opening:simpleitk_digest", folder
            )
            ways = {"ours": "bench_opening:ours", "SimpleITK": "bench_opening:simpleitk"}
            times = common.times(ways, folder, rounds=rounds)
            memory = {name: common.peak_mib(way, folder) / size for name, way in ways.items()}
        seconds = (times.median("ours"), times.median("SimpleITK"))
        ratio = times.ratio("ours", "SimpleITK")
        rows.append((kind, *seconds, ratio, memory["ours"], memory["SimpleITK"], "yes" if same else "NO"))
    head = ("512x512x200", "ours s", "SimpleITK s", "ratio", "our peak / volume", "SimpleITK's", "same voxels")
    common.table(head, rows)


if __name__ == "__main__":
    main()
