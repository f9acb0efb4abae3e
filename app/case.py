"""A case: one patient's image with the structures on it, and what is needed to write back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from contourdesk.app.structures import StructureSet
from contourdesk.app.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

    from contourdesk.app.resample import Resample


@dataclass(frozen=True)
class Patient:
    """Who it is, for the title bar and for DICOM written back. Never logged, never in training exports."""

    name: str = ""
    id: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True, eq=False)
class Source:
    """Where the image came from.

    `series_uid` identifies the image for good (for NIfTI and NRRD a hash of the file's content).
    `image_uids` are the SOP Instance UIDs of the slices, in array order; empty when it is not DICOM.
    `image_frames` are the slices' frame numbers in those instances, counted from 1, where they are multi-frame: write
    them as Referenced Frame Number (0008,1160), and tell slices apart by UID and frame. Empty for single-frame files.
    `resampled` is set when the slices were resampled to an even grid, as the reviewer chose: then `image_uids` and
    `image_class_uids` go with ``resampled.planes``, not with the volume's slices.
    `header` is the first slice's dataset without pixels, or None; patient and study come from it on export.
    """

    path: Path
    series_uid: str
    study_uid: str = ""
    modality: str = "CT"
    description: str = ""
    date: str = ""
    image_uids: tuple[str, ...] = ()
    image_class_uids: tuple[str, ...] = ()
    image_frames: tuple[int, ...] = ()
    header: Dataset | None = None
    notes: tuple[str, ...] = ()  # what the reader had to say: dropped duplicates, unplaced contours, ...
    resampled: Resample | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """What was read. Frozen; edits live in a `ReviewSession`."""

    patient: Patient
    volume: Volume
    source: Source
    structures: StructureSet = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.structures is None:
            object.__setattr__(self, "structures", StructureSet(self.volume.grid))
