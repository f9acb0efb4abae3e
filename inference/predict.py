"""Segment a volume with a model: a job that reports every patch and can be stopped between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray

from contourdesk import __version__
from contourdesk.app.confidence import Confidence
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.naming import colour_for, label_key, suggest, type_for
from contourdesk.app.structures import Mask, Provenance, Structure, tight_box
from contourdesk.app.volume import Volume
from contourdesk.inference.device import choose_device, describe
from contourdesk.inference.device_lock import wait_for
from contourdesk.inference.drawing import Drawing
from contourdesk.inference.forward import run_model
from contourdesk.inference.nnunet import Model
from contourdesk.inference.options import Options, Prediction
from contourdesk.inference.plans import label_map
from contourdesk.inference.postprocess import apply_steps
from contourdesk.inference.preparing import Prepared, prepare, whole_map
from contourdesk.inference.preprocess import Shape


def predict(
    volume: Volume | Sequence[Volume],
    model: Model | Sequence[Model],
    device: str | torch.device | None = None,
    options: Options | None = None,
) -> Job[Prediction]:
    """Segment `volume`, on its own grid.

    Parameters
    ----------
    volume : in HU for a model trained on CT. A model that takes several images at once is given as many, on one grid.
    model : one, or several whose structures make one list (`contourdesk.inference.nnunet.load_models`).
    device : where the networks run; the best one here unless given. Out of memory on a graphics card falls back to
        smaller batches, to sums kept in main memory, then to the processor, and the result's notes say so.
    options : see `Options`.

    Returns
    -------
    One structure for each of the model's labels that are wanted, in their order, under its TG-263 name where one is
    known. The mask of an organ that the model did not find is empty, so that the reviewer sees this. What else there
    is to say is in the list's own attributes, see `Prediction`.

    Raises
    ------
    UserError : the image is no CT while the model needs one; no such device or structure; not enough memory.
    """
    options = options or Options()
    volumes = [volume] if isinstance(volume, Volume) else list(volume)
    models = [model] if isinstance(model, Model) else list(model)
    names = display_names([label for one in models for label in one.labels])
    wanted = _wanted(options, models, names)
    for one in models:
        _check(volumes, one)
    where = choose_device(device)
    result = Prediction(device=describe(where))
    notes = [note for one in models for note in one.notes]
    yield Progress(0, 0, f"Preparing the image for {describe(where)}", f"Runs on {describe(where)}")
    lock = yield from wait_for(where)
    try:
        first = 0
        for number, one in enumerate(models):
            mine = range(first, first + len(one.labels))
            first = mine.stop
            chosen = [i - mine.start for i in mine if i in wanted]
            if not chosen:
                continue
            job = _one(volumes, one, options, where, chosen, [names[i] for i in mine], notes)
            found, confidence = yield from _counted(job, number, len(models))
            result.extend(found)
            result.confidence.update(confidence)
    except MemoryError as error:
        raise _too_large(volumes[0]) from error
    finally:
        if lock is not None:
            lock.close()
    result.notes = tuple(dict.fromkeys(notes))
    return result


def _counted(
    job: Job[tuple[list[Structure], dict[str, Confidence]]], number: int, parts: int
) -> Job[tuple[list[Structure], dict[str, Confidence]]]:
    """The job's progress as one of several parts of a model."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            result: tuple[list[Structure], dict[str, Confidence]] = end.value
            return result
        if parts == 1:
            yield step
        else:
            share = 1000 * number + (1000 * step.done // step.total if step.total else 0)
            yield Progress(share, 1000 * parts, f"Part {number + 1} of {parts}: {step.text}", step.note)


def _check(volumes: Sequence[Volume], model: Model) -> None:
    needed = len(model.settings.normalisation)
    if len(volumes) != needed:
        raise UserError(
            f"The model '{model.name}' needs {needed} images at once, and there {'is' if len(volumes) == 1 else 'are'}"
            f" {len(volumes)}.",
            "Choose a model for one image." if len(volumes) == 1 else "Give it as many.",
        )
    for one, scheme in zip(volumes, model.settings.normalisation, strict=True):
        if one.unit != "HU" and scheme == "CTNormalization":
            raise UserError(
                f"The model '{model.name}' was trained on CT, and this image is not a CT in Hounsfield units.",
                "Open the CT series, or choose a model for this kind of image.",
            )
        if not one.grid.is_close(volumes[0].grid):
            raise UserError("The images do not lie on one grid.", "Resample them onto the first one's grid.")
    if math.prod(volumes[0].grid.shape) == 0:
        raise UserError("The image is empty.", "Choose another series.")


def _wanted(options: Options, models: Sequence[Model], names: Sequence[str]) -> set[int]:
    """Numbers of the structures that are wanted, over all models."""
    if options.organs is None:
        return set(range(len(names)))
    labels = [label for one in models for label in one.labels]
    out = set()
    for organ in options.organs:
        hits = {i for i, pair in enumerate(zip(labels, names, strict=True)) if organ in pair}
        hits = hits or {i for i, label in enumerate(labels) if label_key(label) == label_key(organ)}
        if not hits:
            raise UserError(f"The model does not know '{organ}'.", f"It knows: {', '.join(names)}.")
        out |= hits
    return out


def _one(
    volumes: Sequence[Volume],
    model: Model,
    options: Options,
    device: torch.device,
    chosen: Sequence[int],
    names: Sequence[str],
    notes: list[str],
) -> Job[tuple[list[Structure], dict[str, Confidence]]]:
    """Structures of one model, those of its labels whose numbers are `chosen`."""
    keep = [i + (0 if model.regions else 1) for i in chosen] if options.probabilities else []
    previous = yield from _first_stage(volumes, model, options, device, notes)
    prepared = yield from prepare(volumes, model, options.orientation, options.box, previous)
    drawing = None
    if prepared.wanted is not None:
        drawing = yield from run_model(model, prepared, options, device, keep, notes)
        _postprocess(drawing, model, options, notes)
    provenance = Provenance(
        source="model",
        model=model.name,
        weights_sha256=model.weights_sha256,
        software=f"Contourdesk {__version__}",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    masks = _masks(drawing.found, model) if drawing is not None else [(None, None)] * len(model.labels)
    structures, confidence = [], {}
    for i in chosen:
        structures.append(_structure(names[i], _mask(prepared, *masks[i]), provenance))
        kept = drawing.probabilities(i + (0 if model.regions else 1)) if keep and drawing is not None else None
        if kept is not None:
            place, values = prepared.to_volume(*kept)
            confidence[structures[-1].id] = Confidence(place, values.astype(np.uint8))
    return structures, confidence


def _first_stage(
    volumes: Sequence[Volume], model: Model, options: Options, device: torch.device, notes: list[str]
) -> Job[NDArray[np.generic] | None]:
    """Labels of a cascade's first stage on the whole image; None when the model is no cascade."""
    if model.previous is None:
        return None
    yield Progress(0, 0, "First stage of the model")
    before = yield from _first_stage(volumes, model.previous, options, device, notes)
    prepared = yield from prepare(volumes, model.previous, options.orientation, None, before)
    drawing = yield from run_model(model.previous, prepared, options, device, (), notes)
    return whole_map(label_map(drawing.found, model.previous.structures), prepared, volumes[0])


def _postprocess(drawing: Drawing, model: Model, options: Options, notes: list[str]) -> None:
    if not model.postprocessing or not options.postprocessing:
        return
    if options.box is not None:
        notes.append("The model's post-processing is not applied to a part of an image.")
        return
    apply_steps(drawing.found, model.structures, model.postprocessing)


def _masks(found: NDArray[np.generic], model: Model) -> list[tuple[Shape | None, NDArray[np.bool_] | None]]:
    """Place and bits of each label; None where it was not found."""
    if model.regions:
        boxes = [tight_box(part.astype(bool, copy=False)) for part in found]
        return [(_start(box), None if box is None else part[box]) for box, part in zip(boxes, found, strict=True)]
    whole = tight_box(np.asarray(found != 0))
    if whole is None:
        return [(None, None)] * len(model.labels)
    first, found = _start(whole), found[whole]
    return [_label(found, number, first) for number in range(1, len(model.labels) + 1)]


def _label(
    found: NDArray[np.generic], number: int, first: Shape | None
) -> tuple[Shape | None, NDArray[np.bool_] | None]:
    bits = np.asarray(found == number)
    box = tight_box(bits)
    if box is None or first is None:
        return None, None
    z, y, x = (s.start + f for s, f in zip(box, first, strict=True))
    return (z, y, x), bits[box].copy()


def _start(box: Box | None) -> Shape | None:
    return None if box is None else (box[0].start, box[1].start, box[2].start)


def _mask(prepared: Prepared, start: Shape | None, bits: NDArray[np.bool_] | None) -> Mask:
    if start is None or bits is None:
        return Mask()
    place, turned = prepared.to_volume(start, bits)
    return Mask(place, turned.astype(bool, copy=False))


def display_names(labels: Sequence[str]) -> list[str]:
    """TG-263's names for a model's labels; a label keeps its own name when two would become one."""
    wanted = [suggest(label) or label for label in labels]
    return [w if wanted.count(w) == 1 else label for w, label in zip(wanted, labels, strict=True)]


def _structure(name: str, mask: Mask, provenance: Provenance) -> Structure:
    return Structure(
        name=name, colour=colour_for(name), mask=mask, provenance=provenance, interpreted_type=type_for(name)
    )


def _too_large(volume: Volume) -> UserError:
    size = " x ".join(str(n) for n in volume.grid.shape)
    return UserError(
        f"There is not enough memory to segment this image of {size} voxels.",
        "Close other programs and images, or use a computer with more memory.",
    )
