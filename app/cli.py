"""The command ``contourdesk``: the window, and the same work without one.

Each command imports what it needs when it runs, so that ``contourdesk --help`` answers at once and ``contourdesk
check`` needs no display.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from contourdesk import __version__
from contourdesk.app import cli_export, cli_many, doctor_command, train_command
from contourdesk.app.arguments import count, formats, names
from contourdesk.app.console import guarded
from contourdesk.app.errors import UserError
from contourdesk.app.itself import has_display

_EPILOG = """exit codes: 0 all went well, 1 a bug (see the log file), 2 something you can put right, 130 Ctrl+C
Contourdesk is not a medical device."""
_RESAMPLE = "resample a series with tilted, unevenly spaced or missing slices to an even grid instead of refusing it"
_PROFILE = "planning system that is to take it: generic (default), eclipse, raystation, pinnacle, or one of your own"
_DEVICE = "where networks run: auto (default), cpu, cuda, cuda:1, mps"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code (see `contourdesk.app.console.guarded`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
    # "contourdesk PATH" is short for "contourdesk review PATH".
    if not any(a in _COMMANDS or a in ("-h", "--help", "--version") for a in arguments[:1]):
        arguments.insert(0, "review")
    options = parser.parse_args(arguments)
    return guarded(lambda: _COMMANDS[options.command](options))


def make_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="contourdesk",
        description="Segment, review, correct and export the contours of a radiotherapy CT.",
        epilog="Without a command, PATH is opened in the window.\n" + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"contourdesk {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, what: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=what,
            description=what[0].upper() + what[1:] + ".",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    _review_options(command("review", "open the window, on a case if a path is given (the default command)"))
    _segment_options(command("segment", "segment cases without a window, one folder per case"))
    _export_options(command("export", "write the structures of reviews, for the clinic, for training or de-identified"))
    _report_options(command("report", "write the report of a review folder, as PDF and CSV"))
    _check_options(command("check", "say what is wrong with images, structure sets or model folders"))
    _audit_options(command("audit", "print who did what when in a review, and say whether that was tampered with"))
    cli_many.evaluate_options(command("evaluate", "measure a model, or two, on held-out reviewed cases"))
    cli_many.batch_options(command("batch", "segment or evaluate many cases overnight, on this computer or a cluster"))
    train_command.add_options(command("train", "train a model on an nnU-Net raw dataset"))
    _model_options(command("model", "look at a model"))
    doctor_command.add_options(command("doctor", "say whether this computer has what it takes: the self-test"))
    return parser


def _review_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="?", type=Path, metavar="PATH", help="DICOM folder or file, image file, review folder"
    )
    parser.add_argument("--sample", action="store_true", help="open the sample case")
    parser.add_argument("--resample", action="store_true", help=_RESAMPLE)


def _segment_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="DICOM folder, NIfTI or NRRD file, or a folder of NIfTI files (*_0000.nii.gz), each of them a case",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("segmented"), metavar="DIR", help="gets a folder for each case (./segmented)"
    )
    parser.add_argument(
        "--model", metavar="M", help="model folder or zip archive, or a name of contourdesk model list (headneck)"
    )
    parser.add_argument(
        "--folds", type=names, metavar="F[,F]", help="folds of the model, such as 0,1; all unless given"
    )
    parser.add_argument("--organs", type=names, metavar="N[,N]", help="names of the structures that are wanted")
    parser.add_argument(
        "--no-mirroring", action="store_true", help="do not predict mirror images too: faster, a little less accurate"
    )
    parser.add_argument(
        "--format",
        type=lambda text: formats(text, ("rtstruct", "seg", "nrrd", "nifti")),
        metavar="F[,F]",
        help="rtstruct, seg (DICOM SEG), nrrd (Slicer's .seg.nrrd), nifti, or several with commas between; "
        "rtstruct and nifti for DICOM and nifti for other images unless given",
    )
    parser.add_argument("--device", default="auto", help=_DEVICE)
    parser.add_argument("--resample", action="store_true", help=_RESAMPLE)


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reviews", nargs="+", type=Path, metavar="REVIEW_FOLDER", help="folder of a review, or a folder of such folders"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--format",
        type=lambda text: formats(text, ("rtstruct", "seg", "nrrd", "nifti", "nnunet", "dicom-deidentified")),
        default=("rtstruct",),
        metavar="F[,F]",
        help="rtstruct (default), seg (DICOM SEG), nrrd (Slicer's .seg.nrrd), nifti, nnunet (training dataset), "
        "dicom-deidentified (a copy of images, RTSTRUCT and SEG), or several with commas",
    )
    parser.add_argument("--all", action="store_true", help="all structures, not the accepted ones alone")
    parser.add_argument("--profile", default="generic", metavar="NAME", help=f"for RTSTRUCT: {_PROFILE}")
    parser.add_argument(
        "--contours", choices=("edges", "smooth"), default="edges", help="for RTSTRUCT: along voxel edges, or smooth"
    )
    parser.add_argument(
        "--holes", choices=("keyhole", "inner", "xor"), help="for RTSTRUCT: how holes are drawn; as the profile says"
    )
    cli_export.add_options(parser)


def _report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("review", type=Path, metavar="REVIEW_FOLDER", help="folder that the review was saved in")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets report.pdf and report.csv")
    parser.add_argument("--no-patient", action="store_true", help="leave out the patient's name and ID, date and UIDs")


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="DICOM folder, RTSTRUCT file, review folder, image file or model folder",
    )
    parser.add_argument("--profile", default="generic", metavar="NAME", help=f"{_PROFILE}, or all")
    parser.add_argument("--resample", action="store_true", help="count a series as good that can be resampled")
    parser.add_argument(
        "--structures",
        type=Path,
        metavar="FILE",
        help="say whether these fit the images: RTSTRUCT, DICOM SEG, .seg.nrrd, label map, or a folder of masks",
    )
    parser.add_argument(
        "--accept-other-references",
        action="store_true",
        help="take --structures by their coordinates also when their references are missing or name other images",
    )


def _audit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("review", type=Path, metavar="REVIEW_FOLDER", help="folder that the review was saved in")
    parser.add_argument("--csv", action="store_true", help="as a table for other programs")
    parser.epilog = f"exits with 3 when lines were changed, removed, moved or put in; each is named\n{_EPILOG}"


def _model_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    what = "print the feature map after every layer of a network, its weights and how far it sees"
    describe = actions.add_parser("describe", help=what, description=what[0].upper() + what[1:] + ".")
    describe.add_argument("model", metavar="MODEL", help="unet2015, fcn, a model folder, or a bundled model's name")
    describe.add_argument("--width", type=count, metavar="N", help="channels at the top of unet2015 and fcn (64)")
    describe.add_argument("--size", type=count, metavar="N", help="side of the image for unet2015 and fcn (572)")
    actions.add_parser("list", help="list the models there are, bundled and added")
    add = actions.add_parser("add", help="check a model folder or zip archive and add it to the list")
    add.add_argument("path", type=Path, metavar="PATH", help="a folder is used where it lies, an archive is unpacked")
    add.add_argument("--name", default="", metavar="NAME", help="what to call it (after the file unless given)")
    remove = actions.add_parser("remove", help="take a model that was added off the list")
    remove.add_argument("name", metavar="NAME")
    default = actions.add_parser("default", help="make a model the default of a body site")
    default.add_argument("site", metavar="SITE", help='such as "head and neck"')
    default.add_argument("name", metavar="NAME")


def _review(options: argparse.Namespace) -> int:
    path: Path | None = options.path
    if path is not None and not path.exists():
        raise UserError(f'There is no file or folder "{path}".', "Check the path, or see contourdesk --help.")
    if not has_display():
        raise UserError(
            "There is no display to open a window on.",
            "Start it under Xvfb (xvfb-run -a contourdesk), or use contourdesk segment, which needs none.",
        )
    try:
        from contourdesk.widgets.application import run_gui
    except ImportError as error:
        if ".so" not in str(error):
            raise
        raise UserError(f"A system library that the window needs is missing: {error}.", "See the README.") from error
    return run_gui(path, sample=options.sample, resample=options.resample)


def _segment(options: argparse.Namespace) -> int:
    from contourdesk.app.segment_command import segment_cases

    return segment_cases(
        options.paths,
        options.out,
        options.model,
        options.format,
        options.device,
        resample=options.resample,
        folds=options.folds,
        organs=options.organs,
        mirroring=not options.no_mirroring,
    )


def _export(options: argparse.Namespace) -> int:
    from contourdesk.app.dicom_write import RtStructOptions
    from contourdesk.app.export_training import TrainingOptions, export_reviews

    contours = {"edges": "voxel edges", "smooth": "smooth"}[options.contours]
    holes = {None: "", "keyhole": "keyhole", "inner": "inner loops", "xor": "xor"}[options.holes]
    how = RtStructOptions(contours, holes, options.profile)
    training = TrainingOptions(options.overlaps, options.ignore_label, options.deface, options.names)
    return export_reviews(options.reviews, options.out, options.format, options.all, how, training)


def _report(options: argparse.Namespace) -> int:
    from contourdesk.app.report_command import report_review

    return report_review(options.review, options.out, with_patient=not options.no_patient)


def _check(options: argparse.Namespace) -> int:
    from contourdesk.app.check_command import check_path

    if options.structures is not None:
        from contourdesk.app.structures_command import check_structures

        taken_on = options.accept_other_references
        fits = partial(check_structures, path=options.structures, resample=options.resample, any_reference=taken_on)
        return max(guarded(partial(fits, path), str(path)) for path in options.paths)
    check = partial(check_path, resample=options.resample, system=options.profile)
    return max(guarded(partial(check, path), str(path)) for path in options.paths)


def _audit(options: argparse.Namespace) -> int:
    from contourdesk.app.audit_command import show_audit

    return show_audit(options.review, as_csv=options.csv)


def _model(options: argparse.Namespace) -> int:
    from contourdesk.app import model_command

    if options.action == "list":
        return model_command.list_models()
    if options.action == "add":
        return model_command.add_model(options.path, options.name)
    if options.action == "remove":
        return model_command.remove_model(options.name)
    if options.action == "default":
        return model_command.set_default(options.site, options.name)
    return _describe_model(options)


def _describe_model(options: argparse.Namespace) -> int:
    from contourdesk.app.console import say
    from contourdesk.app.segment_command import model_folder
    from contourdesk.inference.describe import describe

    for line in describe(options.model, model_folder, options.width, options.size):
        say(line)
    return 0


_COMMANDS = {
    "review": _review,
    "segment": _segment,
    "export": _export,
    "report": _report,
    "check": _check,
    "audit": _audit,
    "evaluate": cli_many.evaluate,
    "batch": cli_many.batch,
    "train": train_command.train,
    "model": _model,
    "doctor": doctor_command.doctor,
}

if __name__ == "__main__":
    sys.exit(main())
