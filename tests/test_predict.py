"""Prediction: nnU-Net's own labels, on the image's own grid however it lies, and a job that can be stopped."""

import gc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter
from tiny_model import make_model

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Progress, run
from contourdesk.app.volume import Volume
from contourdesk.inference import predict as module
from contourdesk.inference.device import choose_device, describe
from contourdesk.inference.nnunet import Model, load_model
from contourdesk.inference.predict import predict

SHAPE, SPACING = (22, 40, 36), (2.2, 1.9, 2.4)


def phantom(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Smooth noise between air and bone, with air outside a box that nnU-Net's crop would not cut."""
    noise = gaussian_filter(np.random.default_rng(4).normal(0, 1, shape), 2)
    hu = np.clip(noise / noise.std() * 250, -900, 1500).astype(np.int16)
    hu[hu == 0] = 1
    hu[:2] = 0
    hu[:, :, -3:] = 0  # both cut off by the crop to what is not zero
    return hu


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp("model") / "tiny"))


def label_map(structures, shape: tuple[int, int, int]) -> np.ndarray:
    out = np.zeros(shape, np.uint8)
    for number, structure in enumerate(structures, 1):
        out[structure.mask.dense(shape)] = number
    return out


def segment(hu: np.ndarray, model: Model, spacing=SPACING, **options) -> np.ndarray:
    volume = Volume(Grid.from_spacing(hu.shape, spacing), hu)
    return label_map(run(predict(volume, model, "cpu", **options)), hu.shape)


def nnunet_labels(folder: Path, hu: np.ndarray, spacing, tmp_path: Path) -> np.ndarray:
    """What nnU-Net's own predictor says, without mirroring, on the CPU."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(tmp_path / "case_0000.nii.gz"))
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), use_folds=None)
    array, properties = SimpleITKIO().read_images([str(tmp_path / "case_0000.nii.gz")])
    return predictor.predict_single_npy_array(array, properties)


class _SinglePrecision:
    half = torch.float32

    def __getattr__(self, name: str):
        return getattr(torch, name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # nnU-Net's own
@pytest.mark.parametrize(
    ("spacing", "plan"),
    [
        (SPACING, {}),
        ((3.0, 2.5, 2.0), {}),  # the network's own spacing: nothing is resampled
        ((7.0, 1.9, 1.8), {}),  # slices so thick that nnU-Net resamples them apart
        (SPACING, {"spacing_mm": (6.0, 1.5, 1.5), "patch_size": (16, 32, 24)}),
    ],
)
def test_labels_are_nnunets(spacing, plan: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """nnU-Net adds up in half precision, which decides near ties by rounding; a random network has many. Told to add
    up in single precision as we do, it must agree.
    """
    from nnunetv2.inference import predict_from_raw_data

    monkeypatch.setattr(predict_from_raw_data, "torch", _SinglePrecision())
    weights = partial(predict_from_raw_data.compute_gaussian, dtype=torch.float32)
    monkeypatch.setattr(predict_from_raw_data, "compute_gaussian", weights)
    folder = make_model(tmp_path / "model", **plan)
    hu = phantom()
    theirs = nnunet_labels(folder, hu, spacing, tmp_path)
    ours = segment(hu, load_model(folder), spacing)
    assert len(np.unique(theirs)) >= 3
    agreement = (ours == theirs).mean()
    print(f"agreement {agreement:.6f}, {np.count_nonzero(ours != theirs)} of {ours.size} voxels differ")
    assert agreement >= 0.9999


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_labels_of_the_bundled_model_are_unmodified_nnunets(shared_data: Path, tmp_path: Path):
    folder = Path(__file__).resolve().parents[1] / "resources" / "models" / "headneck"
    if not folder.is_dir():
        pytest.skip("no bundled model")
    image = sitk.ReadImage(str(shared_data / "headneck" / "imagesTs" / "HN_242_0000.nii.gz"))
    hu, spacing = sitk.GetArrayFromImage(image), image.GetSpacing()[::-1]
    theirs = nnunet_labels(folder, hu, spacing, tmp_path)
    assert (segment(hu, load_model(folder), spacing) == theirs).mean() >= 0.9999


ORIENTATIONS = {
    "feet first": ((0, 1, 2), (True, False, False)),
    "turned": ((0, 1, 2), (False, True, True)),
    "sagittal": ((2, 0, 1), (False, True, False)),
    "coronal": ((1, 0, 2), (True, False, True)),
}


@pytest.mark.parametrize("how", ORIENTATIONS)
def test_it_does_not_matter_how_the_array_lies(how: str, model: Model):
    hu = phantom()
    straight = segment(hu, model)
    permutation, flips = ORIENTATIONS[how]
    axes = [a for a, flip in enumerate(flips) if flip]
    grid = Grid.from_spacing(hu.shape, SPACING, (-20, 30, 100))
    affine = grid.affine[:, [*permutation, 3]].copy()
    shape = tuple(grid.shape[a] for a in permutation)
    for a in axes:
        affine[:3, 3] += affine[:3, a] * (shape[a] - 1)
        affine[:3, a] *= -1
    turned = Volume(Grid(shape, affine), np.flip(hu.transpose(permutation), axes))
    labels = label_map(run(predict(turned, model, "cpu")), shape)
    assert np.array_equal(labels, np.flip(straight.transpose(permutation), axes))
    assert len(np.unique(labels)) == 4


def test_what_a_structure_says_of_its_origin(model: Model):
    grid = Grid.from_spacing(SHAPE, SPACING)
    structures = run(predict(Volume(grid, phantom()), model, "cpu"))
    assert [s.name for s in structures] == ["Brainstem", "Parotid_R", "Bone_Mandible"]
    assert len({s.colour for s in structures}) == 3
    origin = structures[0].provenance
    assert (origin.source, origin.model, origin.weights_sha256) == ("model", "tiny", model.weights_sha256)
    assert origin.software.startswith("Contourdesk ")
    assert origin.time.endswith("+00:00")


def test_nothing_found_is_an_empty_structure(model: Model):
    hu = np.zeros((4, 5, 6), np.int16)
    structures = run(predict(Volume(Grid.from_spacing(hu.shape, (3, 3, 3)), hu), model, "cpu"))
    assert len(structures) == 3
    assert all(s.mask.dense(hu.shape).shape == hu.shape for s in structures)


@pytest.mark.parametrize("shape", [(1, 30, 30), (3, 3, 3), (1, 1, 1)])
def test_small_images(shape: tuple[int, int, int], model: Model):
    hu = np.full(shape, 40, np.int16)
    assert len(run(predict(Volume(Grid.from_spacing(shape, (1, 0.5, 0.5)), hu), model, "cpu"))) == 3


def test_a_transposed_model(tmp_path: Path):
    folder = make_model(tmp_path / "model")
    plans = (folder / "plans.json").read_text()
    plans = plans.replace('"transpose_forward": [0, 1, 2]', '"transpose_forward": [2, 0, 1]')
    (folder / "plans.json").write_text(plans)
    hu = phantom()
    turned = segment(
        np.ascontiguousarray(hu.transpose(2, 0, 1)), load_model(make_model(tmp_path / "b")), (2.4, 2.2, 1.9)
    )
    assert np.array_equal(segment(hu, load_model(folder)).transpose(2, 0, 1), turned)


def test_progress_names_the_patch_and_the_time_left(model: Model):
    steps: list[Progress] = []
    run(predict(Volume(Grid.from_spacing(SHAPE, SPACING), phantom()), model, "cpu"), steps.append)
    patches = [s for s in steps if "patch" in s.text]
    assert [s.done for s in patches] == list(range(1, patches[0].total + 1))
    assert any("left" in s.text for s in patches)


def test_closing_stops_it_and_frees_memory(model: Model):
    volume = Volume(Grid.from_spacing(SHAPE, SPACING), phantom())
    job = predict(volume, model, "cpu")
    while "patch 2" not in next(job).text:
        pass
    before = sum(type(o) is torch.Tensor for o in gc.get_objects())
    job.close()
    gc.collect()
    assert sum(type(o) is torch.Tensor for o in gc.get_objects()) < before


def test_an_image_that_is_no_ct(model: Model):
    volume = Volume(Grid.from_spacing((4, 4, 4), (1, 1, 1)), np.zeros((4, 4, 4)), unit="")
    with pytest.raises(UserError, match="not a CT"):
        run(predict(volume, model))


def test_out_of_memory_tries_the_next_way(model: Model, monkeypatch: pytest.MonkeyPatch):
    cpu = torch.device("cpu")
    real, calls = module._logits, []

    def logits(*args):
        calls.append(args)
        if len(calls) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*args)

    monkeypatch.setattr(module, "_logits", logits)
    monkeypatch.setattr(module, "_attempts", lambda device: [(cpu, cpu)] * 3)
    assert len(run(predict(Volume(Grid.from_spacing(SHAPE, SPACING), phantom()), model, "cpu"))) == 3
    assert len(calls) == 3


def test_out_of_memory_everywhere_is_said_plainly(model: Model, monkeypatch: pytest.MonkeyPatch):
    def logits(*args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(module, "_logits", logits)
    with pytest.raises(UserError, match="not enough memory"):
        run(predict(Volume(Grid.from_spacing(SHAPE, SPACING), phantom()), model, "cpu"))


def test_a_bug_is_not_taken_for_lack_of_memory(model: Model, monkeypatch: pytest.MonkeyPatch):
    def logits(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(module, "_logits", logits)
    with pytest.raises(RuntimeError, match="mat1"):
        run(predict(Volume(Grid.from_spacing(SHAPE, SPACING), phantom()), model, "cpu"))


def test_ways_to_run():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert module._attempts(cuda) == [(cuda, cuda), (cuda, cpu), (cpu, cpu)]
    assert module._attempts(cpu) == [(cpu, cpu)]


def test_devices():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto") == choose_device(None)
    assert "processor" in describe(torch.device("cpu"))
    with pytest.raises(UserError, match="not a device"):
        choose_device("toaster")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no device 'cuda'"):
            choose_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_processor(model: Model):
    hu = phantom()
    volume = Volume(Grid.from_spacing(hu.shape, SPACING), hu)
    on_card = label_map(run(predict(volume, model, "cuda")), hu.shape)
    assert (on_card == segment(hu, model)).mean() > 0.98  # half precision on the card
