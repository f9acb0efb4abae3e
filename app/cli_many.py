"""The commands that work through many cases: ``contourdesk evaluate`` and ``contourdesk batch``."""

from __future__ import annotations

import argparse
from pathlib import Path

from contourdesk.app.arguments import count, formats, names, positive
from contourdesk.app.errors import UserError

_DEVICE = "where networks run: auto (default), cpu, cuda, cuda:1, mps"
_SPLIT = "which cases of a dataset: Ts (default where there are such), Val, or Tr (the training cases)"
_TOLERANCE = "tolerance of surface Dice (3)"


def evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``contourdesk evaluate``."""
    parser.add_argument(
        "cases", type=Path, metavar="CASES", help="nnU-Net raw dataset, review folder, or folder of review folders"
    )
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        required=True,
        metavar="M",
        help="model folder or archive, or a name of contourdesk model list; twice: the first is A, the second B",
    )
    parser.add_argument("--split", choices=("Ts", "Val", "Tr"), help=_SPLIT)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets report.html, scores.csv and more")
    parser.add_argument("--tolerance", type=positive, default=3.0, metavar="MM", help=_TOLERANCE)
    parser.add_argument("--no-mirroring", action="store_true", help="do not predict mirror images too")
    parser.add_argument("--device", default="auto", help=_DEVICE)


def batch_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``contourdesk batch``."""
    parser.add_argument(
        "cases",
        nargs="+",
        type=Path,
        metavar="CASES",
        help="folders of cases, cases (DICOM folder, NIfTI or NRRD file), a text file with one path a line, or a "
        "worklist.sqlite; with --evaluate as for contourdesk evaluate",
    )
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        metavar="M",
        help="model folder or archive, or a name of contourdesk model list (headneck); twice only with --evaluate",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets a folder a case, and summary.csv")
    parser.add_argument("--evaluate", action="store_true", help="compare with the truth instead, and write a report")
    parser.add_argument(
        "--format",
        type=lambda text: formats(text, ("rtstruct", "seg", "nrrd", "nifti")),
        metavar="F[,F]",
        help="as for contourdesk segment",
    )
    parser.add_argument("--folds", type=names, metavar="F[,F]", help="folds of the model, such as 0,1")
    parser.add_argument("--organs", type=names, metavar="N[,N]", help="names of the structures that are wanted")
    parser.add_argument("--no-mirroring", action="store_true", help="do not predict mirror images too")
    parser.add_argument("--resample", action="store_true", help="resample uneven series instead of refusing them")
    parser.add_argument("--device", default="auto", help=_DEVICE)
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes on this computer (1)")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://host:8786, instead of --workers"
    )
    parser.add_argument("--split", choices=("Ts", "Val", "Tr"), help=f"with --evaluate: {_SPLIT}")
    parser.add_argument("--tolerance", type=positive, default=3.0, metavar="MM", help=f"with --evaluate: {_TOLERANCE}")


def evaluate(options: argparse.Namespace) -> int:
    """Run ``contourdesk evaluate``."""
    from contourdesk.app.evaluate_command import evaluate as run

    return run(
        options.cases,
        options.models,
        options.out,
        split=options.split,
        tolerance_mm=options.tolerance,
        device=options.device,
        mirroring=not options.no_mirroring,
    )


def batch(options: argparse.Namespace) -> int:
    """Run ``contourdesk batch``."""
    from contourdesk.app.batch import How
    from contourdesk.app.batch_command import Where, evaluate_many, segment_many

    where = Where(options.workers, options.scheduler)
    if options.evaluate:
        return evaluate_many(
            options.cases,
            options.models or [""],
            options.out,
            where,
            split=options.split,
            tolerance_mm=options.tolerance,
            device=options.device,
            mirroring=not options.no_mirroring,
        )
    if len(options.models or ()) > 1:
        raise UserError("Only --evaluate takes two models.", "Run the batch once for each, into folders of their own.")
    how = How(
        formats=options.format,
        folds=options.folds,
        organs=options.organs,
        mirroring=not options.no_mirroring,
        resample=options.resample,
        device=options.device,
    )
    return segment_many(options.cases, options.models, options.out, where, how)
