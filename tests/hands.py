"""Outside hands: plain readers that share no code with the project, and ways to make structures for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from phantoms import CtPhantom
from pydicom import dcmread

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.jobs import run
from contourdesk.app.structures import Decision, Mask, Provenance, Structure


def load(ct: CtPhantom) -> Case:
    return run(read_series(run(scan(ct.folder))[0]))


def structure(name: str, bits: NDArray[np.bool_], **more: object) -> Structure:
    values = {
        "colour": (10, 200, 30),
        "provenance": Provenance("model", time="2026-11-25T08:00:00+00:00", model="headneck", weights_sha256="ab" * 32),
        "decision": Decision("accepted", "Eva Müller", "2026-11-25T09:10:11+00:00"),
    }
    return Structure(name, mask=Mask.from_dense(bits), **{**values, **more})


def inside(points: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Even-odd rule, the plainest way: how many edges does a ray from each point (m, 2) cross?"""
    out = np.zeros(len(at), bool)
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        if a[1] == b[1]:
            continue
        spans = (at[:, 1] >= min(a[1], b[1])) & (at[:, 1] < max(a[1], b[1]))
        out ^= spans & (at[:, 0] < a[0] + (at[:, 1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
    return out


def fill(
    contours: list[NDArray[np.float64]], affine: NDArray[np.float64], shape: tuple[int, int, int], *, union: bool
) -> NDArray[np.bool_]:
    """Voxel centres inside contours (n, 3) LPS mm, by parity or by union, in each slice's plane."""
    out = np.zeros(shape, bool)
    back = np.linalg.inv(affine)
    rows, columns = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    # A hair off the centre so that a ray never runs along an edge.
    at = np.column_stack([columns.ravel() + 1e-5, rows.ravel() + 2e-5])
    for points in contours:
        index = np.column_stack([points, np.ones(len(points))]) @ back.T
        k = int(np.rint(index[:, 0].mean()))
        assert np.abs(index[:, 0] - k).max() < 1e-3
        hit = inside(index[:, [2, 1]], at).reshape(shape[1:])
        out[k] = out[k] | hit if union else out[k] ^ hit
    return out


def read_contours(path: object) -> dict[str, list[NDArray[np.float64]]]:
    """Contours by ROI name, with pydicom alone."""
    ds = dcmread(str(path))
    names = {int(r.ROINumber): str(r.ROIName) for r in ds.StructureSetROISequence}
    out: dict[str, list[NDArray[np.float64]]] = {n: [] for n in names.values()}
    for outline in ds.ROIContourSequence:
        for item in outline.get("ContourSequence") or ():
            out[names[int(outline.ReferencedROINumber)]].append(np.array(item.ContourData, float).reshape(-1, 3))
    return out
