"""What lies at a path as napari's layers: a folder or file of DICOM, NIfTI, NRRD, or a review."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from contourdesk.app import nrrd_read
from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.dicom_headers import Header, read_header
from contourdesk.app.dicom_read import SeriesInfo, read_series, refusal, scan
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.image_read import case_name, is_image_file, looks_like_labels, read_image_file
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.layer_data import LayerData, image_layer, labels_layers, layers_of
from contourdesk.app.masks_read import read_structures
from contourdesk.app.opening import open_path
from contourdesk.app.reviewed import read_review
from contourdesk.app.reviews import review_at
from contourdesk.app.seg_read import SEG_CLASSES, own_grid, read_seg
from contourdesk.app.slicer_read import is_slicer_segmentation
from contourdesk.app.structures import Structure
from contourdesk.app.volume import Volume

ReadLayers = tuple[list[LayerData], tuple[str, ...]]


def read_layers(path: Path) -> Job[ReadLayers]:
    """Read layers from a path.

    A folder gives its first series that can be used, with its structures; a DICOM image the series that it is of. An
    RTSTRUCT gives its structures, placed by the images in its folder; so does a SEG, which without images stands for
    itself. A review folder gives the images and the structures as they are in the review.

    Returns
    -------
    The layers, and what the user should know, in sentences.

    Raises
    ------
    UserError : nothing that can be read; says why.
    """
    if review_at(path) is not None:
        case, session, notes = yield from read_review(path)
        return layers_of(case, session.structures.items), (*case.source.notes, *notes)
    if path.is_file() and is_image_file(path):
        yield Progress(0, 0, f"Reading {path.name}")
        return _image_file(path)
    header = read_header(path) if path.is_file() else None
    if isinstance(header, Header) and header.text("Modality") in ("RTSTRUCT", "SEG"):
        return (yield from _structure_file(path, header))
    opened = yield from open_path(path)
    if isinstance(opened, Case):  # no such file gets here, but what is opened decides that
        return layers_of(opened, opened.structures.items), opened.source.notes
    info = opened[0] if path.is_file() else next((s for s in opened if s.usable or s.resample), opened[0])
    case = yield from _series(info)
    others = sum(s.usable or s.resample is not None for s in opened) - 1
    notes = case.source.notes
    if others > 0 and path.is_dir():
        count = "another series" if others == 1 else f"{others} more series"
        notes = (*notes, f"There is {count} in {path.name}. Open one of its files to see it.")
    return layers_of(case, case.structures.items), notes


def _series(info: SeriesInfo) -> Job[Case]:
    """Read a series, resampled where nothing else helps; a note says so."""
    if not info.usable and info.resample is None:
        raise refusal(info)
    case = yield from read_series(info, info.resample)
    if case.source.resampled is not None:
        note = f"The slices don't lie on an even grid, so they were resampled: {case.source.resampled.note}"
        case = replace(case, source=replace(case.source, notes=(note, *case.source.notes)))
    return case


def _structure_file(path: Path, header: Header) -> Job[ReadLayers]:
    """The structures of one RTSTRUCT or SEG, without the image."""
    try:
        found = yield from scan(path.parent)
    except UserError:
        found = []
    mine = next((s for s in found if path in (*s.rtstructs, *s.segs) and (s.usable or s.resample)), None)
    if mine is not None:
        only = replace(
            mine,
            rtstructs=tuple(p for p in mine.rtstructs if p == path),
            segs=tuple(p for p in mine.segs if p == path),
        )
        case = yield from _series(only)
        if not case.structures.items:
            raise UserError(case.source.notes[-1] if case.source.notes else f"{path.name} holds no structures.")
        return labels_layers(case.structures.items, case.volume.grid, case, path.stem), case.source.notes
    if header.text("Modality") == "SEG" or header.text("SOPClassUID") in SEG_CLASSES:
        case = _stand_in(path, own_grid(path))
        structures, notes = read_seg(path, case, any_reference=True)
        # The one note on the references would tell of the stand-in.
        return _alone(structures, case), tuple(n for n in notes if not n.startswith(f"{path.name}: "))
    raise UserError(
        f"The images that {path.name} was drawn on are not in its folder.",
        "Put it into one folder with them, or open the folder that holds both.",
    )


def _image_file(path: Path) -> ReadLayers:
    """A NIfTI or NRRD file: an image, or the label map or segmentation that it looks like."""
    if nrrd_read.is_nrrd(path):
        header = nrrd_read.read_header(path)
        if is_slicer_segmentation(header):
            case = _stand_in(path, nrrd_read.spatial_grid(header, path))
            structures, notes = read_structures(path, case)
            return _alone(structures, case), notes
    case = read_image_file(path)
    if not looks_like_labels(case.volume.array):
        return [image_layer(case)], case.source.notes
    structures, notes = read_structures(path, case)
    return _alone(structures, case), notes


def _alone(structures: list[Structure], case: Case) -> list[LayerData]:
    name = case_name(case.source.path).removesuffix(".seg").removesuffix(".dcm")
    if not structures:
        raise UserError(f"There are no structures in {name}.")
    return labels_layers(structures, case.volume.grid, name=name)


def _stand_in(path: Path, grid: Grid) -> Case:
    """A case without an image, for readers that place structures on the grid of one."""
    nothing = np.broadcast_to(np.int16(0), grid.shape)
    return Case(Patient(), Volume(grid, nothing, ""), Source(path, ""))
