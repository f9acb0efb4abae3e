"""Many cases: done ones are skipped, bad ones stop no other, and what dies or is stopped can go on."""

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import batch_helpers
import pytest
from evaluation_phantoms import body, make_dataset, write
from tiny_model import make_model

from contourdesk.app import batch_command
from contourdesk.app.batch import RECORD, How, SegmentTask, done_before, find_places, name_of, put_in_place
from contourdesk.app.batch_command import Where
from contourdesk.app.batch_local import LOST, run_here
from contourdesk.app.batch_work import segment_one
from contourdesk.app.cli import main
from contourdesk.app.errors import UserError
from contourdesk.app.evaluate_work import use_model
from contourdesk.app.files import alone

signals = pytest.mark.skipif(os.name == "nt", reason="a process can't be killed by signals there")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let batches run in this process: what processes do has tests of its own."""

    def run(self, function, tasks):
        yield from ((number, function(task)) for number, task in enumerate(tasks))

    monkeypatch.setattr(Where, "run", run)


@pytest.fixture
def task(tmp_path: Path) -> SegmentTask:
    path = write(body(), tmp_path / "in" / "one_0000.nii.gz")
    use = use_model("A", "tiny", make_model(tmp_path / "model"))
    return SegmentTask("one", path, tmp_path / "out", use, How(device="cpu"))


def summary(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


# -- which cases -----------------------------------------------------------------------------------------------------


def test_places_of_folders_lists_and_worklists(tmp_path: Path, make_ct):
    for name in ("a", "b"):
        make_ct(tmp_path / "cases" / name, shape=(3, 16, 16))
    write(body(), tmp_path / "images" / "x_0000.nii.gz")
    a, b, x = tmp_path / "cases" / "a", tmp_path / "cases" / "b", tmp_path / "images" / "x_0000.nii.gz"
    assert find_places([tmp_path / "cases"]) == [a, b]
    assert find_places([a, a]) == [a]
    assert find_places([tmp_path / "images", b]) == [x, b]
    (tmp_path / "list.txt").write_text("# tonight\ncases/a\n\nimages/x_0000.nii.gz\ngone\n")
    assert find_places([tmp_path / "list.txt"]) == [a, x, tmp_path / "gone"]
    with closing(sqlite3.connect(tmp_path / "worklist.sqlite")) as connection:
        connection.execute("CREATE TABLE place (path TEXT)")
        connection.execute("INSERT INTO place VALUES (?)", (str(b),))
        connection.commit()
    assert find_places([tmp_path / "worklist.sqlite"]) == [b]
    (tmp_path / "no.sqlite").write_text("no database")
    with pytest.raises(UserError, match="no worklist"):
        find_places([tmp_path / "no.sqlite"])
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="no cases"):
        find_places([tmp_path / "empty.txt"])


def test_names_are_unique_and_safe():
    taken: set[str] = set()
    names = [name_of(Path(p), taken) for p in ("/a/x_0000.nii.gz", "/b/X.nrrd", "/c/..", "/d/CT: neck?")]
    assert names == ["x", "X_2", "case", "CT_ neck_"]


# -- done or not -----------------------------------------------------------------------------------------------------


def test_a_done_case_is_skipped_until_something_changes(task: SegmentTask, tmp_path: Path):
    first = segment_one(task)
    assert (first.state, first.structures) == ("done", 3), first.reason
    assert {p.name for p in task.folder.iterdir()} >= {RECORD, "Brainstem.nii.gz"}
    assert segment_one(task).state == "skipped"
    os.utime(task.path, ns=(1, 1))  # another time, the same content
    assert segment_one(task).state == "skipped"
    assert done_before(replace(task, how=How(formats=("nrrd",)))) is None
    assert done_before(replace(task, use=replace(task.use, key="another"))) is None
    (task.folder / "Brainstem.nii.gz").unlink()
    assert segment_one(task).state == "done"
    write(body(9), task.path)
    assert segment_one(task).state == "done"
    assert [p.name for p in task.out.iterdir()] == ["one"]  # nothing half done lies beside


def test_a_damaged_record_means_not_done(task: SegmentTask):
    assert segment_one(task).state == "done"
    (task.folder / RECORD).write_text("{")
    assert done_before(task) is None
    (task.folder / RECORD).write_text("[]")
    assert done_before(task) is None


def test_a_case_that_fails_leaves_what_was_there(task: SegmentTask):
    assert segment_one(task).state == "done"
    before = (task.folder / "Brainstem.nii.gz").read_bytes()
    task.path.write_text("no image")
    failed = segment_one(task)
    assert failed.state == "failed" and failed.reason.count(".") >= 1 and not failed.bug
    assert (task.folder / "Brainstem.nii.gz").read_bytes() == before
    assert [p.name for p in task.out.iterdir()] == ["one"]


def test_a_fault_of_the_program_is_told_and_logged(task: SegmentTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*args, **more):
        raise RuntimeError("LEAK: patient's name")

    monkeypatch.setattr("contourdesk.app.batch_work.write_results", broken)
    outcome = segment_one(task)
    assert outcome.bug and "RuntimeError" in outcome.reason and "LEAK" not in outcome.reason
    assert "LEAK" in (tmp_path / "home" / "contourdesk.log").read_text()


def test_putting_in_place_is_one_step(task: SegmentTask):
    for text in ("old", "new"):
        part = task.out / ".one.x.part"
        part.mkdir(parents=True)
        (part / "file").write_text(text)
        put_in_place(part, task, {"input": {}})
    assert (task.folder / "file").read_text() == "new"
    assert json.loads((task.folder / RECORD).read_text())["files"] == {"file": 3}
    assert [p.name for p in task.out.iterdir()] == ["one"]


def test_two_series_in_a_folder_are_two_results(task: SegmentTask, tmp_path: Path, make_ct):
    for name in ("first", "second"):
        make_ct(tmp_path / "both" / name, shape=(14, 26, 22), hu=body())
    outcome = segment_one(replace(task, name="both", path=tmp_path / "both"))
    assert (outcome.state, outcome.structures) == ("done", 6), outcome.reason
    assert {p.name for p in (task.out / "both").iterdir()} == {"first", "second", RECORD}


# -- the command -----------------------------------------------------------------------------------------------------


def test_one_bad_case_stops_no_other(tmp_path: Path, here, capsys: pytest.CaptureFixture[str]):
    model = make_model(tmp_path / "model")
    for name in ("a", "c"):
        write(body(), tmp_path / "in" / f"{name}_0000.nii.gz")
    (tmp_path / "in" / "b_0000.nii.gz").write_text("no image")
    command = ["batch", str(tmp_path / "in"), "--model", str(model), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(command) == 2
    rows = summary(tmp_path / "out")
    assert {name: row["state"] for name, row in rows.items()} == {"a": "done", "b": "failed", "c": "done"}
    assert "can't be read" in rows["b"]["reason"] and rows["a"]["structures"] == "3"
    said = capsys.readouterr()
    assert "failed: b: " in said.out and "3 cases: 2 done, 0 done before, 1 failed." in said.out
    shutil.copy(tmp_path / "in" / "a_0000.nii.gz", tmp_path / "in" / "b_0000.nii.gz")
    assert main(command) == 0
    assert "3 cases: 1 done, 2 done before, 0 failed." in capsys.readouterr().out


def test_ctrl_c_leaves_a_state_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def stopped(self, function, tasks) -> Iterator:
        yield 0, function(tasks[0])
        raise KeyboardInterrupt

    model = make_model(tmp_path / "model")
    for name in ("a", "b"):
        write(body(), tmp_path / "in" / f"{name}_0000.nii.gz")
    command = ["batch", str(tmp_path / "in"), "--model", str(model), "--out", str(tmp_path / "out"), "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(Where, "run", stopped)
        assert main(command) == 130
    assert {n: r["state"] for n, r in summary(tmp_path / "out").items()} == {"a": "done", "b": "to do"}
    assert "1 of 2 cases are done; the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(Where, "run", lambda self, f, tasks: ((i, f(t)) for i, t in enumerate(tasks)))
    assert main(command) == 0
    assert {n: r["state"] for n, r in summary(tmp_path / "out").items()} == {"a": "skipped", "b": "done"}


def test_two_batches_do_not_share_a_folder(tmp_path: Path, here, capsys: pytest.CaptureFixture[str]):
    model = make_model(tmp_path / "model")
    write(body(), tmp_path / "in" / "a_0000.nii.gz")
    (tmp_path / "out").mkdir()
    with alone(tmp_path / "out" / ".batch.lock") as got:
        assert got
        assert main(["batch", str(tmp_path / "in"), "--model", str(model), "--out", str(tmp_path / "out")]) == 2
    assert "Another batch is at work" in capsys.readouterr().err


def test_evaluating_many(tmp_path: Path, here, capsys: pytest.CaptureFixture[str]):
    data = make_dataset(tmp_path / "data", 3)
    (data / "imagesTs" / "case_1_0000.nii.gz").write_text("no image")
    models = ["--model", str(make_model(tmp_path / "a")), "--model", str(make_model(tmp_path / "b", seed=4))]
    command = ["batch", str(data), "--evaluate", *models, "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(command) == 2
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["scores"]) == 2 * 2 * 3 and list(report["failed"]) == ["case_1"]
    assert "<html" in (tmp_path / "out" / "report.html").read_text()
    assert "3 cases: 2 done, 0 done before, 1 failed." in capsys.readouterr().out


# -- processes -------------------------------------------------------------------------------------------------------


@signals
def test_a_process_that_dies_takes_nothing_with_it(tmp_path: Path):
    (tmp_path / "bad").write_text("")
    tasks = [("die", tmp_path / "bad"), ("die_once", tmp_path / "once"), ("die", tmp_path / "good")]
    found = dict(run_here(batch_helpers.call, tasks, 1))
    assert found[0] == LOST  # it killed every process that tried
    assert isinstance(found[1], int) and found[1] > 0  # done by another process
    assert found[2] == 0


@signals
def test_ctrl_c_ends_the_processes(tmp_path: Path):
    code = (
        # As in a terminal: what runs behind a shell has been told to ignore Ctrl+C.
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from batch_helpers import wait_long;"
        "from contourdesk.app.batch_local import run_here; list(run_here(wait_long, [Path(sys.argv[1])]))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "pid")], env=environment, stderr=subprocess.DEVNULL
    )
    pid = _wait_for_pid(tmp_path / "pid")
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) != 0
    end = time.monotonic() + 60
    while _alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else False


def _wait_for_pid(path: Path) -> int:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()):
            return int(text)
        time.sleep(0.05)
    raise AssertionError("it never began")


# -- a real Dask cluster ---------------------------------------------------------------------------------------------


@signals
def test_a_dask_worker_is_killed_and_another_does_its_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    distributed = pytest.importorskip("distributed")
    model = make_model(tmp_path / "model")
    for i in range(4):
        write(body(i), tmp_path / "in" / f"c{i}_0000.nii.gz")
    (tmp_path / "in" / "bad_0000.nii.gz").write_text("no image")
    out = tmp_path / "out"
    killed: list[int] = []

    def kill_the_first() -> None:
        end = time.monotonic() + 120
        while not killed and time.monotonic() < end:
            for part in out.glob(".c*.part"):
                pid = int(part.name.removesuffix(".part").rpartition("-")[2])
                os.kill(pid, 9)
                killed.append(pid)
                return
            time.sleep(0.005)

    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    )
    with cluster:
        killer = threading.Thread(target=kill_the_first, daemon=True)
        killer.start()
        arguments = ["--model", str(model), "--out", str(out), "--device", "cpu", "--scheduler"]
        code = main(["batch", str(tmp_path / "in"), *arguments, cluster.scheduler_address])
        killer.join(10)
    assert len(killed) == 1
    assert code == 2
    rows = summary(out)
    assert {n: r["state"] for n, r in rows.items()} == {"bad": "failed", **{f"c{i}": "done" for i in range(4)}}
    assert not any(row["where"].endswith(f"-{killed[0]}") for row in rows.values())
    assert all((out / f"c{i}" / RECORD).is_file() for i in range(4))
    assert not list(out.glob(".*.part"))
    assert "5 cases: 4 done, 0 done before, 1 failed." in capsys.readouterr().out


def test_no_scheduler_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    from contourdesk.app import batch_dask

    monkeypatch.setattr(batch_dask, "_WAIT_S", 1)
    with pytest.raises(UserError, match="No Dask scheduler answers at"):
        next(batch_dask.run_on_cluster(batch_helpers.die, [tmp_path], "tcp://127.0.0.1:1"))


def test_where_chooses(monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr("contourdesk.app.batch_local.run_here", lambda f, t, n: seen.append(n) or iter(()))
    list(batch_command.Where(3).run(segment_one, []))
    assert seen == [3]
