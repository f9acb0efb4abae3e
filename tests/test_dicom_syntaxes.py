"""Every transfer syntax: encoded by other programs, compared with what was encoded or with other decoders."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_steps import by_simpleitk, convert, encode, error_of, load, series_of, stored_as, syntax_of
from numpy.typing import NDArray
from openjpeg.utils import decode, encode_array
from phantoms import make_ct
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import _PIXEL_DATA_DECODERS

from contourdesk.app.dicom_syntaxes import COMPRESSED, NATIVE

KINDS = {"8": (8, 8, False), "12": (16, 12, False), "12 signed": (16, 12, True), "16": (16, 16, False),
         "16 signed": (16, 16, True)}  # fmt: skip
LOSSLESS = [
    ("dcmcjpeg", ["+e1"], uid.JPEGLosslessSV1),
    *(("dcmcjpeg", ["+el", "+sv", str(n)], uid.JPEGLossless) for n in (1, 4, 7)),
    ("dcmcjpls", ["+el"], uid.JPEGLSLossless),
    ("dcmcrle", [], uid.RLELossless),
    ("dcmconv", ["+td"], uid.DeflatedExplicitVRLittleEndian),
    ("dcmconv", ["+tb"], uid.ExplicitVRBigEndian),
    ("dcmconv", ["+ti"], uid.ImplicitVRLittleEndian),
]
LOSSY = [
    ("8", "dcmcjpeg", ["+eb"], uid.JPEGBaseline8Bit),
    ("8", "dcmcjpeg", ["+ee"], uid.JPEGExtended12Bit),
    ("12", "dcmcjpeg", ["+ee"], uid.JPEGExtended12Bit),
    ("8", "dcmcjpls", ["+en"], uid.JPEGLSNearLossless),
    ("12", "dcmcjpls", ["+en"], uid.JPEGLSNearLossless),
    ("16", "dcmcjpls", ["+en"], uid.JPEGLSNearLossless),
]


def truth(files: Sequence[Path]) -> NDArray[np.float64]:
    """HU by pydicom, of files that aren't compressed."""
    datasets = [pydicom.dcmread(f) for f in files]
    return np.stack([ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in datasets])


def test_all_that_pydicom_knows_are_read() -> None:
    assert set(_PIXEL_DATA_DECODERS) <= {uid.UID(syntax) for syntax in NATIVE | COMPRESSED}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tool", "options", "syntax"), LOSSLESS, ids=[f"{t[0]}{''.join(t[1])}" for t in LOSSLESS])
def test_lossless(tmp_path: Path, kind: str, tool: str, options: list[str], syntax: str) -> None:
    ct = make_ct(tmp_path, (2, 41, 56), edit=stored_as(*KINDS[kind]))
    expected = truth(ct.files)
    if kind == "8" and "+tb" in options:
        convert(tool, options, ct.files)
        assert "8-bit pixels in big-endian words" in error_of(tmp_path)
        return
    convert(tool, options, ct.files)
    assert syntax_of(ct.files[0]) == syntax
    assert np.array_equal(load(tmp_path).volume.array, expected)


@pytest.mark.parametrize(("kind", "tool", "options", "syntax"), LOSSY, ids=[f"{t[0]}{t[2][0]}" for t in LOSSY])
def test_lossy_as_another_decoder_has_it(tmp_path: Path, kind: str, tool: str, options: list[str], syntax: str) -> None:
    ct = make_ct(tmp_path, (2, 41, 56), edit=stored_as(*KINDS[kind]))
    before = truth(ct.files)
    convert(tool, options, ct.files)
    assert syntax_of(ct.files[0]) == syntax
    found, (expected, _) = load(tmp_path).volume.array.astype(float), by_simpleitk(ct.files)
    # Decoders may round the cosine transform differently, by one step of what is stored.
    assert np.abs(found - expected).max() <= (0 if tool == "dcmcjpls" else 1)
    assert np.abs(found - before).max() <= (2 if tool == "dcmcjpls" else 0.1 * np.ptp(before))


def openjpeg_lossless(values: NDArray[np.generic], ds: Dataset) -> bytes:
    return bytes(encode_array(values, bits_stored=ds.BitsStored, codec_format=0))


def openjpeg_lossy(values: NDArray[np.generic], ds: Dataset) -> bytes:
    return bytes(encode_array(values, bits_stored=ds.BitsStored, compression_ratios=[4], codec_format=0))


def high_throughput(values: NDArray[np.generic], ds: Dataset) -> bytes:
    return bytes(imagecodecs.htj2k_encode(values, reversible=True))


def high_throughput_lossy(values: NDArray[np.generic], ds: Dataset) -> bytes:
    return bytes(imagecodecs.htj2k_encode(values, level=0.001, reversible=False))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("encoder", "syntaxes"),
    [
        (openjpeg_lossless, [uid.JPEG2000Lossless, uid.JPEG2000]),
        (openjpeg_lossy, [uid.JPEG2000]),
        (high_throughput, [uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K]),
        (high_throughput_lossy, [uid.HTJ2K]),
    ],
)
def test_jpeg_2000(
    tmp_path: Path, kind: str, encoder: Callable[[NDArray[np.generic], Dataset], bytes], syntaxes: list[str]
) -> None:
    for syntax in syntaxes:
        ct = make_ct(tmp_path / syntax, (2, 41, 56), edit=stored_as(*KINDS[kind]))
        before = truth(ct.files)
        encode(ct.files, syntax, encoder)
        found = load(tmp_path / syntax).volume.array.astype(float)
        datasets = [pydicom.dcmread(f) for f in ct.files]
        frames = [next(generate_frames(ds.PixelData, number_of_frames=1)) for ds in datasets]
        other = imagecodecs.htj2k_decode if "throughput" in encoder.__name__ else decode
        expected = np.stack([other(f).astype(float) for f in frames]) + float(datasets[0].RescaleIntercept)
        if "lossy" in encoder.__name__:
            # Different decoders of the irreversible wavelet may differ by rounding.
            assert np.abs(found - expected).max() <= (2 if "16" in kind else 1) and np.abs(
                found - before
            ).max() <= 0.15 * np.ptp(before)
        else:
            assert np.array_equal(found, expected) and np.array_equal(found, before)


def test_two_s_complement_in_unsigned_jpeg_2000(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (1, 41, 56), edit=stored_as(16, 12, True))
    expected = truth(ct.files)
    encode(ct.files, uid.JPEG2000Lossless, lambda v, ds: openjpeg_lossless(v.astype(np.uint16) & 0xFFF, ds))
    assert np.array_equal(load(tmp_path).volume.array, expected)


def test_signed_jpeg_2000_in_a_file_that_says_unsigned(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (1, 41, 56), edit=stored_as(16, 12, True))
    encode(ct.files, uid.JPEG2000Lossless, openjpeg_lossless)
    ds = pydicom.dcmread(ct.files[0])
    ds.PixelRepresentation = 0
    ds.save_as(ct.files[0])
    text = error_of(tmp_path)
    assert "slice000.dcm says that its values are unsigned" in text and "JPEG 2000" in text


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.55", "JPEG Full Progression"),
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile"),
        ("1.2.840.113619.5.2", "an unknown transfer syntax"),
        ("1.2.3.4.5", "an unknown transfer syntax (1.2.3.4.5)"),
    ],
)
def test_what_can_not_be_decoded_is_named(tmp_path: Path, syntax: str, words: str) -> None:
    ct = make_ct(tmp_path, (1, 8, 8))
    for path in ct.files:
        data = path.read_bytes()
        old = b"1.2.840.10008.1.2.1\0"
        new = syntax.encode() + b"\0" * (len(syntax) % 2)
        at = data.index(old)
        size = int.from_bytes(data[140:144], "little") + len(new) - len(old)
        data = data[: at - 2] + len(new).to_bytes(2, "little") + new + data[at + len(old) :]
        path.write_bytes(data[:140] + size.to_bytes(4, "little") + data[144:])
    text = error_of(tmp_path)
    assert "slice000.dcm holds pixels stored as" in text and words in text and syntax in text


def test_many_fragments_and_no_delimiter(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (2, 41, 56), edit=stored_as(16, 12, False))
    expected = truth(ct.files)
    for path in ct.files:
        ds = pydicom.dcmread(path)
        code = openjpeg_lossless(ds.pixel_array, ds)
        ds.PixelData = encapsulate([code], fragments_per_frame=5, has_bot=True)
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
        ds.save_as(path)
    ct.files[0].write_bytes(ct.files[0].read_bytes().removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0"))
    assert np.array_equal(load(tmp_path).volume.array, expected)


def test_compressed_image_of_another_size(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (1, 41, 56), edit=stored_as(16, 12, False))
    encode(ct.files, uid.JPEG2000Lossless, lambda v, ds: openjpeg_lossless(np.ascontiguousarray(v[:40]), ds))
    assert "slice000.dcm holds a compressed image of 40 × 56 × 1 pixels where its header has 41 × 56" in error_of(
        tmp_path
    )


@pytest.mark.parametrize("tool", ["dcmcjpeg", "dcmcjpls", "dcmcrle", "openjpeg", "dcmconv +td"])
def test_truncated_compressed_pixels_are_named(tmp_path: Path, tool: str) -> None:
    ct = make_ct(tmp_path, (2, 41, 56), edit=stored_as(16, 12, False))
    if tool == "openjpeg":
        encode(ct.files, uid.JPEG2000Lossless, openjpeg_lossless)
    else:
        convert(tool.split()[0], tool.split()[1:], ct.files)
    data = ct.files[1].read_bytes()
    ct.files[1].write_bytes(data[: len(data) * 3 // 4])
    text = error_of(tmp_path)
    assert "slice001.dcm" in text and "cut short" in text


def test_a_deflated_file_is_not_inflated_into_memory(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (1, 8, 8))
    ds = pydicom.dcmread(ct.files[0])
    ds.private_block(0x0009, "BOMB", create=True).add_new(1, "OB", bytes(200 << 20))
    ds.save_as(tmp_path / "plain")
    data = (tmp_path / "plain").read_bytes()
    (tmp_path / "plain").unlink()
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(wbits=-15)
    meta = data[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    meta = meta.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99")
    meta = meta[:140] + (int.from_bytes(meta[140:144], "little") + 2).to_bytes(4, "little") + meta[144:]
    ct.files[0].write_bytes(meta + packer.compress(data[start:]) + packer.flush())
    del data
    tracemalloc.start()
    (info,) = series_of(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert info.usable and peak < 60 << 20
