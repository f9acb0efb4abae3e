"""Taking the face out of a CT of the head: what lies in front of a smooth surface becomes air, deterministically.

The rule. The axes are taken as (up, back, left). On each slice through the head the most anterior point of the skin is
found. The line of these points from slice to slice, smoothed over `SMOOTH_MM`, moved back by `DEPTH_MM`, is where the
face is cut off, straight across from ear to ear: so neither the profile nor the shape across stays. The face reaches
from the brow (`BROW_MM` below the vertex, or the top of the scan where the vertex is not in it) down to where the skin
recedes to the neck, or the body gets wider than a head. Accepted structures stay as they are, with `MARGIN_MM` round
them; where they take up more than `MOST_KEPT` of the face, it is not taken out at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.margins import Margins, margin
from contourdesk.app.structures import Bits, Mask, Structure
from contourdesk.app.volume import Volume

AIR_HU = -1024
DEPTH_MM = 30.0
SMOOTH_MM = 20.0
BROW_MM = 50.0
LONGEST_MM = 220.0
WIDEST_MM = 230.0
RECEDES_MM = 35.0
MARGIN_MM = 5.0
MOST_KEPT = 0.2
_BODY_HU = -300.0
_SMALLEST_MM2 = 4000.0  # a slice with less body than this is no slice through a head


@dataclass(frozen=True, eq=False)
class Defacing:
    """`face` are the voxels that become air; `kept_ml` of the face stays for the structures."""

    face: Mask
    face_ml: float
    kept_ml: float
    from_mm: float
    to_mm: float

    @property
    def text(self) -> str:
        """What was done, in a sentence."""
        kept = f"; {self.kept_ml:.0f} ml round structures were kept" if self.kept_ml >= 0.5 else ""
        return (
            f"The face was taken out: {self.face_ml:.0f} ml in front of a surface {DEPTH_MM:g} mm behind the skin, "
            f"over {self.to_mm - self.from_mm:.0f} mm, were set to {AIR_HU} HU{kept}. Ears, hair line and neck stay."
        )

    def apply(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """The image (z, y, x) in HU without the face; a copy."""
        out = array.copy()
        out[self.face.box][self.face.bits] = AIR_HU
        return out


def find_face(volume: Volume, structures: Sequence[Structure]) -> Defacing:
    """Find the voxels of the face that `structures` leave.

    Raises
    ------
    UserError : not in HU, no head in the image, or structures lie in the face, which are named.
    """
    if volume.unit != "HU":
        raise UserError("The face can only be taken out of a CT.", "Export without it.")
    grid, order = volume.grid.canonical()
    body = _body(order.apply(volume.array), grid)
    cut = _cut_rows(body, grid)
    rows = np.arange(grid.shape[1])[None, :, None]
    front = np.broadcast_to(rows < cut[:, None, None], grid.shape)
    tissue = front & body
    whole = order.undo(front)
    kept = np.zeros(volume.grid.shape, bool)
    for s in structures:
        if not s.mask.is_empty:
            grown = margin(s.mask, volume.grid, Margins.uniform(MARGIN_MM))
            kept[grown.box] |= grown.bits
    face_ml = float(np.count_nonzero(tissue)) * grid.voxel_ml
    kept_ml = float(np.count_nonzero(order.apply(kept) & tissue)) * grid.voxel_ml
    if kept_ml > MOST_KEPT * face_ml:
        raise UserError(
            f"The face can't be taken out: {', '.join(_in_the_way(structures, whole))} lie in it.",
            "Export without taking the face out, or leave these structures out.",
        )
    used = np.flatnonzero(np.isfinite(np.where(cut > 0, cut, np.nan)))
    up = grid.spacing_mm[0]
    return Defacing(
        Mask.from_dense(whole & ~kept), face_ml - kept_ml, kept_ml, float(used[0] * up), float((used[-1] + 1) * up)
    )


def _in_the_way(structures: Sequence[Structure], face: Bits) -> list[str]:
    found = [(int(np.count_nonzero(face[s.mask.box] & s.mask.bits)), s.name) for s in structures]
    return [name for count, name in sorted(found, reverse=True) if count][:3] or ["accepted structures"]


def _body(array: NDArray[np.generic], grid: Grid) -> Bits:
    """The patient without couch, canonical axes: on each slice the largest piece, once thin links are cut."""
    tissue: Bits = np.asarray(array, np.float32) > np.float32(_BODY_HU)
    out = np.zeros(tissue.shape, bool)
    cut = max(1, round(3 / grid.spacing_mm[1]))
    for k, plane in enumerate(tissue):
        pieces, count = ndimage.label(ndimage.binary_erosion(plane, iterations=cut))
        if count:
            sizes = np.bincount(pieces.ravel())[1:]
            largest = pieces == 1 + int(np.argmax(sizes))
            out[k] = ndimage.binary_dilation(largest, iterations=cut, mask=plane)
    return out


def _cut_rows(body: Bits, grid: Grid) -> NDArray[np.float64]:
    """For each slice the row that the face reaches to; 0 where there is none. Raises UserError."""
    up, back, left = grid.spacing_mm
    area = np.count_nonzero(body, axis=(1, 2)) * back * left
    rows: Bits = np.any(body, axis=2)
    columns: Bits = np.any(body, axis=1)
    first = np.where(rows.any(axis=1), rows.argmax(axis=1), 0).astype(float)
    width = np.count_nonzero(columns, axis=1) * left
    whole = np.flatnonzero(area >= _SMALLEST_MM2)
    if not whole.size or width[whole[-1]] > WIDEST_MM or area[whole[-1]] > 60000:
        raise UserError("There is no head at the top of this image, so no face to take out.", "Export without it.")
    vertex = int(np.flatnonzero(area > 0)[-1])
    seen = vertex < grid.shape[0] - 1 or area[vertex] < _SMALLEST_MM2
    top = int(whole[-1]) if not seen else max(int(whole[0]), vertex - round(BROW_MM / up))
    bottom, front = top, first[top]
    for k in range(top, -1, -1):
        front = min(front, first[k])
        too_far = (top - k) * up > LONGEST_MM or (first[k] - front) * back > RECEDES_MM
        if area[k] < _SMALLEST_MM2 or width[k] > WIDEST_MM or too_far:
            break
        bottom = k
    line = ndimage.gaussian_filter1d(first[bottom : top + 1], SMOOTH_MM / up, mode="nearest")
    cut = np.zeros(grid.shape[0])
    cut[bottom : top + 1] = line + DEPTH_MM / back
    return cut
