"""The original images as a DICOM SEG refers to them: where each lies, which instance and frame it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from contourdesk.app.case import Case
from contourdesk.app.dicom_identity import REQUIRED, REQUIRED_STUDY
from contourdesk.app.dicom_text import exact_decimal

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stack:
    """Images in the case's order.

    Parameters
    ----------
    origins_lps : (n, 3) LPS mm of each image's first pixel.
    down_column, along_row : (3,) unit vectors;  spacing_mm : between rows, between columns.
    step_mm : distance of the images when it is the same everywhere, else None.
    shape : (rows, columns).
    """

    case: Case
    origins_lps: Float
    down_column: Float
    along_row: Float
    spacing_mm: tuple[float, float]
    step_mm: float | None
    shape: tuple[int, int]

    def sources(self, used: Sequence[int]) -> list[Dataset]:
        """Headers of some images as highdicom wants them; frames of one file get names of their own here."""
        template = Dataset()
        # Patient and study are put in element by element afterwards, as they are; highdicom would judge them.
        for keyword in (*REQUIRED, *REQUIRED_STUDY):
            setattr(template, keyword, "")
        template.StudyInstanceUID = self.case.source.study_uid
        header = cast(Dataset, self.case.source.header)
        template.Modality = self.case.source.modality or "CT"
        template.SeriesInstanceUID = self.case.source.series_uid
        template.FrameOfReferenceUID = self.case.volume.grid.frame_of_reference_uid
        template.PositionReferenceIndicator = str(header.get("PositionReferenceIndicator") or "")
        template.Rows, template.Columns = self.shape
        template.ImageOrientationPatient = self._cosines()
        template.PixelSpacing = [exact_decimal(v) for v in self.spacing_mm]
        template.SliceThickness = self._thickness()
        if self.step_mm is not None:
            template.SpacingBetweenSlices = exact_decimal(self.step_mm)
        if "LossyImageCompression" in header:
            template.LossyImageCompression = header.LossyImageCompression
        out = []
        for k in used:
            one = Dataset()
            one.update(template)
            one.SOPClassUID = CTImageStorage if self.is_multiframe else self.case.source.image_class_uids[k]
            one.SOPInstanceUID = self._stand_in(k) if self.is_multiframe else self.case.source.image_uids[k]
            one.ImagePositionPatient = self._texts(self.origins_lps[k])
            out.append(one)
        return out

    @property
    def is_multiframe(self) -> bool:
        """Whether the images are frames of a file that holds several."""
        return bool(self.case.source.image_frames)

    def refer(self, ds: Dataset) -> None:
        """Refer to all images, and turn the stand-ins for frames into references to their file and frame number."""
        source = self.case.source
        files = []
        for uid, kind in dict(zip(source.image_uids, source.image_class_uids, strict=True)).items():
            files.append(Dataset())
            files[-1].ReferencedSOPClassUID, files[-1].ReferencedSOPInstanceUID = kind, uid
        ds.SourceImageSequence = files
        ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence = files
        if not self.is_multiframe:
            return
        known = {self._stand_in(k): k for k in range(len(source.image_uids))}
        for item in ds.PerFrameFunctionalGroupsSequence:
            for derivation in item.get("DerivationImageSequence") or ():
                for reference in derivation.get("SourceImageSequence") or ():
                    k = known.get(str(reference.ReferencedSOPInstanceUID))
                    if k is None:  # frames of several segments share the reference
                        continue
                    reference.ReferencedSOPClassUID = source.image_class_uids[k]
                    reference.ReferencedSOPInstanceUID = source.image_uids[k]
                    reference.ReferencedFrameNumber = int(source.image_frames[k])

    def nearest(self, position: Sequence[float]) -> int:
        """The image that lies at a position, LPS mm."""
        return int(np.argmin(np.linalg.norm(self.origins_lps - np.array(position, np.float64), axis=1)))

    def _cosines(self) -> list[str]:
        return self._texts(np.concatenate([self.along_row, self.down_column]))

    def _texts(self, values: Float) -> list[str]:
        return [exact_decimal(v) for v in values.tolist()]

    def _thickness(self) -> str:
        said = cast(Dataset, self.case.source.header).get("SliceThickness")
        return exact_decimal(float(said) if said else self.step_mm or 1.0)

    def _stand_in(self, k: int) -> str:
        return f"1.2.3.{k + 1}"


def stack_of(case: Case) -> Stack:
    """The images of a case: the slices of its grid, or those that it was resampled from."""
    how, grid = case.source.resampled, case.volume.grid
    if how is not None:
        planes = how.planes
        return Stack(
            case, planes.origins_lps, planes.down_column, planes.along_row, planes.spacing_mm, None, planes.shape
        )
    origins = grid.to_world([(k, 0, 0) for k in range(grid.shape[0])])
    step, rows, columns = grid.spacing_mm
    down, along = grid.directions[:, 1], grid.directions[:, 2]
    return Stack(case, origins, down, along, (rows, columns), step, grid.shape[1:])
