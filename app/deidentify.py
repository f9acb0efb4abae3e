"""Names for exported cases that tell nothing about the patient.

A name is a keyed hash: the same patient and series get the same name on this computer, and nobody without the key, not
even one who knows the patient's ID, can work out which case is whose. The key stays in the user's settings folder.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.errors import UserError
from contourdesk.app.settings import config_dir

KEY_FILE = "deidentify.key"
_KEY_BYTES = 32


def case_name(case: Case) -> str:
    """Name of a case: ``CD_<patient>_<image>``, so that cases of one patient can be kept in one split.

    Raises
    ------
    UserError : the key can't be read or made.
    """
    key = secret_key()
    header = case.source.header
    issuer = str(header.get("IssuerOfPatientID") or "") if header is not None else ""
    # Without an ID (NIfTI, blanked DICOM) only the image itself tells one patient from another.
    patient = f"{issuer}\0{case.patient.id}" if case.patient.id else case.source.study_uid or case.source.series_uid
    return f"CD_{_hash(key, 'patient', patient)}_{_hash(key, 'image', case.source.series_uid)}"


def _hash(key: bytes, what: str, text: str) -> str:
    return hmac.new(key, f"{what}\0{text}".encode(), hashlib.sha256).hexdigest()[:8]


def secret_key() -> bytes:
    """The user's key; made at first use, readable by that user alone.

    Raises
    ------
    UserError : the file can't be read or written, or is damaged.
    """
    path = config_dir() / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise UserError(
            f"The key for naming exported cases can't be used: {path} ({error.strerror}).", "Check its permissions."
        ) from error
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise UserError(
            f"The key for naming exported cases is damaged: {path}.",
            "Restore it from a backup. If you delete it, cases exported again get new names.",
        )
    return key


def _make(path: Path) -> None:
    """Write a new key beside and link it into place; one made meanwhile by another process is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
