"""``contourdesk model list|add|remove|default``: the models that there are."""

from __future__ import annotations

from pathlib import Path

from contourdesk.app.console import GOOD, note, run_job, say


def list_models() -> int:
    """Print every model, and the defaults of the body sites."""
    from contourdesk.inference.model_library import SITES, default_for
    from contourdesk.inference.model_library import list_models as all_models

    for entry in all_models():
        say(entry.describe())
        say(f"  {', '.join(entry.organs)}")
    for site in SITES:
        default = default_for(site)
        if default is not None:
            say(f"default for {site}: {default.name}")
    return GOOD


def add_model(path: Path, name: str) -> int:
    """Add a model folder or an archive. Raises UserError."""
    from contourdesk.inference.model_library import add

    entry = run_job(add(path, name), "Adding the model")
    for text in entry.notes:
        note(text)
    say(f"added {entry.describe()}")
    return GOOD


def remove_model(name: str) -> int:
    """Remove a model that was added. Raises UserError."""
    from contourdesk.inference.model_library import remove

    remove(name)
    say(f"removed {name}")
    return GOOD


def set_default(site: str, name: str) -> int:
    """Make a model the default of a body site. Raises UserError."""
    from contourdesk.app.settings import load_settings
    from contourdesk.inference.model_library import defaults
    from contourdesk.inference.model_library import set_default as choose

    before = defaults().get(site)
    choose(site, name, load_settings()[0].reviewer)
    say(f"default for {site}: {name}")
    if before is not None and before != name:
        say(f'before it was {before}, which stays; to put it back: contourdesk model default "{site}" {before}')
    return GOOD
