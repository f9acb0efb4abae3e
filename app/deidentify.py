"""Pseudonyms: names, codes, UIDs and dates for exported cases that tell nothing about patient and reviewer.

All are keyed hashes: the same patient and series get the same ones on this computer, and nobody without the key, not
even one who knows the patient's ID, can work out which case is whose. The key stays in the user's settings folder.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
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
    return Pseudonyms.of(case).case_name(case.source.series_uid)


def reviewer_code(person: str) -> str:
    """A code for a reviewer's name, the same however it is capitalised; empty for nobody. Raises UserError."""
    name = " ".join(person.split()).casefold()
    return f"R_{_hash(secret_key(), 'reviewer', name)}" if name else ""


@dataclass(frozen=True)
class Pseudonyms:
    """What stands in the place of one patient's names, UIDs and dates.

    Parameters
    ----------
    key : the user's key.
    patient : what tells this patient from others: ID and issuer, or a UID where there is no ID.
    """

    key: bytes
    patient: str

    @classmethod
    def of(cls, case: Case) -> Pseudonyms:
        """Those of a case's patient. Raises UserError."""
        header = case.source.header
        issuer = str(header.get("IssuerOfPatientID") or "") if header is not None else ""
        # Without an ID (NIfTI, blanked DICOM) only the image itself tells one patient from another.
        known = case.patient.id.strip()
        return cls(secret_key(), f"{issuer}\0{known}" if known else case.source.study_uid or case.source.series_uid)

    @cached_property
    def code(self) -> str:
        """The patient's code."""
        return f"CD_{_hash(self.key, 'patient', self.patient)}"

    def case_name(self, series_uid: str) -> str:
        """The patient's code with one of the image behind it."""
        return f"{self.code}_{_hash(self.key, 'image', series_uid)}"

    @cached_property
    def days(self) -> int:
        """How many days earlier all of the patient's dates become: one to eleven years."""
        return 365 + int(_hash(self.key, "days", self.patient), 16) % 3650

    def uid(self, uid: str) -> str:
        """A new UID for one, always the same; DICOM's own stay, for they tell what kind of thing it is."""
        if not uid or uid.startswith("1.2.840.10008."):
            return uid
        number = int.from_bytes(hmac.new(self.key, f"uid\0{uid}".encode(), hashlib.sha256).digest()[:16], "big")
        number = number & ~(0xF << 76) | (0x8 << 76)  # a UUID of version 8: of one's own making
        return f"2.25.{number & ~(0x3 << 62) | (0x2 << 62)}"

    def date(self, text: str) -> str:
        """A DICOM date or date and time some years earlier; empty when it isn't one."""
        match = re.fullmatch(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)", text.strip())
        if match is None:
            return ""
        try:
            day = datetime(*(int(part) for part in match.groups()[:3])) - timedelta(days=self.days)  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            return ""
        return f"{day:%Y%m%d}{match[4]}" if day.year >= 1000 else ""

    def moment(self, text: str) -> str:
        """An ISO 8601 time some years earlier; empty when it isn't one."""
        try:
            return (datetime.fromisoformat(text) - timedelta(days=self.days)).isoformat()
        except (ValueError, OverflowError):
            return ""


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
        try:
            os.link(beside, path)  # of two programs at once, the first one's key is the key of both
        except FileExistsError:
            return
        except OSError:  # a drive without links
            if not path.exists():
                os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
