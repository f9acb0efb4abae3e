"""How a structure is described in a DICOM SEG: name, what it is, who or what drew it, its colour."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import generate_uid

from contourdesk import __version__
from contourdesk.app.anatomy import Code, anatomy
from contourdesk.app.structures import Structure

_UNKNOWN = "not known (imported)"


def describe(structure: Structure, number: int, series_uid: str) -> Dataset:
    """Highdicom's description of a segment; the tracking UID is the structure's own for good."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    def concept(code: Code) -> CodedConcept:
        return CodedConcept(code.value, code.scheme, code.meaning)

    what = anatomy(structure)
    kind, name, version = algorithm(structure)
    identification = None
    if kind != "MANUAL":
        family = codes.DCM.ArtificialIntelligence if structure.provenance.model else codes.DCM.ManualProcessing
        identification = AlgorithmIdentificationSequence(name=name[:64], family=family, version=version[:64] or "0")
    item: Dataset = SegmentDescription(
        segment_number=number,
        segment_label=structure.name.strip(),
        segmented_property_category=concept(what.category),
        segmented_property_type=concept(what.type),
        algorithm_type=kind,
        algorithm_identification=identification,
        tracking_uid=generate_uid(entropy_srcs=[series_uid, structure.id]),
        tracking_id=structure.id[:64],
        display_color=CIELabColor.from_rgb(*structure.colour),
    )
    if what.side is not None:
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [concept(what.side)]
    return item


def algorithm(structure: Structure) -> tuple[str, str, str]:
    """DICOM's word for who drew it, the algorithm's name and version.

    An imported structure that doesn't tell counts as SEMIAUTOMATIC, the word that claims least: DICOM wants one.
    """
    made = structure.provenance
    if made.model:
        kind = "SEMIAUTOMATIC" if structure.edited else "AUTOMATIC"
        return kind, made.model.replace("\\", "/"), made.weights_sha256[:12] or made.software or __version__
    if made.source == "model":
        return ("SEMIAUTOMATIC" if structure.edited else "AUTOMATIC"), "Contourdesk", made.software or __version__
    if made.source == "reviewer" or made.person:
        return "MANUAL", "", ""
    return "SEMIAUTOMATIC", _UNKNOWN, made.software
