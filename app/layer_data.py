"""Cases as napari's layers, and layers as structures: the one place that knows napari's world. No napari in here.

napari's world is (z, y, x) in mm: DICOM's patient coordinates (LPS) in the order of array axes, so S, P, L. Layers are
given with axes nearest to these (a view, nothing is copied), so an axial slice comes up as the clinic looks at it
however it was acquired. What is left of a rotation is the layer's affine; napari shows such a layer unrotated in 2D,
but knows where each voxel is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Float, Grid
from contourdesk.app.image_read import case_name
from contourdesk.app.placement import label_boxes, place
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Colour, Mask, Structure
from contourdesk.app.volume import Volume

LayerData = tuple[Any, dict[str, Any], str]  # data, arguments of the layer, its type

CASE, STRUCTURES = "contourdesk_case", "contourdesk_structures"  # in a layer's metadata
AXES, UNITS = ("z", "y", "x"), ("mm", "mm", "mm")
_SOFT_TISSUE_HU = (-160.0, 240.0)
_OTHER_INK = (0.6, 0.6, 0.6, 1.0)  # of label values that nobody has named yet
_AIR_HU = -300
_TURN = np.eye(4)[[2, 1, 0, 3]]  # LPS (x, y, z) to napari's (z, y, x) and back
_STRAIGHT_MM = 1e-3


def layers_of(case: Case, structures: Sequence[Structure]) -> list[LayerData]:
    """The image of a case and its structures, all on one grid."""
    return [image_layer(case), *labels_layers(structures, case.volume.grid, case)]


def image_layer(case: Case) -> LayerData:
    """The image; its array is the case's own."""
    grid, order = case.volume.grid.canonical()
    attributes = {
        "name": case.source.description or case.source.modality or "Image",
        "rgb": False,  # an array of 3 or 4 columns is no colour image
        "metadata": {CASE: case},
        **placed(grid),
    }
    if case.volume.unit == "HU":
        attributes["contrast_limits"] = _SOFT_TISSUE_HU
    return order.apply(case.volume.array), attributes, "image"


def labels_layers(
    structures: Sequence[Structure], grid: Grid, case: Case | None = None, name: str = "Structures"
) -> list[LayerData]:
    """Label maps of structures on `grid`: one, and as many more as it takes to keep those apart that overlap.

    Parameters
    ----------
    case : what they belong to, kept for writers; None where only their place is known.
    name : of the first layer; others get a number.
    """
    canonical, order = grid.canonical()
    dtype = np.uint8 if len(structures) < 256 else np.uint16
    maps: list[tuple[NDArray[np.generic], dict[int, Structure]]] = []
    for structure in structures:
        mask = structure.mask
        free = next((one for one in maps if not one[0][mask.box][mask.bits].any()), None)
        if free is None:
            free = order.undo(np.zeros(canonical.shape, dtype)), {}
            maps.append(free)
        labels, held = free
        held[len(held) + 1] = structure
        labels[mask.box][mask.bits] = len(held)
    out: list[LayerData] = []
    for number, (labels, held) in enumerate(maps, 1):
        metadata = {} if case is None else {CASE: case, STRUCTURES: {n: s.id for n, s in held.items()}}
        attributes = {
            "name": name if number == 1 else f"{name} {number}",
            "opacity": 0.5,
            "features": {"index": [0, *held], "structure": ["", *(s.name for s in held.values())]},
            "colormap": label_colours({n: s.colour for n, s in held.items()}),
            "metadata": metadata,
            **placed(canonical),
        }
        out.append((order.apply(labels), attributes, "labels"))
    return out


def label_colours(colours: Mapping[int, Colour]) -> dict[int | None, tuple[float, ...]]:
    """Colours for napari by label value; None stands for all other values."""
    inks: dict[int | None, tuple[float, ...]] = {None: _OTHER_INK, 0: (0.0, 0.0, 0.0, 0.0)}
    inks.update((n, (*(c / 255 for c in colour), 1.0)) for n, colour in colours.items())
    return inks


def placed(grid: Grid) -> dict[str, Any]:
    """Where a layer lies whose array has `grid`: scale and translation, and an affine where it is turned."""
    to_world = _TURN @ grid.affine
    scale = np.array(grid.spacing_mm)
    out: dict[str, Any] = {"axis_labels": AXES, "units": UNITS, "scale": scale}
    reach = np.array(grid.shape) * np.abs(to_world[:3, :3] - np.diag(scale))
    if reach.max() <= _STRAIGHT_MM:
        return {**out, "translate": to_world[:3, 3]}
    return {**out, "affine": to_world @ np.diag([*(1 / scale), 1])}


def grid_of(shape: Sequence[int], attributes: Mapping[str, Any]) -> Grid:
    """Where a layer's array (z, y, x) lies, from all that napari keeps of its place. Raises UserError."""
    name = attributes.get("name", "This layer")
    if len(shape) != 3:
        raise UserError(f"{name} has {len(shape)} axes.", "Choose a layer with three: slices, rows and columns.")
    own = np.eye(4)
    own[:3, :3] = _rotation(attributes) @ np.diag(np.asarray(attributes.get("scale", (1, 1, 1)), float))
    own[:3, 3] = np.asarray(attributes.get("translate", (0, 0, 0)), float)
    shear = np.asarray(attributes.get("shear", 0), float)
    if np.any(shear if shear.ndim < 2 else shear - np.eye(3)):
        raise UserError(f"{name} is sheared.", "Take the shear out of the layer.")
    affine = attributes.get("affine")
    affine = np.eye(4) if affine is None else np.asarray(getattr(affine, "affine_matrix", affine), float)
    try:
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), _TURN @ affine @ own)
    except ValueError as error:
        raise UserError(f"{name} has no place in space that makes sense.", "Look at its scale and affine.") from error


def _rotation(attributes: Mapping[str, Any]) -> Float:
    rotate = np.asarray(attributes.get("rotate", np.eye(3)), float)
    if rotate.shape != (3, 3):
        raise UserError(f"{attributes.get('name', 'This layer')} is turned.", "Take the rotation out of the layer.")
    return rotate


def case_of(layers: Iterable[LayerData]) -> Case | None:
    """The case that layers were read from; None when they don't know. Raises UserError where they are of several."""
    cases = {id(case): case for _, about, _ in layers if (case := about.get("metadata", {}).get(CASE)) is not None}
    if len(cases) > 1:
        raise UserError("These layers belong to several cases.", "Select the layers of one case, then save again.")
    return next(iter(cases.values()), None)


def case_of_image(layers: Sequence[LayerData]) -> Case:
    """A case made of the one image layer that there is. Raises UserError."""
    images = [(data, about) for data, about, kind in layers if kind == "image"]
    if len(images) != 1:
        raise UserError(
            f"There are {len(images)} image layers to choose from.", "Select one image and its labels, then save again."
        )
    data, about = images[0]
    array = np.ascontiguousarray(data)
    grid, name = grid_of(array.shape, about), str(about.get("name", "image"))
    is_ct = float(array.min()) <= _AIR_HU
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    source = Source(Path(name), f"layer-{digest}", modality="CT" if is_ct else "", description=name)
    return Case(Patient(name=case_name(Path(name))), Volume(grid, array, "HU" if is_ct else ""), source)


def structures_of(case: Case, layers: Sequence[LayerData]) -> tuple[Structure, ...]:
    """The structures that label layers hold, on the case's grid.

    One that was read with the case and is as it was stays what it is, contours included. Voxels outside the images are
    an error, not left out.

    Raises
    ------
    UserError : a layer is on another grid, or holds none.
    """
    session = ReviewSession(case)
    chosen: list[str] = []
    for data, about, kind in layers:
        if kind != "labels":
            continue
        array, name = np.asarray(data), str(about.get("name", "Labels"))
        placement = place(grid_of(array.shape, about), case.volume.grid, name)
        ids: Mapping[int, str] = about.get("metadata", {}).get(STRUCTURES, {})
        found = dict(label_boxes(array))
        names = _names(about, name, len(found))
        for label, box in found.items():
            mask, lost = placement.mask(array[box] == label, (box[0].start, box[1].start, box[2].start))
            if lost:
                raise UserError(f"{name} reaches over the edge of the images.", "Remove what lies outside.")
            chosen.append(_put(session, ids.get(label), names(label), _colour(about, label), mask))
    if not chosen:
        raise UserError("There are no structures in these layers.", "Paint some labels first.")
    return tuple(s for s in session.structures if s.id in chosen)


def _put(session: ReviewSession, known: str | None, name: str, colour: Colour | None, mask: Mask) -> str:
    old = next((s for s in session.structures if s.id == known), None)
    if old is None:
        return session.add(name, colour, mask)
    if not old.mask.equals(mask):
        session.replace_mask(old.id, mask, "napari")
    return old.id


def _names(about: Mapping[str, Any], layer: str, count: int) -> Any:
    """What a label value is called: the features say, else the layer's name does."""
    features = about.get("features")
    known: dict[int, str] = {}
    if features is not None and "index" in features and "structure" in features:
        known = {int(n): str(text) for n, text in zip(features["index"], features["structure"], strict=True)}
    return lambda label: known.get(label) or (layer if count == 1 else f"{layer} {label}")


def _colour(about: Mapping[str, Any], label: int) -> Colour | None:
    colormap: Any = about.get("colormap")
    if not hasattr(colormap, "map"):
        return None
    red, green, blue = (round(255 * float(c)) for c in np.asarray(colormap.map(label)).ravel()[:3])
    return red, green, blue
