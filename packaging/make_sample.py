"""Make the sample case: a head-and-neck CT of no real person.

Run from the project's root, with the project installed:

    python packaging/make_sample.py DATASET OUT [--cases 24] [--jobs 1]

DATASET is an nnU-Net raw dataset folder of head-and-neck CT (`imagesTr`, `labelsTr`, `quality.json`), OUT the folder
for the DICOM slices. Only whole training cases are used (those that `quality.json` does not call blanked).

How: all cases are placed on one grid (affine), then warped to their common mean by three rounds of demons
registration. After each round the mean deformation is taken out of the template, so that its shape is the mean shape
and not that of any one case. Each voxel of the result is the mean of the middle half of the values that the cases
have there (at least 12 cases), so no single patient's image is in it. Then: couch and air are cleared, the contrast
that averaging took is given back by unsharp masking, and scanner-like noise from a fixed seed is added. The result is
the same each time. It takes about an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid
from scipy import ndimage

log = logging.getLogger("make_sample")

AIR = -1000.0
NOWHERE = -3000.0  # marks voxels outside a case's field of view
# Corners (x, y, z) in mm, relative to the point midway between the parotids: from above the orbits to the shoulders.
REGION_LOW = (-250.0, -150.0, -165.0)
REGION_HIGH = (250.0, 170.0, 107.5)
WORK_MM = 4.0
LEVELS_MM = (16.0, 8.0, 4.0)
# The sample's own grid: 256 x 256 pixels of 1.953125 mm (500 mm field of view), 110 slices of 2.5 mm.
PIXELS, PIXEL_MM, SLICES, SLICE_MM = 256, 500 / 256, 110, 2.5
CENTRE_Y = 10.0
# Parotids, brainstem and mandible must be labelled in a case, so that it can be placed and shown to reach far enough.
BRAINSTEM, PAROTIDS, MANDIBLE = 1, (3, 4), 7
ABOVE_BRAINSTEM_MM, BELOW_PAROTIDS_MM = 65.0, 170.0
MIN_CASES = 12
# Demons iterations at each of LEVELS_MM, for each round.
ROUNDS = ((40, 40, 0), (20, 30, 20), (0, 20, 30))
SHARPEN = ((2.0, 0.8), (5.0, 0.3))  # size in mm and strength of each unsharp mask
NOISE_HU = 9.0
HEADER: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
    "StudyDate": "20260101",
    "SeriesDate": "20260101",
    "ContentDate": "20260101",
    "StudyTime": "120000",
    "SeriesTime": "120000",
    "ContentTime": "120000",
    "AcquisitionNumber": 1,
    "AccessionNumber": "",
    "Modality": "CT",
    "Manufacturer": "Contourdesk",
    "ManufacturerModelName": "Average of many cases",
    "ReferringPhysicianName": "",
    "StudyDescription": "Sample, no real person",
    "SeriesDescription": "Sample head and neck",
    "DerivationDescription": "Average of many registered CT; shows no real person",
    "PatientName": "SAMPLE^HEAD AND NECK",
    "PatientID": "CONTOURDESK-SAMPLE",
    "PatientBirthDate": "",
    "PatientSex": "O",
    "BodyPartExamined": "HEADNECK",
    "PatientPosition": "HFS",
    "KVP": "120",
    "StudyID": "1",
    "SeriesNumber": 1,
    "PositionReferenceIndicator": "",
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 1,
    "RescaleIntercept": "0",
    "RescaleSlope": "1",
    "RescaleType": "HU",
    "WindowCenter": "40",
    "WindowWidth": "400",
}


@dataclass(frozen=True)
class Placed:
    """A case: its image (couch removed) and the map from template points to points in it."""

    name: str
    image: sitk.Image
    affine: sitk.Transform
    warp: sitk.Image | None = None

    def transform(self) -> sitk.Transform:
        """Template LPS mm to the case's LPS mm."""
        if self.warp is None:
            return self.affine
        field = sitk.DisplacementFieldTransform(sitk.Cast(self.warp, sitk.sitkVectorFloat64))
        return sitk.CompositeTransform([self.affine, field])


def make_grid(low: Iterable[float], high: Iterable[float], spacing: tuple[float, float, float]) -> sitk.Image:
    """Empty float image from corner to corner, LPS mm."""
    low = tuple(low)
    size = [round((b - a) / s) + 1 for a, b, s in zip(low, high, spacing, strict=True)]
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetOrigin(low)
    image.SetSpacing(spacing)
    return image


def body_mask(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The person without couch, mask and air around, (z, y, x) bool; air inside the body belongs to it."""
    solid = hu > -350
    core = ndimage.binary_opening(solid, np.ones((1, 3, 3)), iterations=1)
    labels, count = ndimage.label(core)
    if count == 0:
        raise ValueError("nothing but air in the image")
    core = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    near = ndimage.binary_dilation(core, np.ones((1, 3, 3)), iterations=2) & solid
    labels, _ = ndimage.label(near)
    body = labels == np.bincount(labels[core]).argmax()
    return np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(s, iterations=2) | s) for s in body])


def load_case(dataset: Path, name: str) -> Placed | None:
    """A case placed by its parotids, or None when it lacks organs or does not reach far enough."""
    image = sitk.ReadImage(str(dataset / "imagesTr" / f"{name}_0000.nii.gz"), sitk.sitkFloat32)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(dataset / "labelsTr" / f"{name}.nii.gz")))
    if not all((labels == k).any() for k in (BRAINSTEM, *PAROTIDS, MANDIBLE)):
        return None
    centres = {k: np.argwhere(labels == k).mean(0) for k in (BRAINSTEM, *PAROTIDS)}
    slice_mm = image.GetSpacing()[2]
    middle = (centres[3] + centres[4]) / 2
    above = (labels.shape[0] - 1 - centres[BRAINSTEM][0]) * slice_mm
    if above < ABOVE_BRAINSTEM_MM or middle[0] * slice_mm < BELOW_PAROTIDS_MM:
        return None
    hu = np.clip(sitk.GetArrayFromImage(image), -1024, 2500)
    filled = np.flatnonzero((hu > -300).sum((1, 2)) > 50)
    kept = slice(int(filled[0]), int(filled[-1]) + 1)
    hu = np.where(body_mask(hu[kept]), hu[kept], np.float32(AIR))
    clean = sitk.GetImageFromArray(hu)
    clean.SetSpacing(image.GetSpacing())
    clean.SetOrigin(image.TransformIndexToPhysicalPoint((0, 0, int(filled[0]))))
    shift = image.TransformContinuousIndexToPhysicalPoint([float(n) for n in middle[::-1]])
    affine = sitk.AffineTransform(3)
    affine.SetTranslation(shift)
    return Placed(name, clean, affine)


def sample(image: sitk.Image, transform: sitk.Transform, grid: sitk.Image) -> sitk.Image:
    """Resample a case to the template's grid; NOWHERE outside its field of view."""
    return sitk.Resample(image, grid, transform, sitk.sitkLinear, NOWHERE, sitk.sitkFloat32)


def middle_half_mean(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the middle half of the valid values along axis 0; AIR where fewer than a third of the cases reach."""
    ordered = np.sort(np.where(stack < -2000, np.inf, stack), axis=0)
    valid = np.isfinite(ordered).sum(0)
    rank = np.arange(len(stack)).reshape(-1, *[1] * (stack.ndim - 1))
    low, high = valid // 4, valid - valid // 4
    use = (rank >= low) & (rank < high)
    mean = np.where(use, ordered, 0).sum(0) / np.maximum(use.sum(0), 1)
    return np.where(valid * 3 < len(stack), AIR, mean).astype(np.float32)


def average(cases: list[Placed], grid: sitk.Image) -> sitk.Image:
    """Template on `grid`."""
    stack = np.stack([sitk.GetArrayFromImage(sample(c.image, c.transform(), grid)) for c in cases])
    mean = np.stack([middle_half_mean(stack[:, z]) for z in range(stack.shape[1])])
    image = sitk.GetImageFromArray(mean)
    image.CopyInformation(grid)
    return image


def for_matching(image: sitk.Image) -> sitk.Image:
    """HU squeezed to what registration should look at: air, fat, muscle, bone."""
    return sitk.Clamp(image, sitk.sitkFloat32, -300, 600)


def register_affine(template: sitk.Image, case: Placed) -> Placed:
    """Affine fit of head and neck (the shoulders, which lie differently in each person, are left to the warp)."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25)
    above = np.zeros(template.GetSize()[::-1], np.uint8)
    above[round((-110 - REGION_LOW[2]) / WORK_MM) :] = 1
    mask = sitk.GetImageFromArray(above)
    mask.CopyInformation(template)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.05, 60, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([3, 1])
    method.SetSmoothingSigmasPerLevel([6, 2])
    method.SetInitialTransform(sitk.AffineTransform(case.affine), inPlace=False)
    found = method.Execute(for_matching(template), for_matching(case.image))
    log.info("%s affine %.0f", case.name, method.GetMetricValue())
    return Placed(case.name, case.image, sitk.AffineTransform(sitk.CompositeTransform(found).GetBackTransform()))


def centre_affines(cases: list[Placed]) -> list[Placed]:
    """Take the mean of the affine maps out of all of them: the template gets mean size and pose."""
    matrices = [np.reshape(c.affine.GetMatrix(), (3, 3)) for c in cases]  # type: ignore[attr-defined]
    correction = sitk.AffineTransform(3)
    correction.SetMatrix(np.linalg.inv(np.mean(matrices, axis=0)).ravel().tolist())
    out = []
    for case, matrix in zip(cases, matrices, strict=True):
        affine = sitk.AffineTransform(3)
        affine.SetMatrix((matrix @ np.reshape(correction.GetMatrix(), (3, 3))).ravel().tolist())
        affine.SetTranslation(case.affine.TransformPoint((0.0, 0.0, 0.0)))
        out.append(Placed(case.name, case.image, affine))
    return out


def on_grid(field: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Displacements resampled to another grid; beyond their edge they go on as they are there."""
    return sitk.Resample(field, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64, True)


def register_warp(template: sitk.Image, case: Placed, iterations: tuple[int, ...]) -> Placed:
    """Demons fit of an affinely placed case, coarse to fine, going on from the warp it has."""
    moving = sample(case.image, case.affine, template)
    # Outside its field of view a case has no say: there it looks like the template.
    moving = sitk.Mask(moving, moving > -2000, 0) + sitk.Mask(template, moving <= -2000, 0)
    fixed, moving = for_matching(template), for_matching(moving)
    size = template.GetSize()
    high = [o + s * (n - 1) for o, s, n in zip(template.GetOrigin(), template.GetSpacing(), size, strict=True)]
    field = case.warp
    for level, count in zip(LEVELS_MM, iterations, strict=True):
        if count == 0:
            continue
        grid = make_grid(template.GetOrigin(), high, (level, level, level))
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfIterations(count)
        demons.SetStandardDeviations(1.5)
        demons.SetSmoothUpdateField(True)
        demons.SetUpdateFieldStandardDeviations(1.0)
        demons.SetMaximumRMSError(0.0)
        pair = [sitk.Resample(sitk.SmoothingRecursiveGaussian(i, 0.4 * level), grid) for i in (fixed, moving)]
        if field is None:
            field = sitk.Image(grid.GetSize(), sitk.sitkVectorFloat64)
            field.CopyInformation(grid)
        field = demons.Execute(*pair, on_grid(field, grid))
    log.info("%s warp, rest %.0f", case.name, demons.GetMetric())
    return Placed(case.name, case.image, case.affine, on_grid(field, template))


def centre_warps(cases: list[Placed], grid: sitk.Image) -> list[Placed]:
    """Take the mean deformation out of all warps: the template gets the mean shape."""
    mean = sum((sitk.GetArrayFromImage(c.warp) for c in cases), np.zeros(1)) / len(cases)
    field = sitk.GetImageFromArray(mean, isVector=True)
    field.CopyInformation(grid)
    inverse = sitk.InvertDisplacementField(field, maximumNumberOfIterations=20)
    out = []
    for case in cases:
        both = sitk.CompositeTransform(
            [
                sitk.DisplacementFieldTransform(sitk.Image(case.warp)),
                sitk.DisplacementFieldTransform(sitk.Image(inverse)),
            ]
        )
        warp = sitk.TransformToDisplacementField(
            both, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing()
        )
        out.append(Placed(case.name, case.image, case.affine, warp))
    log.info("mean deformation taken out: %.2f mm on average", float(np.linalg.norm(mean, axis=-1).mean()))
    return out


def build(cases: list[Placed], jobs: int) -> list[Placed]:
    """Register all cases to their common mean."""
    grid = make_grid(REGION_LOW, REGION_HIGH, (WORK_MM,) * 3)
    with ThreadPoolExecutor(jobs) as pool:  # SimpleITK lets other threads run while it works
        for _ in range(2):
            cases = centre_affines(list(pool.map(partial(register_affine, average(cases, grid)), cases)))
        for iterations in ROUNDS:
            cases = list(pool.map(partial(register_warp, average(cases, grid), iterations=iterations), cases))
            cases = centre_warps(cases, grid)
    return cases


def fine_average(cases: list[Placed]) -> NDArray[np.float32]:
    """HU of the template on the sample's own grid, (z, y, x)."""
    x, y, z = -PIXEL_MM * (PIXELS - 1) / 2, CENTRE_Y - PIXEL_MM * (PIXELS - 1) / 2, REGION_LOW[2]
    pairs = [(c.image, c.transform()) for c in cases]
    slices = []
    for i in range(SLICES):  # slice by slice, because all cases at once need a gigabyte
        grid = sitk.Image([PIXELS, PIXELS, 1], sitk.sitkFloat32)
        grid.SetSpacing((PIXEL_MM, PIXEL_MM, SLICE_MM))
        grid.SetOrigin((x, y, z + i * SLICE_MM))
        slices.append(middle_half_mean(np.stack([sitk.GetArrayFromImage(sample(*pair, grid))[0] for pair in pairs])))
    return np.stack(slices)


def sharpen(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give back the edges that averaging took (unsharp mask, sizes in mm)."""
    sigma = np.array([SLICE_MM, PIXEL_MM, PIXEL_MM])
    out = hu
    for size_mm, amount in SHARPEN:
        out = out + amount * (hu - ndimage.gaussian_filter(hu, size_mm / sigma))
    # Only a little beyond the values nearby, and air counts as fat there: no bright rim on the skin.
    soft = np.maximum(hu, -150)
    low, high = ndimage.minimum_filter(hu, 3), ndimage.maximum_filter(hu, 3)
    room = 0.15 * (ndimage.maximum_filter(soft, 3) - ndimage.minimum_filter(soft, 3))
    return np.clip(out, low - room, high + room)


def scanner_noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise of a planning CT: grainy in the plane, a little smooth between slices, the same each time."""
    noise = np.random.default_rng(20).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, (0.45, 0.55, 0.55))
    return (NOISE_HU * noise / noise.std()).astype(np.float32)


def finish(hu: NDArray[np.float32]) -> NDArray[np.int16]:
    """From the plain average to what a scanner would show, (z, y, x) int16 HU."""
    body = body_mask(hu)
    out = sharpen(np.where(body, hu, AIR).astype(np.float32))
    edge = ndimage.binary_dilation(body, np.ones((1, 3, 3)))
    out = np.where(edge, out + scanner_noise(hu.shape), AIR)
    return np.clip(np.rint(out), -1024, 3071).astype(np.int16)


def uid(*what: object) -> str:
    """Make a UID that is the same each time."""
    return generate_uid(entropy_srcs=["contourdesk sample case 1", *map(str, what)])


def slice_dataset(pixels: NDArray[np.int16], index: int) -> FileDataset:
    """One axial slice as a CT Image, head first supine."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid("slice", index)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("implementation")
    ds = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta)
    for keyword, value in HEADER.items():
        setattr(ds, keyword, value)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = uid("study"), uid("series"), uid("frame")
    corner = -PIXEL_MM * (PIXELS - 1) / 2
    z = REGION_LOW[2] + index * SLICE_MM
    ds.InstanceNumber = index + 1
    ds.ImagePositionPatient = [f"{corner:.6f}", f"{CENTRE_Y + corner:.6f}", f"{z:.2f}"]
    ds.SliceLocation = f"{z:.2f}"
    ds.PixelSpacing = [PIXEL_MM, PIXEL_MM]
    ds.SliceThickness = SLICE_MM
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.astype("<i2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.compress(RLELossless, generate_instance_uid=False)
    return ds


def write_series(hu: NDArray[np.int16], out: Path) -> None:
    """Write the slices, feet to head, in the place of the DICOM files that are in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.dcm"):
        old.unlink()
    for index, pixels in enumerate(hu):
        slice_dataset(pixels, index).save_as(out / f"CT{index + 1:03d}.dcm", enforce_file_format=True)


def load_cases(dataset: Path, count: int) -> list[Placed]:
    """The first `count` whole training cases that show head and neck from the orbits to the shoulders."""
    blanked = set(json.loads((dataset / "quality.json").read_text())["blanked"])
    names = sorted(p.name.removesuffix("_0000.nii.gz") for p in (dataset / "imagesTr").glob("*_0000.nii.gz"))
    cases: list[Placed] = []
    for name in names:
        if name not in blanked and len(cases) < count and (case := load_case(dataset, name)) is not None:
            cases.append(case)
    if len(cases) < MIN_CASES:
        raise SystemExit(f"only {len(cases)} usable cases in {dataset}; the sample must blend at least {MIN_CASES}")
    return cases


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="nnU-Net raw dataset folder of head-and-neck CT")
    parser.add_argument("out", type=Path, help="folder for the DICOM slices, such as resources/sample")
    parser.add_argument("--cases", type=int, default=24, help="how many cases to blend (24)")
    parser.add_argument("--jobs", type=int, default=1, help="registrations at a time (1)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    cases = load_cases(args.dataset, args.cases)
    log.info("%d cases", len(cases))
    write_series(finish(fine_average(build(cases, args.jobs))), args.out)


if __name__ == "__main__":
    main()
