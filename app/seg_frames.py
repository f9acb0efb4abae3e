"""The frames of a DICOM Segmentation: what is drawn on each, where it lies, of which segment, one after the other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import iter_pixels

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.placement import Placement, place
from contourdesk.app.planes import Planes

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_MAX_SIDE = 1 << 14
_UNEVEN = 0.01
_KINDS = ("MONOCHROME2", "PALETTE COLOR")  # the latter of label maps, which are numbers all the same


Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FramePlane:
    """Where one frame lies: LPS mm of its first pixel, steps from row to row and from column to column, its size."""

    position: Float
    down: Float
    along: Float
    shape: tuple[int, int]

    def grid(self, thickness: Float) -> Grid:
        """The frame as a volume of one slice; `thickness` is the step (3,) to the next. Raises ValueError."""
        affine = np.eye(4)
        affine[:3] = np.column_stack([thickness, self.down, self.along, self.position])
        return Grid((1, *self.shape), affine)


Placer = Callable[[FramePlane], Placement]


def on_grid(grid: Grid, name: str, tolerance_mm: float) -> Placer:
    """Places frames on the slices of a grid, whichever of its axes they are stacked along."""

    def placer(frame: FramePlane) -> Placement:
        normal = np.cross(frame.along, frame.down)
        axis = int(np.argmax(np.abs(normal @ grid.directions)))
        return place(frame.grid(grid.affine[:3, axis]), grid, name, tolerance_mm)

    return placer


def on_planes(planes: Planes, name: str, tolerance_mm: float) -> Placer:
    """Places frames on planes that need not lie evenly; index (plane, row, column)."""

    def placer(frame: FramePlane) -> Placement:
        k = int(np.argmin(np.abs(planes.at_mm - frame.position @ planes.normal)))
        own = planes.grid_of(k)
        found = place(frame.grid(own.affine[:3, 0]), own, name, tolerance_mm)
        if found.corner[0] != 0 or found.order.permutation[0] != 0:
            raise UserError(f"{name} lies beside the slices of the images.", "Export it on the grid of the images.")
        corner = (k, found.corner[1], found.corner[2])
        return replace(found, corner=corner, shape=(len(planes), *planes.shape))

    return placer


class Frames:
    """The frames of a segmentation.

    Parameters
    ----------
    dataset : the segmentation, pixels included;  path : for messages.

    Raises
    ------
    UserError : sizes that make no sense, or fewer pixels than frames.
    One of `DAMAGE` : elements missing or damaged.
    """

    def __init__(self, dataset: Dataset, path: Path) -> None:
        self._ds, self._path = dataset, path
        self.rows, self.columns = int(dataset.Rows), int(dataset.Columns)
        self._groups = list(dataset.PerFrameFunctionalGroupsSequence)
        self._shared = (list(dataset.get("SharedFunctionalGroupsSequence") or ()) or [Dataset()])[0]
        self._bits = int(dataset.BitsAllocated)
        count = int(dataset.get("NumberOfFrames") or 1)
        if count != len(self._groups) or not 0 < self.rows < _MAX_SIDE or not 0 < self.columns < _MAX_SIDE:
            raise self._damaged(f"it says {count} frames of {self.rows} × {self.columns} and describes others")
        sign, kind = dataset.PixelRepresentation, str(dataset.PhotometricInterpretation)
        if self._bits not in (1, 8, 16) or dataset.BitsStored != self._bits:
            raise self._damaged(f"its pixels have {self._bits} bits, of which {dataset.BitsStored} count")
        if dataset.SamplesPerPixel != 1 or sign != 0 or kind not in _KINDS:
            raise self._damaged(f"its pixels are {dataset.SamplesPerPixel} × {kind} with a sign of {sign}")

    def __len__(self) -> int:
        return len(self._groups)

    def segment_number(self, frame: int) -> int:
        """Number of the segment that a frame shows."""
        return int(self._group(frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)

    def placements(self, placer: Placer) -> list[Placement]:
        """Where each frame lies, as a volume of one slice.

        Raises
        ------
        UserError : a frame lies on no slice.
        """
        known: dict[tuple[float, ...], Placement] = {}
        out = []
        for frame in range(len(self)):
            where = self._place(frame)
            if where not in known:
                known[where] = placer(self._plane(where))
            out.append(known[where])
        return out

    def planes(self) -> list[FramePlane]:
        """Where frames lie, each place once. Raises UserError as `placements`."""
        return [self._plane(where) for where in dict.fromkeys(self._place(i) for i in range(len(self)))]

    def own_grid(self) -> Grid:
        """The smallest even grid that holds all frames, its slices ascending along their normal.

        Raises
        ------
        UserError : there is none: frames of several directions or sizes, or uneven places.
        """
        planes = self.planes()
        along, down = planes[0].along, planes[0].down
        normal = np.cross(along, down) / np.linalg.norm(np.cross(along, down))
        planes.sort(key=lambda plane: float(plane.position @ normal))
        first, last = planes[0].position, planes[-1].position
        at = np.array([(plane.position - first) @ normal for plane in planes])
        step_mm = self._step_mm(at)
        count = round(at[-1] / step_mm)
        step = (last - first) / count if count else normal * step_mm
        affine = np.eye(4)
        affine[:3] = np.column_stack([step, down, along, first])
        for plane, where in zip(planes, at, strict=True):
            off = float(np.linalg.norm(first + step * round(where / step_mm) - plane.position))
            turned = max(np.abs(plane.along - along).max(), np.abs(plane.down - down).max())
            if off > _UNEVEN * step_mm or turned * max(self.rows, self.columns) > _UNEVEN * step_mm:
                raise UserError(
                    f"The frames of {self._path.name} don't lie on one even grid.", "Open it with its images."
                )
        return Grid((count + 1, self.rows, self.columns), affine)

    def _step_mm(self, at: Float) -> float:
        """Distance of slices at these places (mm): what the file says where that fits, else the smallest gap."""
        measures = self._group(0, "PixelMeasuresSequence")
        said = [measures.get(name) for name in ("SpacingBetweenSlices", "SliceThickness")]
        for step in (abs(float(text)) for text in said if text):
            if step > 0 and np.abs(at / step - np.rint(at / step)).max() <= _UNEVEN:
                return step
        return float(np.diff(at).min()) if len(at) > 1 else 1.0

    def pixels(self) -> Iterator[NDArray[np.unsignedinteger]]:
        """Each frame's pixels (rows, columns), as stored."""
        syntax = str(self._ds.file_meta.TransferSyntaxUID)
        if syntax == DEFLATED_FRAMES:
            packed = generate_frames(self._ds.PixelData, number_of_frames=len(self))
            yield from (self._unpack(self._inflate(one), 0) for one in packed)
        elif self._ds.file_meta.TransferSyntaxUID.is_encapsulated:
            for array in iter_pixels(self._ds, raw=True):
                yield array.reshape(self.rows, self.columns)
        else:
            data = self._ds.PixelData
            if len(data) * 8 < len(self) * self.rows * self.columns * self._bits:
                raise self._damaged("it has fewer pixels than frames")
            yield from (self._unpack(data, frame) for frame in range(len(self)))

    def _unpack(self, data: bytes, frame: int) -> NDArray[np.unsignedinteger]:
        """Frame of native pixels; single bits run on from one frame to the next without a gap."""
        size = self.rows * self.columns
        if self._bits == 1:
            first, last = frame * size, (frame + 1) * size
            some = np.frombuffer(data, np.uint8, (last + 7) // 8 - first // 8, first // 8)
            flat = np.unpackbits(some, bitorder="little")[first % 8 : first % 8 + size]
        else:
            dtype = np.dtype("u1" if self._bits == 8 else "<u2" if self._ds.original_encoding[1] else ">u2")
            flat = np.frombuffer(data, dtype, size, frame * size * dtype.itemsize)
        if flat.size != size:
            raise self._damaged("it has fewer pixels than frames")
        return flat.reshape(self.rows, self.columns)

    def _inflate(self, packed: bytes) -> bytes:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self.rows * self.columns * 2)

    def _group(self, frame: int, name: str) -> Dataset:
        """First item of a functional group, of the frame or shared. Raises AttributeError when neither has it."""
        for groups in (self._groups[frame], self._shared):
            items: Iterable[Dataset] = groups.get(name) or ()
            for item in items:
                return item
        raise AttributeError(name)

    def _place(self, frame: int) -> tuple[float, ...]:
        """Position (3), orientation (6), distance between rows and between columns."""
        try:
            position = self._group(frame, "PlanePositionSequence").ImagePositionPatient
            orientation = self._group(frame, "PlaneOrientationSequence").ImageOrientationPatient
            spacing = self._group(frame, "PixelMeasuresSequence").PixelSpacing
            values = tuple(float(v) for v in (*position, *orientation, *spacing))
        except (AttributeError, TypeError) as error:
            raise self._damaged(f"its frame {frame + 1} doesn't say where it lies in the patient") from error
        if len(values) != 11 or not np.isfinite(values).all():
            raise self._damaged(f"its frame {frame + 1} doesn't say where it lies in the patient")
        return values

    def _plane(self, where: tuple[float, ...]) -> FramePlane:
        position, along, down = (np.array(where[i : i + 3]) for i in (0, 3, 6))
        plane = FramePlane(position, down * where[9], along * where[10], (self.rows, self.columns))
        try:
            plane.grid(np.cross(plane.along, plane.down))
        except ValueError as error:
            raise self._damaged("the size or direction of its pixels makes no sense") from error
        return plane

    def check_spacing(self, placements: Sequence[Placement], grid: Grid) -> None:
        """Raise UserError when the frames all lie on slices of `grid`, but were made for slices of another distance.

        Then slices between them would be taken for empty ones.
        """
        said = self._group(0, "PixelMeasuresSequence").get("SpacingBetweenSlices")
        if said is None:
            return
        axis = placements[0].order.permutation.index(0)
        steps = grid.affine[:3, :3]
        step = steps[:, axis]
        across = np.cross(steps[:, axis - 2], steps[:, axis - 1])
        own = (float(np.linalg.norm(step)), abs(float(step @ across)) / float(np.linalg.norm(across)))
        if any(abs(abs(float(said)) - v) <= _UNEVEN * v for v in own):
            return
        where = sorted({p.corner[axis] for p in placements})
        if not any(b - a == 1 for a, b in pairwise(where)):
            raise UserError(
                f"{self._path.name} was made for slices {float(said):g} mm apart; these images' are {own[0]:g} mm.",
                "Export it on the grid of the images.",
            )

    def _damaged(self, what: str) -> UserError:
        return UserError(f"{self._path.name} can't be read as a segmentation: {what}.", "Export it again.")
