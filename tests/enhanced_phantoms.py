"""Enhanced (multi-frame) CT made by hand: the frames of a `CtPhantom`'s volume in any order, in one object or more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from phantoms import ORIENTATIONS
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


def make_enhanced_ct(
    path: Path,
    hu: NDArray[np.int16],
    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 0.8),
    orientation: str = "axial",
    *,
    order: Sequence[int] | None = None,
    shared: Sequence[str] = ("measures", "orientation", "values", "type"),
    edit_frame: Callable[[Dataset, int], None] | None = None,
    edit: Callable[[Dataset], None] | None = None,
    uids: tuple[str, str, str] | None = None,
) -> Dataset:
    """Write slices of `hu` (slice, row, column), those numbered in `order` and in that order, as one object.

    Parameters
    ----------
    shared : functional groups written once for all frames; the others go to each frame. Position is always per frame.
    edit_frame : called with each frame's own item of functional groups and its slice number.
    uids : study, series, frame of reference.
    """
    order = range(len(hu)) if order is None else order
    study, series, frame = uids or (generate_uid(), generate_uid(), generate_uid())
    ds = _head(hu, len(order))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
    cosines = np.array(ORIENTATIONS[orientation], float)
    groups = {name: _group(name, cosines, spacing_mm) for name in ("measures", "orientation", "values", "type")}
    common = Dataset()
    for name in shared:
        common.update(groups[name])
    ds.SharedFunctionalGroupsSequence = [common]
    step = spacing_mm[0] * np.cross(cosines[:3], cosines[3:])
    frames = []
    for n, k in enumerate(order):
        own, content, plane = Dataset(), Dataset(), Dataset()
        for name in set(groups) - set(shared):
            own.update(_group(name, cosines, spacing_mm))
        content.FrameAcquisitionNumber, content.StackID, content.InStackPositionNumber = 1, "1", int(k) + 1
        content.DimensionIndexValues = [1, int(k) + 1]
        content.FrameReferenceDateTime = f"202601021011{n % 60:02d}"
        plane.ImagePositionPatient = [f"{v:.10g}" for v in np.array((-31.5, -42.25, -50.0)) + k * step]
        own.FrameContentSequence, own.PlanePositionSequence = [content], [plane]
        if edit_frame is not None:
            edit_frame(own, int(k))
        frames.append(own)
    ds.PerFrameFunctionalGroupsSequence = Items(frames)
    ds.PixelData = (hu[list(order)].astype(np.int32) + 1024).astype("<i2").tobytes()
    if edit is not None:
        edit(ds)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return ds


def _head(hu: NDArray[np.int16], frames: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ENHANCED_CT, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = ENHANCED_CT, meta.MediaStorageSOPInstanceUID
    ds.SpecificCharacterSet, ds.Modality, ds.Manufacturer = "ISO_IR 192", "CT", "Contourdesk phantom"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Anna", "PH-1", "19700203", "F"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20260102"
    ds.StudyTime = ds.ContentTime = "101112"
    ds.SeriesDescription, ds.SeriesNumber, ds.InstanceNumber, ds.PatientPosition = "Enhanced", 1, 1, "HFS"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.NumberOfFrames = 1, "MONOCHROME2", frames
    ds.Rows, ds.Columns = hu.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    return ds


def _group(name: str, cosines: NDArray[np.float64], spacing_mm: tuple[float, float, float]) -> Dataset:
    group, item = Dataset(), Dataset()
    if name == "measures":
        item.PixelSpacing, item.SliceThickness = [f"{v:.10g}" for v in spacing_mm[1:]], f"{spacing_mm[0]:.10g}"
        group.PixelMeasuresSequence = [item]
    elif name == "orientation":
        item.ImageOrientationPatient = [f"{v:.10g}" for v in cosines]
        group.PlaneOrientationSequence = [item]
    elif name == "values":
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = "1", "-1024", "HU"
        group.PixelValueTransformationSequence = [item]
    else:
        item.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        group.CTImageFrameTypeSequence = [item]
    return group
