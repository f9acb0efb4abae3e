"""The pixels of a stack of slices to a `Case` in HU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.dicom_headers import DAMAGE, Header, tag_words
from contourdesk.app.dicom_series import Stack
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.volume import Volume

_COPY_AGAIN = "Export or copy the series again."


def read_image(stack: Stack, uid: str, notes: Sequence[str]) -> Job[Case]:
    """Read every slice into one array, (slice, row, column) in HU; int16 where that is exact, else float32.

    Raises
    ------
    UserError : a file is damaged or differs from what its header said; names it.
    """
    if stack.layout.affine is None:
        raise ValueError("the stack has problems")
    array: NDArray[np.generic] = np.empty(stack.shape, np.int16)
    uids, classes = [], []
    first = Dataset()
    for k, header in enumerate(stack.headers):
        yield Progress(k, len(stack.headers), "Reading images")
        dataset = _read(header.path)
        values = _to_hu(dataset, _decode(dataset, header.path, stack.shape[1:]), header.path)
        if array.dtype == np.int16 and values.dtype != np.int16:
            array = array.astype(np.float32)
        array[k] = values
        uids.append(str(dataset.get("SOPInstanceUID", "")))
        classes.append(str(dataset.get("SOPClassUID", "")))
        if k == 0:
            first = dataset
    yield Progress(len(stack.headers), len(stack.headers), "Reading images")
    for keyword in ("PixelData", "DataSetTrailingPadding"):
        if keyword in first:
            del first[keyword]
    head = Header(stack.headers[0].path, first)
    grid = Grid(stack.shape, stack.layout.affine, head.text("FrameOfReferenceUID"))
    volume = Volume(grid, array, "HU", _window(head), _padding(head))
    source = Source(
        path=stack.headers[0].path.parent,
        series_uid=uid,
        study_uid=head.text("StudyInstanceUID"),
        modality=head.text("Modality"),
        description=head.text("SeriesDescription") or head.text("StudyDescription"),
        date=head.text("SeriesDate") or head.text("AcquisitionDate") or head.text("StudyDate"),
        image_uids=tuple(uids),
        image_class_uids=tuple(classes),
        header=first,
        notes=tuple(notes),
    )
    patient = Patient(
        head.text("PatientName"), head.text("PatientID"), head.text("PatientBirthDate"), head.text("PatientSex")
    )
    return Case(patient, volume, source)


def _read(path: Path) -> Dataset:
    try:
        dataset = dcmread(path, force=True)
        if "TransferSyntaxUID" not in getattr(dataset, "file_meta", ()):  # a dataset without preamble
            dataset.file_meta = FileMetaDataset()
            implicit = dataset.original_encoding[0]
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        return dataset
    except DAMAGE as error:
        raise UserError(f"{path.name} can't be read; it may be cut short or damaged.", _COPY_AGAIN) from error


def _decode(dataset: Dataset, path: Path, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Stored values, (row, column)."""
    if "PixelData" not in dataset:
        raise UserError(f"{path.name} holds no pixels; it may be cut short.", _COPY_AGAIN)
    _check_length(dataset, path)
    try:
        stored = np.asarray(dataset.pixel_array)
    except DAMAGE as error:
        raise UserError(f"The pixels of {path.name} can't be decoded; it may be cut short.", _COPY_AGAIN) from error
    if stored.shape != shape:
        raise UserError(
            f"{path.name} holds an image of {' × '.join(map(str, stored.shape))} pixels where its header and the "
            f"series have {' × '.join(map(str, shape))}.",
            _COPY_AGAIN,
        )
    return stored


def _check_length(dataset: Dataset, path: Path) -> None:
    """Raise when uncompressed pixels are more or fewer than rows times columns (and a padding byte)."""
    syntax = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
    rows, columns, bits = (Header(path, dataset).numbers(k, 1) for k in ("Rows", "Columns", "BitsAllocated"))
    if rows is None or columns is None or bits is None or (syntax is not None and syntax.is_compressed):
        return
    samples = int(dataset.get("SamplesPerPixel") or 1)
    needed, there = int(rows[0] * columns[0] * samples * bits[0] / 8), len(dataset.PixelData)
    if not needed <= there <= needed + 1:
        raise UserError(
            f"{path.name} holds {there:,} bytes of pixels where its {rows[0]:g} × {columns[0]:g} image needs "
            f"{needed:,}.",
            _COPY_AGAIN,
        )


def _to_hu(dataset: Dataset, stored: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """(row, column) int16 when exact, else float32."""
    header = Header(path, dataset)
    factors = []
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        value = header.numbers(keyword, 1)
        if value is None:
            raise UserError(f"{path.name} has no usable {tag_words(keyword)}.", _COPY_AGAIN)
        factors.append(float(value[0]))
    slope, intercept = factors
    if slope.is_integer() and intercept.is_integer() and np.issubdtype(stored.dtype, np.integer):
        whole = stored.astype(np.int64) * int(slope) + int(intercept)
        low, high = np.iinfo(np.int16).min, np.iinfo(np.int16).max
        if low <= whole.min() and whole.max() <= high:
            return whole.astype(np.int16)
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _window(head: Header) -> tuple[float, float] | None:
    """The file's first window as (centre, width), None when it makes no sense."""
    values = []
    for keyword in ("WindowCenter", "WindowWidth"):
        try:
            value = head.dataset.get(keyword)
            # A list of windows is offered as alternatives; the first is the default.
            values.append(float(np.atleast_1d(np.array(value, dtype=np.float64))[0]))
        except DAMAGE:
            return None
    centre, width = values
    return (centre, width) if np.isfinite(values).all() and width >= 1 else None


def _padding(head: Header) -> float | None:
    """The padding value in HU; stored either signed or not, whatever the pixels are."""
    value, slope, intercept = (head.numbers(k, 1) for k in ("PixelPaddingValue", "RescaleSlope", "RescaleIntercept"))
    if value is None or slope is None or intercept is None:
        return None
    stored, bits = float(value[0]), head.dataset.get("BitsAllocated", 16)
    if head.dataset.get("PixelRepresentation") == 1 and stored >= 2 ** (bits - 1):
        stored -= 2**bits
    elif head.dataset.get("PixelRepresentation") == 0 and stored < 0:
        stored += 2**bits
    return stored * float(slope[0]) + float(intercept[0])
