"""The options of ``contourdesk export`` that are about training data."""

from __future__ import annotations

import argparse
from pathlib import Path

from contourdesk.app.errors import UserError

OVERLAPS = ("smaller", "regions", "masks")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of training data."""
    parser.add_argument(
        "--overlaps",
        choices=OVERLAPS,
        help="for nnunet: of structures that overlap the smaller wins (default), nnU-Net regions, or a mask for each",
    )
    parser.add_argument(
        "--ignore-label",
        action="store_true",
        help="for nnunet: nnU-Net's ignore label wherever an organ may be that nobody accepted in that case",
    )
    parser.add_argument(
        "--names",
        type=_names_file,
        default={},
        metavar="FILE",
        help='for nnunet: JSON, {"name in the review": "label"}',
    )
    parser.add_argument(
        "--deface", action="store_true", help="for nnunet and dicom-deidentified: take the face out of a CT of the head"
    )


def _names_file(text: str) -> dict[str, str]:
    from contourdesk.app.export_job import read_meanings

    try:
        return read_meanings(Path(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(error.message) from error
