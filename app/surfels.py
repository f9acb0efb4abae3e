"""Surface elements of voxel masks, and their areas.

A surface element lies in the middle of a cell of eight voxel centres that are not all on one side; its area is that
of the triangles that marching cubes puts into the cell at the level 0.5. This is the surface of S. Nikolov et al.,
"Deep learning to achieve clinically applicable segmentation of head and neck anatomy for radiotherapy" (2018,
arXiv:1809.04430; J Med Internet Res 2021), and of DeepMind's package `surface-distance`: published surface Dice values
go by it. The edge of the scan counts as unset.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.geometry import Float, Grid
from contourdesk.app.nearest import Index
from contourdesk.app.structures import Mask

Codes = NDArray[np.uint8]

# For cell codes 1 to 127: what the triangles of the cell span along (z, y, x), in eighths of a face of the cell, three
# letters each ("e" is 0, "f" 1, "d" -1); parallel ones are added up. Codes are numbered as in `surface_cells`. 255 - n
# has the surface of n. Made with W. E. Lorensen and H. E. Cline's cases (1987) as scikit-image has them, where the
# fewer corners are set; tests/test_surfels.py makes it anew.
_AREA_VECTORS = """
fff ffd iie fdf iei fdfffd hhhiee fdd ffffdd iea hhbiee iae hbhiee hbbiee mee fdd eii fddffd hhheie fddfdf
hhheei fdffddffd kkk gcc eiifdd ieafdd eggiiageg iaefdd eggiaigge iaaiee hhhiee fdf fdffff eia hhbeie gcg ieifdf
eiafdf geciiiegc fddfdf fdffddfff hhbeei kk_ iaefdf iaiiee gceiiaegg hhbiee iae hbbeie hbheie eme iaefdf
gegiaagge iaieie hhheie iaefdd iaaeie ggeiaigec hhbeie m]e iieffd iiefff iie ffd ffdfff ggc iieffd eia hbheei
eiaffd gceiiiegc ffdfdd ffdffffdd ieaffd iiaiee hbheie k_k gegiaaegc hbhiee iea hbbeei ieaffd gceiiigec hhbeei
eem iiaeei hhheei ieafdd iaaeei me] ieifdf gegiiagce hbheei ieifff iei ffdfdf ffdfdffff eiaffd iiaeie eiafdf
iaieei em] eiifdd ffdfddfdf ffdfddfdffff iiaeei ffffddfdf iaieie fddfffffd eiifff ffffdd hbbiee k__ eggiaigec
hbbeie egciaagge hbbeei eiifff eii iaaiee ffffdfffd ieifff fdffff iiefff fffffd ggg fff
"""
_BLOCK = 1 << 18  # voxels that are worked on at a time; they stay in the processor's cache


def surface_cells(mask: Mask) -> tuple[Index, Codes]:
    """Cells that the surface of a mask runs through, and which of their corners are set.

    Returns
    -------
    (3, n) index of the cell between voxel i - 1 and voxel i along z, y and x, in the grid's numbering, in array order;
    (n,) uint8 code with bit 7 for the corner (z - 1, y - 1, x - 1), bit 6 for (z - 1, y - 1, x), ... bit 0 for
    (z, y, x).
    """
    tight = mask.tight
    if tight.is_empty:
        return np.zeros((3, 0), np.int64), np.zeros(0, np.uint8)
    z, y, x = (slice(s.start - 1, s.stop + 1) for s in tight.box)
    size = (y.stop - y.start - 1) * (x.stop - x.start - 1)
    step = max(1, _BLOCK // size)
    where, codes = [], []
    for first in range(z.start, z.stop - 1, step):
        bits = tight.read((slice(first, min(first + step + 1, z.stop)), y, x)).view(np.uint8)
        code = (bits[:, :, :-1] << 1) | bits[:, :, 1:]
        code = (code[:, :-1] << 2) | code[:, 1:]
        code = ((code[:-1] << 4) | code[1:]).ravel()
        found = np.flatnonzero((code - np.uint8(1)) < 254)  # neither 0 nor 255: 0 - 1 wraps round
        codes.append(code[found])
        where.append(found + (first - z.start) * size)
    shape = tuple(s.stop - s.start - 1 for s in (z, y, x))
    index = np.array(np.unravel_index(np.concatenate(where), shape))
    index += np.array([[z.start + 1], [y.start + 1], [x.start + 1]])
    return index, np.concatenate(codes)


def cell_steps(grid: Grid) -> Float:
    """(3, 3): column i is the step along array axis i in mm, in axes of the array's own where these are orthogonal."""
    steps = grid.affine[:3, :3]
    spacing = np.array(grid.spacing_mm)
    skew = np.abs(steps.T @ steps - np.diag(spacing**2)).max()
    return np.diag(spacing) if skew <= 1e-9 * float((spacing**2).max()) else np.array(steps)


def cell_areas(steps: Float) -> Float:
    """(256,) area in mm² of the surface in a cell, by its code; `steps` as of `cell_steps`."""
    return _cell_areas(tuple(float(v) for v in steps.ravel()))


@lru_cache(maxsize=16)
def _cell_areas(steps: tuple[float, ...]) -> Float:
    z, y, x = np.array(steps).reshape(3, 3).T
    faces = np.stack([np.cross(y, x), np.cross(x, z), np.cross(z, y)]) / 8
    half = np.zeros(128)
    for code, letters in enumerate(_AREA_VECTORS.split(), start=1):
        vectors = np.array([ord(c) - ord("e") for c in letters], float).reshape(-1, 3)
        half[code] = np.linalg.norm(vectors @ faces, axis=1).sum()
    areas = np.concatenate([half, half[::-1]])
    areas.setflags(write=False)
    return areas
