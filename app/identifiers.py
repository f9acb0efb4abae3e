"""The words by which a patient or a member of staff would be known, to be looked for in what leaves the house."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom import Dataset

from contourdesk.app.case import Case
from contourdesk.app.structures import Structure

_NUMBERS = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "AdmissionID", "RequestedProcedureID",
    "InstitutionName", "InstitutionAddress", "StationName", "PatientTelephoneNumbers", "PatientAddress",
    "MedicalRecordLocator", "DeviceSerialNumber", "PatientBirthDate",
)  # fmt: skip
_SHORTEST, _LONG = 3, 5
# Words in names that name nobody, and would be found everywhere.
_COMMON = frozenset(("unknown", "anonymous", "anonymized", "anonymised", "patient", "none", "phantom", "test", "the"))


@dataclass(frozen=True)
class Identifiers:
    """Words, folded for comparison."""

    words: frozenset[str]

    @classmethod
    def of(cls, case: Case, structures: Iterable[Structure] = ()) -> Identifiers:
        """Those of a case's patient, its physicians and institution, and of its reviewers."""
        texts = [case.patient.name, case.patient.id]
        for s in structures:
            texts += [s.decision.person, s.provenance.person]
        whole = [case.patient.id, case.patient.birth_date]
        if case.source.header is not None:
            for keyword, vr, text in _texts(case.source.header):
                if vr == "PN":
                    texts.append(text)
                elif keyword in _NUMBERS:
                    whole.append(text)
        words = {w.casefold() for text in texts for w in re.split(r"[\\^=\s,.;]+", text)}
        words |= {" ".join(text.split()).casefold() for text in whole}
        return cls(frozenset(w for w in words if len(w) >= _SHORTEST and w not in _COMMON))

    def found_in(self, text: str) -> bool:
        """Whether one of the words stands in a text: long ones anywhere, short ones as a word of their own."""
        folded = text.casefold()
        return any(
            w in folded and (len(w) >= _LONG or re.search(rf"(?<![^\W_]){re.escape(w)}(?![^\W_])", folded))
            for w in self.words
        )

    def found_in_bytes(self, data: bytes) -> bool:
        """The same for bytes, in the usual encodings; only for words long enough not to occur by chance."""
        folded = data.lower()
        return any(
            w.encode(encoding, "ignore") in folded
            for w in self.words
            if len(w) >= 6
            for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
            if len(w.encode(encoding, "ignore")) >= 6
        )


def _texts(ds: Dataset) -> Iterator[tuple[str, str, str]]:
    """Keyword, VR and value of every text in a data set, those in sequences too."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in ("PN", "LO", "SH", "ST", "LT", "UT", "DA"):
            values = element.value if element.VM > 1 else [element.value]
            for value in values or ():
                yield element.keyword, element.VR, str(value or "")
