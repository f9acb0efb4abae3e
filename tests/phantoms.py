"""Phantoms made by code: small real DICOM series and structure sets whose truth is known.

Every slice holds a value that tells its number, and an L-shaped marker lies off centre on three axes, so that a wrong
order, a flip or a swap of axes shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from contourdesk.app.geometry import Grid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
# Image Orientation (Patient): direction along a row (columns count up), then down a column (rows count up).
ORIENTATIONS: dict[str, tuple[float, ...]] = {
    "axial": (1, 0, 0, 0, 1, 0),
    "axial_feet_first": (-1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (
        np.cos(0.35), np.sin(0.35), 0.0,
        -np.sin(0.35) * np.cos(0.2), np.cos(0.35) * np.cos(0.2), np.sin(0.2),
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class CtPhantom:
    """What was written: `hu` (slice, row, column) in ascending order along the normal, and its `affine`."""

    folder: Path
    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    files: list[Path]  # in array order
    image_uids: list[str]  # in array order
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    marker: NDArray[np.bool_]


def phantom_marker(shape: Sequence[int]) -> NDArray[np.bool_]:
    """Bool (slice, row, column): an L, off centre on every axis."""
    z, y, x = shape
    marker = np.zeros((z, y, x), bool)
    low, high = z // 5, max(z // 5 + 1, z * 3 // 5)
    marker[low:high, y // 6 : y // 2, x // 4 : x // 4 + max(2, x // 12)] = True
    marker[low:high, y // 2 - max(2, y // 12) : y // 2, x // 4 : x * 3 // 5] = True
    return marker


def phantom_hu(shape: Sequence[int]) -> NDArray[np.int16]:
    """Int16 HU (slice, row, column): -500 + 10 per slice, and the marker at 200 + its slice number."""
    k = np.arange(shape[0], dtype=np.int16)[:, None, None]
    return np.where(phantom_marker(shape), 200 + k, -500 + 10 * k).astype(np.int16)


def make_ct(
    folder: Path,
    shape: tuple[int, int, int] = (10, 80, 64),
    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0),
    orientation: str | Sequence[float] = "axial",
    *,
    origin_lps: Sequence[float] = (-31.5, -42.25, -50.0),
    step_lps: Sequence[float] | None = None,
    hu: NDArray[np.generic] | None = None,
    skip: Sequence[int] = (),
    modality: str = "CT",
    patient: str = "Phantom^Anna",
    patient_id: str = "PH-1",
    series_uid: str | None = None,
    study_uid: str | None = None,
    frame_of_reference_uid: str | None = None,
    edit: Callable[[Dataset, int], None] | None = None,
    file_name: Callable[[int], str] = lambda k: f"slice{k:03d}.dcm",
) -> CtPhantom:
    """Write a CT series, one file a slice.

    Parameters
    ----------
    spacing_mm : slice, row and column distance; DICOM's Pixel Spacing is written as (row, column).
    orientation : a name in `ORIENTATIONS` or six direction cosines.
    origin_lps : position of the first voxel of slice 0.
    step_lps : from slice to slice; the normal times the slice distance unless given (gantry tilt).
    skip : slices that are not written.
    edit : called with each dataset and its slice number just before it is saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cosines = np.array(ORIENTATIONS[orientation] if isinstance(orientation, str) else orientation, float)
    along_row, down_column = cosines[:3], cosines[3:]
    step = spacing_mm[0] * np.cross(along_row, down_column) if step_lps is None else np.array(step_lps, float)
    hu = phantom_hu(shape) if hu is None else np.asarray(hu)
    series_uid, study_uid = series_uid or generate_uid(), study_uid or generate_uid()
    frame = frame_of_reference_uid or generate_uid()
    files, uids = [], []
    for k in range(shape[0]):
        ds = _ct_slice(hu[k], generate_uid(), modality)
        ds.PatientName, ds.PatientID = patient, patient_id
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = series_uid, study_uid, frame
        ds.InstanceNumber = k + 1
        ds.ImageOrientationPatient = [f"{v:.10g}" for v in cosines]
        ds.ImagePositionPatient = [f"{v:.10g}" for v in np.asarray(origin_lps) + k * step]
        ds.PixelSpacing = [f"{spacing_mm[1]:.10g}", f"{spacing_mm[2]:.10g}"]
        ds.SliceThickness = f"{spacing_mm[0]:.10g}"
        if edit is not None:
            edit(ds, k)
        if k not in skip:
            files.append(folder / file_name(k))
            uids.append(str(ds.SOPInstanceUID))
            ds.save_as(files[-1], enforce_file_format=True)
    affine = np.eye(4)
    affine[:3] = np.column_stack([step, down_column * spacing_mm[1], along_row * spacing_mm[2], origin_lps])
    return CtPhantom(
        folder, hu, affine, files, uids, series_uid, study_uid, frame, phantom_marker(shape)
    )  # fmt: skip


def _ct_slice(hu: NDArray[np.generic], uid: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CT_IMAGE if modality == "CT" else "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality, ds.Manufacturer = modality, "Contourdesk phantom"
    ds.StudyDate = ds.SeriesDate = "20260102"
    ds.StudyTime, ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "101112", "1", "", ""
    ds.SeriesDescription, ds.SeriesNumber, ds.AcquisitionNumber = "Phantom", 1, 1
    ds.PatientBirthDate, ds.PatientSex, ds.PatientPosition, ds.KVP = "19700203", "F", "HFS", "120"
    ds.PositionReferenceIndicator = ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ["40", "300"], ["400", "1500"]
    ds.PixelData = (hu.astype(np.int32) + 1024).astype("<i2").tobytes()
    return ds


@dataclass(frozen=True)
class Roi:
    """A ROI for `make_rtstruct`: `contours` are (kind, points LPS mm (n, 3), SOP Instance UID or "")."""

    name: str
    contours: Sequence[tuple[str, NDArray[np.float64], str]] = ()
    colour: tuple[int, int, int] | None = (255, 0, 0)
    interpreted_type: str | None = "ORGAN"
    number: int | None = None


def make_rtstruct(
    path: Path,
    ct: CtPhantom,
    rois: Sequence[Roi],
    *,
    edit: Callable[[Dataset], None] | None = None,
) -> Path:
    """Write a structure set that refers to `ct`, with pydicom alone: independent of the project's own writer."""
    ds = _rtstruct_head(ct)
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = [], [], []
    for i, roi in enumerate(rois):
        number = i + 1 if roi.number is None else roi.number
        item, outline, observation = Dataset(), Dataset(), Dataset()
        item.ROINumber, item.ROIName, item.ROIGenerationAlgorithm = number, roi.name, "MANUAL"
        item.ReferencedFrameOfReferenceUID = ct.frame_of_reference_uid
        ds.StructureSetROISequence.append(item)
        outline.ReferencedROINumber = number
        if roi.colour is not None:
            outline.ROIDisplayColor = list(roi.colour)
        if roi.contours:
            outline.ContourSequence = [_contour(*c) for c in roi.contours]
        ds.ROIContourSequence.append(outline)
        if roi.interpreted_type is not None:
            observation.ObservationNumber, observation.ReferencedROINumber = i + 1, number
            observation.RTROIInterpretedType, observation.ROIInterpreter = roi.interpreted_type, ""
            ds.RTROIObservationsSequence.append(observation)
    if edit is not None:
        edit(ds)
    ds.save_as(path, enforce_file_format=True)
    return path


def _contour(kind: str, points: NDArray[np.float64], image_uid: str) -> Dataset:
    item = Dataset()
    points = np.asarray(points, float).reshape(-1, 3)
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
    item.ContourData = [f"{v:.10g}" for v in points.ravel()]
    if image_uid:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CT_IMAGE, image_uid
        item.ContourImageSequence = [image]
    return item


def _rtstruct_head(ct: CtPhantom) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RT_STRUCTURE_SET
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = RT_STRUCTURE_SET, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.SpecificCharacterSet = "RTSTRUCT", "ISO_IR 192"
    ds.PatientName, ds.PatientID = "Phantom^Anna", "PH-1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = ct.study_uid, generate_uid()
    ds.StructureSetLabel, ds.StructureSetDate, ds.StructureSetTime = "PHANTOM", "20260103", "101112"
    frame, study, series = Dataset(), Dataset(), Dataset()
    frame.FrameOfReferenceUID = ct.frame_of_reference_uid
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", ct.study_uid
    series.SeriesInstanceUID = ct.series_uid
    series.ContourImageSequence = []
    for uid in ct.image_uids:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CT_IMAGE, uid
        series.ContourImageSequence.append(image)
    study.RTReferencedSeriesSequence = [series]
    frame.RTReferencedStudySequence = [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]
    return ds


def tilted_grid() -> Grid:
    """A small grid whose slices lean by about 20 degrees, lying obliquely."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.1, 0.0, 0.9], [1.0, 1.1, 0.05], [2.7, 0.2, 0.0]])
    return Grid((20, 20, 20), affine)
