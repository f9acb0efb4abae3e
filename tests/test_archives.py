"""Zip archives: read where they are, refused when they are not to be trusted; nothing is left on the disk."""

from __future__ import annotations

import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from dicom_steps import convert, error_of, load, only, series_of
from enhanced_phantoms import make_enhanced_ct
from phantoms import CtPhantom, Roi, make_ct, make_rtstruct, phantom_hu

from contourdesk.app.archives import fingerprint, members, open_binary
from contourdesk.app.dicom_read import read_series
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run

SQUARE = np.array([[2.0, 2, 0], [20, 2, 0], [20, 20, 0], [2, 20, 0]])


def pack(archive: Path, files: Sequence[Path], method: int = zipfile.ZIP_DEFLATED, folder: str = "CT") -> Path:
    with zipfile.ZipFile(archive, "w", method) as out:
        for path in files:
            out.write(path, f"{folder}/{path.name}" if folder else path.name)
    return archive


def series(folder: Path) -> tuple[CtPhantom, list[Path]]:
    ct = make_ct(folder)
    points = ct.affine[:3, 3] + SQUARE + ct.affine[:3, 0] * 4
    roi = Roi("Organ", [("CLOSED_PLANAR", points, ct.image_uids[4])])
    return ct, [*ct.files, make_rtstruct(folder / "rs.dcm", ct, [roi])]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["ct.zip", "export"])
def test_a_series_with_structures(tmp_path: Path, method: int, name: str) -> None:
    ct, files = series(tmp_path / "plain")
    archive = pack(tmp_path / name, files, method)
    shutil.rmtree(tmp_path / "plain")
    info = only(archive)
    assert info.usable and info.slices == 10 and info.files[0] == archive / "CT" / "slice000.dcm"
    assert info.rtstructs == (archive / "CT" / "rs.dcm",)
    case = run(read_series(info))
    assert np.array_equal(case.volume.array, ct.hu) and case.source.path == archive
    assert [s.name for s in case.structures] == ["Organ"] and case.structures.items[0].mask.count > 0
    assert case.source.header is not None and case.source.header.SOPInstanceUID == ct.image_uids[0]
    assert list(tmp_path.iterdir()) == [archive]


def test_blanked_uids_keep_their_name(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "plain", edit=lambda ds, k: setattr(ds, "SeriesInstanceUID", ""))
    archive = pack(tmp_path / "ct.zip", ct.files, folder="")
    assert load(archive).source.series_uid == load(tmp_path / "plain").source.series_uid


@pytest.mark.parametrize("deflated_inside", [False, True])
def test_a_multi_frame_object(tmp_path: Path, deflated_inside: bool) -> None:
    hu = phantom_hu((9, 40, 48))
    make_enhanced_ct(tmp_path / "plain" / "a", hu, order=[int(k) for k in np.random.default_rng(1).permutation(9)])
    if deflated_inside:
        convert("dcmconv", ["+td"], [tmp_path / "plain" / "a"])
    assert np.array_equal(load(pack(tmp_path / "ct.zip", [tmp_path / "plain" / "a"])).volume.array, hu)


def test_nothing_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = series(tmp_path / "plain")
    archive = pack(tmp_path / "ct.zip", files)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    job = read_series(only(archive))
    next(job)
    assert not list(scratch.iterdir())
    job.close()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_while_reading_it_leaves_nothing(tmp_path: Path) -> None:
    _, files = series(tmp_path / "plain")
    archive, scratch = pack(tmp_path / "ct.zip", files), tmp_path / "scratch"
    scratch.mkdir()
    code = (
        "import sys, os, signal\nfrom pathlib import Path\n"
        "from contourdesk.app.opening import open_path\nfrom contourdesk.app.dicom_read import read_series\n"
        "from contourdesk.app.jobs import run\n"
        "(info,) = run(open_path(Path(sys.argv[1])))\nnext(read_series(info))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(archive)], env={**os.environ, "TMPDIR": str(scratch)}, check=False
    )
    assert done.returncode == -signal.SIGKILL and not list(scratch.iterdir())


# --- what can't be trusted


def test_names_that_lead_out(tmp_path: Path) -> None:
    for n, name in enumerate(["../evil.dcm", "a/../../evil.dcm", "/etc/evil.dcm", "..\\evil.dcm", "C:\\evil.dcm"]):
        archive = tmp_path / f"{n}.zip"
        with zipfile.ZipFile(archive, "w") as out:
            out.writestr(zipfile.ZipInfo(name), b"x")
        assert "a file whose name leads out of it" in error_of(archive)
    assert {p.name for p in tmp_path.iterdir()} == {f"{n}.zip" for n in range(5)}


def test_encrypted(tmp_path: Path) -> None:
    archive = pack(tmp_path / "ct.zip", make_ct(tmp_path / "plain", (1, 8, 8)).files)
    data = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    archive.write_bytes(data)
    text = error_of(archive)
    assert "ct.zip is encrypted" in text and "password" in text


def test_other_methods_of_packing(tmp_path: Path) -> None:
    archive = pack(tmp_path / "ct.zip", make_ct(tmp_path / "plain", (1, 8, 8)).files, zipfile.ZIP_LZMA)
    assert "packed by a method (number 14) that can't be read" in error_of(archive)


def test_a_bomb(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out, out.open("CT/a.dcm", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))
    tracemalloc.start()
    text = error_of(archive)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "bomb.zip would unpack to 1 files of 0.3 GiB" in text and peak < 10 << 20


def test_overlapping_files(tmp_path: Path) -> None:
    """Many entries for the same packed bytes, as the bombs of this kind have."""
    archive = pack(tmp_path / "ct.zip", make_ct(tmp_path / "plain", (1, 8, 8)).files)
    data = archive.read_bytes()
    begin, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[begin:end]
    other = entry.replace(b"slice000", b"slice001")
    tail = bytearray(data[end:])
    struct.pack_into("<HHII", tail, 8, 2, 2, 2 * len(entry), begin)
    archive.write_bytes(data[:begin] + entry + other + tail)
    assert "its files overlap" in error_of(archive)


def test_two_files_of_one_name(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "plain", (2, 8, 8))
    archive = tmp_path / "ct.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(ct.files[0], "CT/same.dcm")
        out.writestr(zipfile.ZipInfo("CT/./same.dcm"), ct.files[1].read_bytes())
    assert 'ct.zip holds two files called "CT/same.dcm"' in error_of(archive)


# --- damage


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_is_found_by_the_checksum(tmp_path: Path, method: int) -> None:
    ct = make_ct(tmp_path / "plain")
    archive = pack(tmp_path / "ct.zip", ct.files, method)
    data = bytearray(archive.read_bytes())
    at = data.index(b"CT/slice006.dcm") - 200  # near the end of the slice before
    data[at] ^= 0x10
    archive.write_bytes(data)
    assert "slice005.dcm" in error_of(archive) and "damaged" in error_of(archive)


def test_cut_short(tmp_path: Path) -> None:
    archive = pack(tmp_path / "ct.zip", make_ct(tmp_path / "plain").files)
    data = archive.read_bytes()
    for length in (len(data) // 2, len(data) - 30, 60):
        archive.write_bytes(data[:length])
        assert "ct.zip can't be read as a zip archive; it may be cut short" in error_of(archive)


def test_any_damage_ends_in_a_message_or_the_same_image(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "plain", (3, 8, 9))
    archive = pack(tmp_path / "ct.zip", ct.files)
    whole, rng, refused = archive.read_bytes(), np.random.default_rng(3), 0
    for _ in range(60):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
        archive.write_bytes(data)
        try:
            assert np.array_equal(run(read_series(series_of(archive)[0])).volume.array, ct.hu)
        except UserError:
            refused += 1
    assert refused > 20


def test_changed_after_the_scan(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "plain")
    archive = pack(tmp_path / "ct.zip", ct.files)
    info = only(archive)
    pack(archive, make_ct(tmp_path / "other", hu=(ct.hu + 1).astype(np.int16)).files)
    with pytest.raises(UserError, match="has changed since the folder was read"):
        run(read_series(info))


def test_without_dicom_or_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    text = error_of(pack(tmp_path / "text.zip", [tmp_path / "a.txt"]))
    assert 'no DICOM images in "text.zip"' in text and "a.txt" in text
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert '"empty.zip" is empty' in error_of(tmp_path / "empty.zip")


# --- the streams


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_stream_can_be_sought_in(tmp_path: Path, method: int) -> None:
    rng = np.random.default_rng(0)
    content = rng.integers(0, 4, 300_000).astype("u1").tobytes()
    (tmp_path / "a").write_bytes(content)
    pack(tmp_path / "x.zip", [tmp_path / "a"], method)
    plain = io.BytesIO(content)
    with open_binary(tmp_path / "x.zip" / "CT" / "a") as stream:
        for _ in range(60):
            at, count = int(rng.integers(len(content) + 10)), int(rng.integers(1, 90_000))
            assert stream.seek(at) == min(plain.seek(at), len(content))
            assert stream.read(count) == plain.read(count)
        assert stream.seek(0, os.SEEK_END) == len(content) and stream.read() == b""


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    archive = pack(tmp_path / "x.zip", [tmp_path / "a"])
    assert members(archive) == [archive / "CT" / "a"] and fingerprint(archive / "CT" / "a")[0] == 1
    for path in (archive / "CT" / "b", tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError):
            open_binary(path)
        with pytest.raises(OSError, match=r"(b|nowhere)'$"):
            fingerprint(path)
