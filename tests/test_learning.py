"""What the main window does for export of many reviews and for evaluation: the open review, the slice to look at."""

from __future__ import annotations

import json

from evaluation_phantoms import BOXES, SIZE, make_review
from phantoms import make_ct
from window_steps import child, click, open_case, open_window

from contourdesk.app.audit import read_audit
from contourdesk.app.evaluation import Score
from contourdesk.app.structures import Mask
from contourdesk.widgets.learning import Learning


def test_the_open_review_is_exported_with_its_last_stroke_and_a_worst_case_is_shown(qtbot, monkeypatch, tmp_path):
    ct = make_ct(tmp_path / "cases" / "a", (14, 26, 22), patient="Alpha^Ann")
    window = open_window(qtbot, monkeypatch, tmp_path / "home", worklist=(str(tmp_path / "cases"),))
    open_case(qtbot, window, ct.folder)
    session = window.session
    for organ in ("Brainstem", "Mandible"):
        new = session.add(organ, mask=Mask.from_dense(session.case.volume.array[:4, :6, :6] > -5000, BOXES[organ]))
        session.decide(new, "accepted")
    window.made["open_worklist"].trigger()
    qtbot.waitUntil(lambda: child(window, "worklist_export").isEnabled(), timeout=20_000)
    click(qtbot, window, "worklist_export")
    dialog = child(window, "export_reviews_dialog")
    assert child(dialog, "export_reviews_done").isChecked()
    child(dialog, "export_reviews_folder").setText(str(tmp_path / "Dataset007_Mine"))
    click(qtbot, dialog, "export_reviews_start")
    qtbot.waitUntil(lambda: not dialog.runner.running, timeout=20_000)
    (case,) = json.loads((tmp_path / "Dataset007_Mine" / "contoured.json").read_text()).values()
    assert case["contoured"] == ["Brainstem", "Bone_Mandible"]
    assert window.settings.dataset == str(tmp_path / "Dataset007_Mine")
    window.autosave.flush()
    assert [e["by"] for e in read_audit(window.autosave.folder) if e["what"] == "export"] == ["window"]
    click(qtbot, dialog, "export_reviews_train")
    training = child(window, "train_dialog")
    assert training.form.dataset.text == str(tmp_path / "Dataset007_Mine")
    training.close()
    dialog.close()

    view = make_review(tmp_path / "worst" / "a", ct.folder, BOXES)
    score = Score("a", "a", "Mandible", "A", 0.5, 0.5, 1, 1, 1, 1, slice_index=7)
    learning: Learning = window.learning
    learning._open_case(view, score)
    qtbot.waitUntil(lambda: window.reviewing and window.autosave.folder == view, timeout=20_000)
    active = window.session.structures.get(window.table.active)
    assert active.name == "Mandible"
    z, y, x = window.view.cross_index
    assert z == 7
    corner = BOXES["Mandible"]
    assert corner[1] <= y <= corner[1] + SIZE[1]
    assert corner[2] <= x <= corner[2] + SIZE[2]
    assert window.close()
