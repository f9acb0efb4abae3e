"""Prediction: nnU-Net's own labels, on the image's own grid however it lies, and a job that can be stopped."""

import gc
import subprocess
import sys
from dataclasses import replace
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
from contourdesk.inference import device_lock, forward
from contourdesk.inference.device import choose_device, describe
from contourdesk.inference.nnunet import Model, load_model
from contourdesk.inference.options import Options, box_from_mm
from contourdesk.inference.postprocess import KeepLargest, apply_steps
from contourdesk.inference.predict import predict
from contourdesk.inference.quick import quick

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
    """What nnU-Net's own predictor says, on the CPU."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(tmp_path / "case_0000.nii.gz"))
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), use_folds=None)
    array, properties = SimpleITKIO().read_images([str(tmp_path / "case_0000.nii.gz")])
    return predictor.predict_single_npy_array(array, properties)


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


class Hungry(torch.nn.Module):
    """A network that runs out of memory as often as it is told, or whenever windows come in batches."""

    def __init__(self, network: torch.nn.Module, times: int = 0, message: str = "", most: int = 99):
        super().__init__()
        self.network, self.times, self.message, self.most = network, times, message, most
        self.batches: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        if self.times or len(x) > self.most:
            self.times = max(0, self.times - 1) if self.times > 0 else self.times
            raise RuntimeError(self.message) if self.message else torch.OutOfMemoryError("CUDA out of memory")
        return self.network(x)


def hungry(model: Model, **options) -> tuple[Model, Hungry]:
    network = Hungry(model.networks[0], **options)
    return replace(model, networks=(network,)), network


def test_out_of_memory_takes_smaller_batches_and_says_so(model: Model):
    hu = phantom()
    volume = Volume(Grid.from_spacing(hu.shape, SPACING), hu)
    starved, network = hungry(model, most=1)
    texts: list[str] = []
    found = run(predict(volume, starved, "cpu", Options(batch=3)), lambda step: texts.append(step.text))
    assert max(network.batches) == 3
    assert any("ran out of memory" in note for note in found.notes)
    assert any("ran out of memory" in text for text in texts)
    assert np.array_equal(label_map(found, hu.shape), segment(hu, model))


def test_out_of_memory_everywhere_is_said_plainly(model: Model):
    starved, _ = hungry(model, times=-1, message="DefaultCPUAllocator: can't allocate memory: you tried 99 bytes")
    with pytest.raises(UserError, match="not enough memory"):
        run(predict(Volume(Grid.from_spacing(SHAPE, SPACING), phantom()), starved, "cpu"))


def test_a_bug_is_not_taken_for_lack_of_memory(model: Model):
    broken, _ = hungry(model, times=1, message="mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1"):
        run(predict(Volume(Grid.from_spacing(SHAPE, SPACING), phantom()), broken, "cpu"))


def test_memory_is_looked_at_before_the_run(model: Model, monkeypatch: pytest.MonkeyPatch):
    texts: list[str] = []
    volume = Volume(Grid.from_spacing(SHAPE, SPACING), phantom())
    run(predict(volume, model, "cpu"), lambda step: texts.append(step.text))
    assert any(text.startswith("Needs about") for text in texts)
    monkeypatch.setattr(forward, "free_main_memory", lambda: 2**20)
    with pytest.raises(UserError, match=r"1 MB are free"):
        run(predict(volume, model, "cpu"))


def test_ways_to_run(monkeypatch: pytest.MonkeyPatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    mb = 2**20
    need = forward.Need(weights=100 * mb, window=100 * mb, sums=50 * mb, main=mb)
    free = {1000 * mb: [(cuda, cuda, 4), (cuda, cuda, 1), (cuda, cpu, 1), (cpu, cpu, 1), (cpu, cpu, 1)]}
    free[220 * mb] = [(cuda, cpu, 1), (cpu, cpu, 1), (cpu, cpu, 1)]
    free[150 * mb] = [(cpu, cpu, 1), (cpu, cpu, 1)]
    for size, wanted in free.items():
        monkeypatch.setattr(forward, "free_bytes", lambda device, size=size: size)
        assert [(w.run_on, w.keep_on, w.batch) for w in forward.ways(cuda, need)] == wanted
    assert [(w.run_on, w.batch) for w in forward.ways(cpu, need, 2)] == [(cpu, 2), (cpu, 1), (cpu, 1)]


def test_numbers_too_large_for_half_precision(model: Model):
    class Loud(torch.nn.Module):
        def __init__(self, network: torch.nn.Module):
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x) * 1e5

    loud = replace(model, networks=(Loud(model.networks[0]),))
    hu = phantom()
    found = run(predict(Volume(Grid.from_spacing(hu.shape, SPACING), hu), loud, "cpu"))
    assert any("single precision" in note for note in found.notes)
    assert (label_map(found, hu.shape) == segment(hu, model)).mean() > 0.99


def test_organs_and_a_box(model: Model):
    hu = phantom()
    volume = Volume(Grid.from_spacing(hu.shape, SPACING, (5, 6, 7)), hu)
    whole = run(predict(volume, model, "cpu"))
    some = run(predict(volume, model, "cpu", Options(organs=("Mandible", "Parotid_R"))))
    assert [s.name for s in some] == ["Parotid_R", "Bone_Mandible"]
    assert some[0].mask.equals(whole[1].mask)
    with pytest.raises(UserError, match="does not know 'Heart'"):
        run(predict(volume, model, "cpu", Options(organs=("Heart",))))
    box = box_from_mm(volume.grid, volume.grid.to_world((5, 12, 4)), volume.grid.to_world((11, 20, 30)))
    assert box == (slice(5, 12), slice(12, 21), slice(4, 31))
    steps: list[Progress] = []
    part = run(predict(volume, model, "cpu", Options(box=box)), steps.append)
    inside = np.zeros(hu.shape, bool)
    inside[box] = True
    assert np.array_equal(label_map(part, hu.shape), label_map(whole, hu.shape) * inside)
    outside = Options(box=(slice(0, 1), slice(0, 1), slice(0, 1)))  # cut off by the crop
    assert all(s.mask.is_empty for s in run(predict(volume, model, "cpu", outside)))


@pytest.mark.parametrize("how", ["stored", "sagittal"])
def test_probabilities_are_kept_and_a_threshold_can_be_moved(how: str, model: Model):
    hu = phantom()
    permutation = ORIENTATIONS[how][0] if how in ORIENTATIONS else (0, 1, 2)
    grid = Grid.from_spacing(hu.shape, SPACING)
    affine = grid.affine[:, [*permutation, 3]].copy()
    turned = Volume(Grid(tuple(hu.shape[a] for a in permutation), affine), hu.transpose(permutation))
    found = run(predict(turned, model, "cpu", Options(probabilities=True)))
    assert found.confidence
    for structure in found:
        if structure.id not in found.confidence:
            assert structure.mask.is_empty
            continue
        kept = found.confidence[structure.id]
        shape = turned.grid.shape
        half, mine = kept.mask(0.51).dense(shape), structure.mask.dense(shape)
        assert (half <= mine).all()
        assert kept.mask(0.2).count >= kept.mask(0.5).count
        chance = np.zeros(shape, np.uint8)
        chance[kept.box] = kept.values
        assert chance[mine].min() >= 255 // 4 - 1  # the largest of four


def test_mirroring_can_be_left_out(model: Model):
    hu = phantom()
    volume = Volume(Grid.from_spacing(hu.shape, SPACING), hu)
    mirrored = replace(model, mirror_axes=(0, 1, 2))
    steps: dict[bool, list[Progress]] = {True: [], False: []}
    found = {on: run(predict(volume, mirrored, "cpu", Options(mirroring=on)), steps[on].append) for on in steps}
    assert max(s.total for s in steps[True]) == 8 * max(s.total for s in steps[False])
    assert np.array_equal(label_map(found[False], hu.shape), segment(hu, model))
    assert not np.array_equal(label_map(found[True], hu.shape), segment(hu, model))


def test_parts_of_one_list(model: Model, tmp_path: Path):
    other = load_model(make_model(tmp_path / "other", {"Larynx": 1, "Mandible": 2}, seed=9))
    hu = phantom()
    volume = Volume(Grid.from_spacing(hu.shape, SPACING), hu)
    steps: list[Progress] = []
    found = run(predict(volume, [model, other], "cpu"), steps.append)
    assert [s.name for s in found] == ["Brainstem", "Parotid_R", "Mandible", "Larynx", "Mandible"]
    assert found[0].provenance.weights_sha256 != found[3].provenance.weights_sha256
    assert any(s.text.startswith("Part 2 of 2") for s in steps)
    assert [s.done for s in steps if "Part" in s.text] == sorted(s.done for s in steps if "Part" in s.text)
    only = run(predict(volume, [model, other], "cpu", Options(organs=("Larynx",))))
    assert [s.name for s in only] == ["Larynx"]


def test_an_image_that_is_turned_as_the_reader_of_the_training_did(model: Model):
    hu = phantom()
    volume = Volume(Grid.from_spacing(hu.shape, SPACING), hu)
    flipped = Volume(Grid.from_spacing(hu.shape, SPACING), np.flip(hu, (1, 2)))
    found = run(predict(volume, model, "cpu", Options(orientation="RAS")))
    assert np.array_equal(label_map(found, hu.shape), np.flip(segment(np.asarray(flipped.array), model), (1, 2)))


def test_two_runs_never_share_a_graphics_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_lock, "lock_path", lambda device: tmp_path / "lock")
    monkeypatch.setattr(device_lock, "_WAIT_SECONDS", 0)
    cuda = torch.device("cuda")
    first = run(device_lock.wait_for(cuda))
    waiting = device_lock.wait_for(cuda)
    assert "another run" in next(waiting).text
    assert "another run" in next(waiting).text
    first.close()
    second = run(waiting)
    code = "import sys, fcntl; fcntl.flock(open(sys.argv[1], 'ab'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], capture_output=True, check=False)
    assert other.returncode != 0
    second.close()
    assert run(device_lock.wait_for(torch.device("cpu"))) is None


def test_values_that_are_no_numbers(model: Model):
    hu = phantom().astype(np.float32)
    hu[5, 5, 5] = np.nan
    with pytest.raises(UserError, match="no numbers"):
        run(predict(Volume(Grid.from_spacing(hu.shape, SPACING), hu), model, "cpu"))


def test_postprocessing_is_applied_and_can_be_left_out(model: Model):
    hu = phantom()
    hu[:, 20] = -900  # a wall of air that most structures end at
    before = segment(hu, model)
    tidy = replace(model, postprocessing=(KeepLargest((1, 2, 3)), KeepLargest((2,)), KeepLargest((3,))))
    wanted = before[None].copy()[0]
    apply_steps(wanted, model.structures, tidy.postprocessing)
    assert np.array_equal(segment(hu, tidy), wanted)
    volume = Volume(Grid.from_spacing(hu.shape, SPACING), hu)
    without = run(predict(volume, tidy, "cpu", Options(postprocessing=False)))
    assert np.array_equal(label_map(without, hu.shape), before)
    part = run(predict(volume, tidy, "cpu", Options(box=(slice(2, 9), slice(0, 40), slice(0, 36)))))
    assert any("not applied to a part" in note for note in part.notes)


def test_the_quick_ways_are_the_same(model: Model):
    network = model.networks[0]
    x = torch.rand((2, 1, 16, 24, 20))
    with torch.inference_mode():
        plain = network(x)
        with quick(model.networks, torch.device("cpu")):
            torch.testing.assert_close(network(x), plain, rtol=1e-4, atol=1e-4)
        assert torch.equal(network(x), plain)


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
