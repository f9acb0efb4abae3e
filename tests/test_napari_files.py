"""napari opens and saves with Contourdesk: manifest, places in its world against SimpleITK, files against others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from hands import fill, load, read_contours, structure
from napari.layers import Image, Labels, Layer
from npe2 import PluginManager, PluginManifest
from phantoms import ORIENTATIONS, CtPhantom
from tilted_phantoms import EVEN, ellipse_on, ellipsoid_ct, in_ellipsoid, series

from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.layer_data import CASE, grid_of, image_layer, labels_layers
from contourdesk.app.layer_read import read_layers
from contourdesk.app.nifti_write import write_image
from contourdesk.app.seg_write import write_seg
from contourdesk.widgets import napari_files

MakeCt = Callable[..., CtPhantom]
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")


def layers(path: Path) -> list[Layer]:
    """As napari makes them of what the reader gives."""
    reader = napari_files.get_reader(str(path))
    assert reader is not None
    return [Layer.create(*one) for one in reader(str(path))]


def tuples(*chosen: Layer) -> list[tuple]:
    return [layer.as_layer_data_tuple() for layer in chosen]


def marker_world(layer: Layer, bits: np.ndarray) -> np.ndarray:
    """World positions (n, 3) of voxels, sorted."""
    points = np.asarray(layer.data_to_world(np.argwhere(bits).astype(float)))
    return points[np.lexsort(np.round(points, 3).T)]


# -- manifest ------------------------------------------------------------------------------------------------------


def test_manifest_is_valid_and_found() -> None:
    manifest = PluginManifest.from_distribution("contourdesk")
    manager = PluginManager()
    manager.register(manifest)
    assert manifest.display_name == "Contourdesk"
    assert {r.command for r in manager.iter_compatible_readers(["a.nii.gz"])} == {"contourdesk.read"}
    assert not list(manager.iter_compatible_readers(["a.tif"]))  # other plugins' files are left to them
    assert manager.get_writer("x", ["labels"])[0] is None  # napari's own choice for labels alone stays what it is
    named = {"rt.dcm": "write_rtstruct", "a.seg.dcm": "write_seg", "dataset.json": "write_training"}
    for name, command in named.items():
        writer, _ = manager.get_writer(name, ["image", "labels", "labels"])
        assert writer is not None and writer.command == f"contourdesk.{command}"
    manifest.validate_imports()


def test_reading_the_manifest_imports_nothing_heavy() -> None:
    code = (
        "import sys; from npe2 import PluginManifest; PluginManifest.from_distribution('contourdesk');"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch','napari','qtpy','PySide6','SimpleITK'}),"
        " [m for m in sys.modules if m.startswith('contourdesk.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[] ['contourdesk.resources']", "[] []"), done.stdout


# -- places --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_world_is_where_simpleitk_says(make_ct: MakeCt, tmp_path: Path, orientation: str) -> None:
    """Image, RTSTRUCT and SEG of one series lie in one place, which is DICOM's, z first."""
    ct = make_ct(tmp_path / "ct", (6, 24, 20), (3.0, 1.25, 0.75), orientation)
    made = [structure("Marker", ct.marker)]
    write_rtstruct(load(ct), made, tmp_path / "ct" / "rt.dcm")
    write_seg(load(ct), made, tmp_path / "alone.dcm")  # a SEG without its images beside it
    reference = sitk.ReadImage([str(f) for f in ct.files])
    image, labels = layers(tmp_path / "ct")
    (seg,) = layers(tmp_path / "alone.dcm")
    assert isinstance(image, Image) and isinstance(labels, Labels) and isinstance(seg, Labels)
    assert seg.name == "alone"
    values = sitk.GetArrayViewFromImage(reference)
    for index in np.random.default_rng(1).integers((0, 0, 0), reference.GetSize(), (40, 3)).tolist():
        place = reference.TransformIndexToPhysicalPoint(index)
        found = np.array(image.world_to_data(place[::-1]))
        assert np.abs(found - np.rint(found)).max() < 1e-4
        at = tuple(np.rint(found).astype(int))
        assert image.data[at] == values[tuple(index[::-1])]
        assert labels.data[at] == (image.data[at] >= 200)
    bits = np.asarray(image.data) >= 200
    assert np.allclose(marker_world(labels, labels.data == 1), marker_world(image, bits), atol=1e-4)
    assert np.allclose(marker_world(seg, seg.data == 1), marker_world(image, bits), atol=1e-3)
    assert np.allclose(np.sort(image.scale), [0.75, 1.25, 3.0])
    assert [str(u) for u in image.units] == ["millimeter"] * 3
    assert grid_of(image.data.shape, image.as_layer_data_tuple()[1]).is_close(load(ct).volume.grid.canonical()[0])


def test_axial_series_lie_straight(make_ct: MakeCt, tmp_path: Path) -> None:
    """Feet first too: no affine for others to trip over, axes towards head, back and left."""
    for orientation in ("axial", "axial_feet_first"):
        case = load(make_ct(tmp_path / orientation, (4, 10, 8), orientation=orientation))
        _, about, _ = image_layer(case)
        assert "affine" not in about and (about["scale"] > 0).all()


def test_tilted_series_are_resampled_with_their_structures(make_rtstruct: Callable[..., Path], tmp_path: Path) -> None:
    from phantoms import Roi

    ct = ellipsoid_ct(tmp_path / "ct", EVEN)
    how = series(ct.folder).resample
    assert how is not None
    rings = [("CLOSED_PLANAR", p, ct.image_uids[k]) for k in range(len(EVEN)) if (p := ellipse_on(how, k)) is not None]
    make_rtstruct(ct.folder / "rt.dcm", ct, [Roi("Ball", rings)])
    found, notes = run(read_layers(ct.folder))
    assert "resampled" in notes[0]
    labels = Layer.create(*found[1])
    inside = in_ellipsoid(marker_world(labels, np.ones_like(labels.data, bool))[:, ::-1])
    mine = in_ellipsoid(marker_world(labels, labels.data == 1)[:, ::-1])
    assert mine.mean() > 0.96 and mine.sum() > 0.96 * inside.sum()


def test_overlaps_get_a_layer_of_their_own_and_keep_names_and_colours(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct", (4, 12, 10)))
    a, b, c = (np.zeros((4, 12, 10), bool) for _ in range(3))
    a[1, 2:6, 2:6], b[1, 4:8, 4:8], c[3, 1:3, 1:3] = True, True, True
    chosen = [structure("A", a), structure("B", b, colour=(255, 0, 0)), structure("C", c)]
    first, second = (Layer.create(*one) for one in labels_layers(chosen, case.volume.grid, case))
    assert list(first.features["structure"]) == ["", "A", "C"] and list(second.features["structure"]) == ["", "B"]
    assert first.data.dtype == np.uint8 and (first.data == 2).sum() == 4
    assert np.allclose(second.colormap.map(1), (1, 0, 0, 1))


def test_label_maps_and_images_are_told_apart(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct", (4, 12, 10)))
    write_image(case.volume.array, case.volume.grid, tmp_path / "ct.nii.gz")
    write_image(case.volume.array.astype(np.int16) * 0 + 3, case.volume.grid, tmp_path / "labels.nii.gz")
    (image,), (labels,) = layers(tmp_path / "ct.nii.gz"), layers(tmp_path / "labels.nii.gz")
    assert isinstance(image, Image) and isinstance(labels, Labels) and labels.name == "labels"


# -- errors --------------------------------------------------------------------------------------------------------


def test_rtstruct_without_images_says_what_to_do(
    make_ct: MakeCt, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ct = make_ct(tmp_path / "ct", (4, 24, 20))
    path = write_rtstruct(load(ct), [structure("Marker", ct.marker)], tmp_path / "ct" / "rt.dcm")
    path = shutil.move(path, tmp_path_factory.mktemp("alone") / "rt.dcm")
    with pytest.raises(UserError, match="open the folder that holds both"):
        layers(path)
    assert napari_files.get_reader(str(tmp_path / "gone")) is None


def empty(labels: Labels) -> Labels:
    labels.data = np.zeros_like(labels.data)
    return labels


# -- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", ["axial", "axial_feet_first", "oblique"])
def test_painted_labels_come_back_from_files(make_ct: MakeCt, tmp_path: Path, orientation: str) -> None:
    ct = make_ct(tmp_path / "ct", (6, 32, 28), orientation=orientation)
    (image,) = layers(ct.folder)
    painted = np.zeros(image.data.shape, np.uint8)
    painted[1:4, 6:16, 5:14], painted[2:5, 18:24, 8:20] = 1, 7
    place = {"scale": image.scale, "translate": image.translate, "affine": image.affine}
    labels = Labels(painted, name="Mine", **place)
    (rt,) = napari_files.write_rtstruct(str(tmp_path / "rt.dcm"), tuples(image, labels))
    (seg,) = napari_files.write_seg(str(tmp_path / "my.seg.dcm"), tuples(image, labels))
    contours = read_contours(rt)
    assert set(contours) == {"Mine 1", "Mine 7"}
    image_case = image.metadata[CASE]
    _, order = image_case.volume.grid.canonical()
    native = order.undo(painted)
    for label in (1, 7):  # by a point-in-polygon test that shares no code with ours
        assert np.array_equal(fill(contours[f"Mine {label}"], ct.affine, ct.hu.shape, union=True), native == label)
    outside = highdicom.seg.segread(seg)
    got = outside.get_volume(combine_segments=False)
    assert got.array.sum() == np.count_nonzero(painted)
    shutil.copy(rt, ct.folder / "rt.dcm")
    again = layers(ct.folder)[1]
    assert np.array_equal(np.isin(again.data, (1,)), painted == 1) and np.array_equal(again.data == 2, painted == 7)


def test_plastimatch_sees_what_was_painted(make_ct: MakeCt, tmp_path: Path) -> None:
    tool = shutil.which("plastimatch")
    if tool is None:
        pytest.skip("plastimatch isn't installed")
    ct = make_ct(tmp_path / "ct", (6, 32, 28))
    (image,) = layers(ct.folder)
    painted = np.zeros(image.data.shape, np.uint8)
    painted[1:4, 6:16, 5:14] = 1
    labels = Labels(painted, name="Mine", scale=image.scale, translate=image.translate)
    napari_files.write_rtstruct(str(tmp_path / "rt.dcm"), tuples(image, labels))
    arguments = ("--input", tmp_path / "rt.dcm", "--referenced-ct", ct.folder, "--output-prefix", tmp_path / "pm")
    subprocess.run([tool, "convert", *map(str, arguments), "--prefix-format", "mha"], capture_output=True, check=True)
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "pm" / "Mine.mha"))) > 0
    assert np.array_equal(found, painted == 1)


def test_what_was_not_touched_is_written_point_for_point(
    make_ct: MakeCt, make_rtstruct: Callable[..., Path], tmp_path: Path
) -> None:
    from phantoms import Roi

    ct = make_ct(tmp_path / "ct", (5, 32, 28))
    x, y = -31.5, -42.25
    ring = np.array([[x + 4.3, y + 5.1], [x + 15.2, y + 6.4], [x + 12.9, y + 19.8]])
    rings = [np.column_stack([ring, np.full(3, -50 + 3.0 * k)]) for k in (1, 2)]
    rois = [Roi("Kept", [("CLOSED_PLANAR", r, ct.image_uids[k]) for r, k in zip(rings, (1, 2), strict=True)])]
    make_rtstruct(ct.folder / "rt.dcm", ct, rois)
    image, labels = layers(ct.folder)
    assert labels.features["structure"][1] == "Kept"
    labels.data[2] = 0  # one slice of it is changed in napari, one is not
    napari_files.write_rtstruct(str(tmp_path / "new.dcm"), tuples(image, labels))
    (kept,) = read_contours(tmp_path / "new.dcm")["Kept"]
    assert np.allclose(kept, rings[0])


def test_training_case_of_any_image(tmp_path: Path) -> None:
    hu = np.random.default_rng(0).integers(-1000, 400, (5, 12, 10)).astype(np.int16)
    image, labels = Image(hu, scale=(3, 1, 1), name="scan"), Labels((hu > 300).astype(np.uint8), scale=(3, 1, 1))
    labels.name = "Bone"
    folder = tmp_path / "Dataset007_Test"
    written = napari_files.write_training(str(folder / "dataset.json"), tuples(image, labels))
    assert str(folder / "dataset.json") in written and (folder / "dataset.json").is_file()
    back = sitk.ReadImage(written[1])
    assert np.array_equal(sitk.GetArrayFromImage(back), hu > 300)
    assert np.allclose(back.GetSpacing(), (1, 1, 3))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda image, labels: tuples(labels), "which DICOM images"),
        (lambda image, labels: tuples(image, Labels(labels.data, scale=(1, 1, 1), name="L")), "another grid"),
        (lambda image, labels: tuples(image, empty(labels)), "no structures"),
    ],
)
def test_what_cannot_be_written_is_told(make_ct: MakeCt, tmp_path: Path, change: Callable, text: str) -> None:
    (image,) = layers(make_ct(tmp_path / "ct", (4, 24, 20)).folder)
    labels = Labels(np.ones(image.data.shape, np.uint8), scale=image.scale, translate=image.translate)
    with pytest.raises(UserError, match=text):
        napari_files.write_rtstruct(str(tmp_path / "rt.dcm"), change(image, labels))
    assert not (tmp_path / "rt.dcm").exists()
