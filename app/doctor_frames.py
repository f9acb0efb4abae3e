"""An image of 8 × 8 pixels in each kind of compression that DICOM files come in, to see whether its decoder works.

The pixel in row r and column c is ``step * (2 r + c)``. Made with imagecodecs and pydicom; small enough to stand here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from contourdesk.app.dicom_syntaxes import RLE, decode, decode_rle


@dataclass(frozen=True)
class Frame:
    """One image: what people call it, a transfer syntax of its kind, the step, the largest error it may have."""

    name: str
    syntax: str
    step: int
    error: int
    text: str

    def worst_error(self) -> int:
        """Decode it: the largest difference from what it must be. Raises what the decoder raises."""
        data = base64.b64decode(self.text)
        kind = np.dtype("u2")
        found = decode_rle(data, 8, 8, kind) if self.syntax == RLE else decode(data, self.syntax)
        expected = self.step * np.add.outer(2 * np.arange(8), np.arange(8))
        return int(np.abs(found.astype(np.int64) - expected).max())


FRAMES = (
    Frame(
        "JPEG, 8 bits",
        "1.2.840.10008.1.2.4.50",
        8,
        2,
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoK"
        "BggLDAsKDAkKCgr/wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9"
        "AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZn"
        "aGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP0"
        "9fb3+Pn6/9oACAEBAAA/APk/9m3/AIJt/wDHv/xIPT/llX//2Q==",
    ),
    Frame(
        "JPEG, 12 bits",
        "1.2.840.10008.1.2.4.51",
        150,
        2,
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoK"
        "BggLDAsKDAkKCgr/wQALDAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAC//EABwQAAAGAwAAAAAAAAAAAAAAAAAMDSo4R1Vjc//a"
        "AAgBAQAAPwAJsqopVJHBuHiqq56R/9k=",
    ),
    Frame(
        "JPEG lossless",
        "1.2.840.10008.1.2.4.70",
        2000,
        0,
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAIAAgBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAACwwQ/9oACAEBAAEAAM+g+g+g+g+g+g+h"
        "fQPoPoPoPoPoPoPoX0D6D6D6D6D6D6D6F9A+g+g+g+g+g+g+hfQPoPoPoPoPoPoPoX0D6D6D6D6D6D6D6F9A+g+g+g+g+g+g+hfQPoPo"
        "PoPoPoPoPof/2Q==",
    ),
    Frame(
        "JPEG-LS",
        "1.2.840.10008.1.2.4.80",
        2000,
        0,
        "/9j/6AAgU1BJRkYAAgAAAQAAAAgAAAAIChAGAQAAASwAAAEs/+gACAAAAAH/2P/3AAsQAAgACAEBEQD/+AANAf//ABIAQwEUAED/2gAI"
        "AQEAAAAAh58effOvm3zL5d8qA6APQPnnzj5p8w+WHoB5p+S/Ifjvxn4r8Q+efJvwn4L8B9+++fenzj4x92+6fcvuH277Y+afCvtH2b7J"
        "9i+wfXnzD359a+sfVvqn1L6g+We7vpn0r6R9G+ifQnyg/9k=",
    ),
    Frame(
        "JPEG 2000",
        "1.2.840.10008.1.2.4.90",
        2000,
        0,
        "/0//UQApAAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAABDwEB/1IADAAAAAEAAAQEAAH/XAAEQID/ZAAlAAFDcmVhdGVk"
        "IGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAABqAAH/k9/4ksASK2cAVCwB+4Tkb8F8VI/qVrSMI9EHthRcK27A++6xYweJ"
        "czzbXZieU2aeaJMzET3aZ3E+cwW54lBs4i+i19FoulBAyVVVVVgTGoNHeb5vm+b5vnAMR/9//9k=",
    ),
    Frame(
        "High-throughput JPEG 2000",
        "1.2.840.10008.1.2.4.201",
        2000,
        0,
        "/0//UQApQAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQ"
        "kJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAGAAAf+TwAAmD5UFB3QAAADAABNAABMASMcEh3QAko4F"
        "B3QAwAAVEAAFQCbDZPwEAnQATkYn4wEjVADAACqgABWAnve85z2qcwJ1AD7f533e58Bzgey2AP/Z",
    ),
    Frame(
        "RLE",
        "1.2.840.10008.1.2.5",
        2000,
        0,
        "AgAAAEAAAACIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAcABw8XHycuNgcPFx8n"
        "LjY+RgcfJy42PkZOVQcuNj5GTlVdZQc+Rk5VXWVtdQdOVV1lbXV9hAddZW11fYSMlAdtdX2EjJScpAcA0KBwQBDgsAegcEAQ4LCAUAdA"
        "EOCwgFAg8AfgsIBQIPDAkAeAUCDwwJBgMAcg8MCQYDAA0AfAkGAwANCgcAdgMADQoHBAEA==",
    ),
)
