"""The models that a user has: bundled ones, and folders and archives that were added, each checked and described.

What is known of them is ``models.json`` in the settings folder; archives are unpacked under the data folder. PyTorch is
imported only where a model is read: a window calls those functions in a job, and `known_models` whenever it likes.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contourdesk.app.errors import UserError
from contourdesk.app.files import write_atomically
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.settings import config_dir, data_dir
from contourdesk.inference.model_zip import is_model_zip, unpack

if TYPE_CHECKING:
    from contourdesk.inference.nnunet import Model

log = logging.getLogger(__name__)

SITES = ("head and neck", "brain", "thorax", "abdomen", "pelvis", "whole body")
BUNDLED_SITES = {"headneck": "head and neck"}
_LICENCE_CHARACTERS = 20_000
_CHANGES_KEPT = 200  # of defaults
# Words of a series' description or body part, as scanners and planning centres write them.
_HINTS = {
    "head and neck": {"neck", "headneck", "hn", "hnscc", "hals", "larynx", "pharynx", "oropharynx", "parotid"},
    "brain": {"brain", "hirn", "schaedel", "skull", "cranium", "stereotactic"},
    "thorax": {"thorax", "chest", "lung", "lunge", "breast", "mamma", "oesophagus", "esophagus"},
    "abdomen": {"abdomen", "liver", "leber", "pancreas", "kidney", "stomach"},
    "pelvis": {"pelvis", "becken", "prostate", "prostata", "rectum", "cervix", "bladder"},
    "whole body": {"wholebody", "tbi", "polytrauma"},
}


@dataclass(frozen=True)
class Entry:
    """One model of the library.

    Parameters
    ----------
    name : what the user calls it, unique.
    folder : where it is;  kind : "bundled", "folder" (used where it lies) or "unpacked" (ours, from an archive).
    organs : all structures;  parts : how many models make up the list;  folds : of the first part.
    configuration, spacing_mm, patch_size : of the first part, in the network's axes.
    sha256 : of each part's weights.
    licence : text of a licence file, or empty;  notes : what reading it said.
    stamp : of the files, tells that they changed.
    passes : how often each window runs because of mirroring, 1 without; 0 when that is not known yet.
    """

    name: str
    folder: str
    kind: str
    organs: tuple[str, ...]
    parts: int
    configuration: str
    spacing_mm: tuple[float, ...]
    patch_size: tuple[int, ...]
    folds: tuple[str, ...]
    sha256: tuple[str, ...]
    licence: str = ""
    notes: tuple[str, ...] = ()
    stamp: str = ""
    passes: int = 0

    @property
    def is_there(self) -> bool:
        """Whether its folder still exists."""
        return Path(self.folder).is_dir()

    def describe(self) -> str:
        """One line for the user."""
        spacing = " x ".join(f"{s:g}" for s in self.spacing_mm)
        patch = " x ".join(str(n) for n in self.patch_size)
        parts = f"{self.parts} parts, " if self.parts > 1 else ""
        folds = f"{len(self.folds)} fold{'s' if len(self.folds) != 1 else ''}"
        there = "" if self.is_there else ", its folder is gone"
        return (
            f"{self.name} ({self.kind}{there}): {parts}{self.configuration}, {folds}, {spacing} mm, patch {patch}, "
            f"{len(self.organs)} structures, {'with' if self.licence else 'no'} licence text, "
            f"SHA-256 {self.sha256[0][:12]}"
        )


def known_models() -> list[Entry]:
    """All models as far as they are known without reading one, so without PyTorch and at once; bundled ones first.

    A bundled model that was never read is there with its name and folder, and nothing else.
    """
    known = _entries(_read())
    out = []
    for folder in _bundled():
        old = next((e for e in known if e.kind == "bundled" and e.name == folder.name), None)
        out.append(old if old is not None and old.folder == str(folder) else _unread(folder.name, folder, "bundled"))
    return out + [e for e in known if e.kind != "bundled"]


def read_entry(folder: Path) -> Entry:
    """Describe the model in a folder: the library's entry when it has one, else read anew and kept nowhere.

    Raises
    ------
    UserError : it can't be read.
    """
    for entry in list_models():
        if Path(entry.folder) == folder and entry.passes and entry.stamp == _stamp(folder):
            return entry
    return _read_model(folder, folder.name, "folder")


def list_models() -> list[Entry]:
    """All models, bundled ones first. A bundled model is read once and then known."""
    store = _read()
    known = _entries(store)
    out = []
    for folder in _bundled():
        old = next((e for e in known if e.kind == "bundled" and e.name == folder.name), None)
        if old is None or not old.passes or old.stamp != _stamp(folder) or old.folder != str(folder):
            try:
                old = _read_model(folder, folder.name, "bundled")
            except UserError:
                log.warning("a bundled model can't be read", exc_info=True)
                continue
            _remember(old)
        out.append(old)
    return out + [e for e in known if e.kind != "bundled"]


def find(name: str) -> Entry:
    """The model of that name. Raises UserError, which lists those there are."""
    models = list_models()
    for entry in models:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in models) or "none"
    raise UserError(f'There is no model "{name}".', f"Give a model folder, an archive, or one of: {names}.")


def load(name: str, folds: Sequence[str] | None = None) -> tuple[Model, ...]:
    """The parts of a model, ready for `contourdesk.inference.predict.predict`.

    Raises
    ------
    UserError : there is none, it can't be read, or its weights are not those that were added.
    """
    from contourdesk.inference.nnunet import load_models

    entry = find(name)
    models = load_models(entry.folder, folds)
    if folds is None and tuple(m.weights_sha256 for m in models) != entry.sha256:
        raise UserError(
            f'The weights of the model "{name}" changed since it was added.',
            "If that is meant, remove it and add it again.",
        )
    return models


def add(path: Path, name: str = "") -> Job[Entry]:
    """Check a model and add it: a folder is used where it lies, an archive is unpacked under the data folder.

    Parameters
    ----------
    name : what to call it; after its dataset when empty. It must be free.

    Raises
    ------
    UserError : it can't be read, or the name is taken or can't be a name.
    """
    path = path.expanduser().resolve()
    archive = path.is_file()
    if archive and not is_model_zip(path):
        raise UserError(f"{path} is no archive of a model.", "Choose a model folder, or a zip of one.")
    wanted = name or _clean(path.stem if archive else path.name)
    taken = {entry.name.casefold() for entry in list_models()}
    if wanted != _clean(wanted) or not wanted:
        raise UserError(f'"{wanted}" can\'t be a name.', "Use letters, digits, - and _.")
    if wanted.casefold() in taken:
        raise UserError(f'There is a model "{wanted}" already.', "Give another name.")
    folder = path
    if archive:
        folder = data_dir() / "models" / wanted
        if folder.exists():
            shutil.rmtree(folder)  # left by an attempt that was broken off
    try:
        if archive:
            yield from unpack(path, folder)
        yield Progress(0, 0, "Checking the model")
        entry = _read_model(folder, wanted, "unpacked" if archive else "folder")
    except BaseException:
        if archive:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _remember(entry)
    return entry


def remove(name: str) -> None:
    """Forget a model that was added; what was unpacked for it is deleted, a folder of the user's is left alone.

    Raises
    ------
    UserError : there is none of that name, or it is bundled.
    """
    entry = find(name)
    if entry.kind == "bundled":
        raise UserError(f'The model "{name}" came with the program.', "Only models that were added can be removed.")
    store = _read()
    store["models"] = [m for m in store["models"] if m.get("name") != name]
    store["defaults"] = {site: one for site, one in store["defaults"].items() if one != name}
    _write(store)
    place = data_dir() / "models" / name
    if entry.kind == "unpacked" and Path(entry.folder) == place:
        shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True)
class DefaultChange:
    """A person made a model the default of a body site: instead of which, when (ISO 8601), who, if that is known."""

    site: str
    name: str
    before: str
    when: str
    who: str = ""


def set_default(site: str, name: str, who: str = "") -> None:
    """Make a model the default of a body site (`SITES`); the one before is remembered. Raises UserError."""
    if site not in SITES:
        raise UserError(f'"{site}" is no body site.', f"Choose one of: {', '.join(SITES)}.")
    find(name)
    before = defaults().get(site, "")
    store = _read()
    store["defaults"][site] = name
    if before != name:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        change = DefaultChange(site, name, before, when, who)
        store["changes"] = [*store["changes"], asdict(change)][-_CHANGES_KEPT:]
    _write(store)


def last_change(site: str) -> DefaultChange | None:
    """How the present default of a body site became that; None when nobody chose it. Reads no model."""
    present = defaults().get(site)
    for one in reversed(_read()["changes"]):
        if one.get("site") == site:
            return DefaultChange(**one) if one.get("name") == present else None
    return None


def former_default(site: str) -> str:
    """The model that was a body site's default before the present one and is still in the list; "" for none."""
    change = last_change(site)
    there = {entry.name for entry in known_models()}
    return change.before if change is not None and change.before in there else ""


def defaults() -> dict[str, str]:
    """The name of each body site's default model: what the user chose, else a bundled one for it. Reads no model."""
    names = {entry.name for entry in known_models()}
    bundled = {site: name for name, site in BUNDLED_SITES.items() if name in names}
    chosen = {site: name for site, name in _read()["defaults"].items() if name in names}
    return bundled | chosen


def default_for(site: str) -> Entry | None:
    """The default model of a body site, None when there is none."""
    name = defaults().get(site)
    return next((entry for entry in list_models() if entry.name == name), None)


def site_of(text: str) -> str | None:
    """The body site that an image's description or body part names, None when it names none of `SITES`, or several."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    found = {site for site, hints in _HINTS.items() if words & hints}
    return found.pop() if len(found) == 1 else None


def _unread(name: str, folder: Path, kind: str) -> Entry:
    return Entry(name, str(folder), kind, (), 1, "", (), (), (), ("",))


def _read_model(folder: Path, name: str, kind: str) -> Entry:
    from contourdesk.inference.nnunet import load_models

    return _describe(folder, name, kind, load_models(folder))


def _describe(folder: Path, name: str, kind: str, models: Sequence[Model]) -> Entry:
    first = models[0]
    return Entry(
        name=name,
        folder=str(folder),
        kind=kind,
        organs=tuple(label for model in models for label in model.labels),
        parts=len(models),
        configuration=first.settings.configuration,
        spacing_mm=first.settings.spacing_mm,
        patch_size=first.settings.patch_size,
        folds=first.folds,
        sha256=tuple(model.weights_sha256 for model in models),
        licence=next((model.licence for model in models if model.licence), "")[:_LICENCE_CHARACTERS],
        notes=tuple(dict.fromkeys(note for model in models for note in model.notes)),
        stamp=_stamp(folder),
        passes=max(2 ** len(model.mirror_axes) for model in models),
    )


def _stamp(folder: Path) -> str:
    stats = [path.stat() for path in sorted(folder.rglob("checkpoint_*.pth"))]
    return ";".join(f"{s.st_size}.{s.st_mtime_ns}" for s in stats)


def _bundled_root() -> Path:
    return Path(str(files("contourdesk.resources"))) / "models"


def _bundled() -> list[Path]:
    return sorted(p.parent for p in _bundled_root().glob("*/plans.json"))


def _clean(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:80]


def _path() -> Path:
    return config_dir() / "models.json"


def _read() -> dict[str, Any]:
    """What was stored; empty when nothing was, or when it is damaged (it can be added anew)."""
    try:
        store = json.loads(_path().read_text("utf-8"))
        models, defaults = store["models"], store["defaults"]
    except FileNotFoundError:
        return {"models": [], "defaults": {}, "changes": []}
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("the list of models is damaged", exc_info=True)
        return {"models": [], "defaults": {}, "changes": []}
    if not isinstance(models, list) or not isinstance(defaults, dict):
        return {"models": [], "defaults": {}, "changes": []}
    changes = store.get("changes", [])
    known = {f.name for f in fields(DefaultChange)}
    whole = [c for c in changes if isinstance(c, dict) and set(c) == known] if isinstance(changes, list) else []
    return {"models": [m for m in models if isinstance(m, dict)], "defaults": defaults, "changes": whole}


def _entries(store: Mapping[str, Any]) -> list[Entry]:
    out = []
    for one in store["models"]:
        try:
            values: dict[str, Any] = {  # what a newer version added has a default
                f.name: one[f.name] for f in fields(Entry) if f.name in one or f.default is MISSING
            }
            out.append(Entry(**{k: _frozen(v) for k, v in values.items()}))
        except (KeyError, TypeError):
            log.warning("an entry of the list of models is damaged")
    return out


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _remember(entry: Entry) -> None:
    store = _read()
    others = [m for m in store["models"] if m.get("name") != entry.name]
    _write({**store, "models": [*others, asdict(entry)]})


def _write(store: Mapping[str, Any]) -> None:
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(store, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise UserError(
            f"The list of models could not be saved in {path.parent} ({error.strerror}).",
            "Check its space and permissions.",
        ) from error
