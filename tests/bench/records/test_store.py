"""Files of runs: whole or not there, one owner each, and every record that was there before is there after."""

import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RunError, UserError
from bench.files import ENDING, clear, temporary, write
from bench.records.store import PROFILE, RECORD, Store, read_curve, read_record, read_records
from bench.suites.schema import Budget, Entry, Suite, digest

SUITE = Suite(
    name="tiny",
    question="",
    hardware="",
    expected_time="",
    dataset="digits",
    network="mlp",
    latent_dim=2,
    batch_size=100,
    budget=Budget(steps=4),
    methods=(Entry("ae", "ae"), Entry("vae", "vae_gauss")),
    seeds=2,
)
RUN, OTHER = SUITE.runs("cpu")[:2]


CONFIG: dict[str, Any] = {
    "method": "ae",
    "dataset": "digits",
    "network": "mlp",
    "latent_dim": 2,
    "batch_size": 100,
    "held_out": "test",
    "smoke": False,
    "hyperparameters": {},
    "budget": {"steps": 4},
    "optimizer": {"lr": 0.001, "betas": [0.9, 0.999], "decay": 1.0, "milestones": []},
    "recipe": {},
    "convention": "",
}
SPENT = {"steps": 4, "epochs": 0.3, "images": 400}


def record(label: str = "ae", seed: int = 0, device: str = "cpu", **other: Any) -> dict[str, Any]:
    """All that a record must have."""
    empty: dict[str, Any] = {"environment": {}, "hashes": {}, "metrics": {}, "cost": {}, "spent": SPENT, "error": None, "status": "done"}
    return {"suite": "tiny", "label": label, "seed": seed, "row_key": "k", "config": {**CONFIG, "device": device}, **empty, **other}


def profile(label: str, step_ms: float) -> dict[str, Any]:
    """All that a profile must have."""
    lists: dict[str, Any] = {"phases": {}, "kernels": [], "environment": {}}
    return {"suite": "tiny", "label": label, "row_key": "k", "device": "cpu", "step_ms": step_ms, **lists}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write(path, b"first")
    write(path, b"second, longer")
    assert path.read_bytes() == b"second, longer"
    assert names(path.parent) == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


def killed(folder: Path, told: Any) -> None:
    """Begin to write and be killed."""
    os.write(temporary(folder)[0], b"half")
    told.send(None)
    told.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_writer_left_goes_with_the_next_write_and_not_before(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=killed, args=(tmp_path, theirs))
    process.start()
    ours.recv()
    (tmp_path / ".mine.hidden").write_text("a user's own")
    (left,) = tmp_path.glob(f".*{ENDING}")
    write(tmp_path / "a", b"1")
    assert left.read_bytes() == b"half", "its writer is at work"
    ours.send("die")
    process.join()
    write(tmp_path / "b", b"2")
    assert names(tmp_path) == [".mine.hidden", "a", "b"]


def test_a_temporary_file_is_its_writers_alone(tmp_path: Path) -> None:
    handle, name = temporary(tmp_path)
    clear(tmp_path)
    assert names(tmp_path) == [Path(name).name]
    os.close(handle)
    clear(tmp_path)
    assert names(tmp_path) == []


def write_often(folder: Path, number: int) -> None:
    for count in range(200):
        write(folder / f"file{number % 2}", bytes([count]) * 1000)


@pytest.mark.fault("two writers in one folder")
def test_writers_in_one_folder_never_take_each_others_files(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=write_often, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert names(tmp_path) == ["file0", "file1"]


# all at which str.splitlines breaks, and what else has ended lines somewhere
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0", "\x1a", "\ufeff"]


@pytest.mark.parametrize("character", BREAKS, ids=ascii)
def test_a_record_comes_back_whatever_its_texts_hold(tmp_path: Path, character: str) -> None:
    text = f"{character}one{character}{character}two{character}"
    store = Store(tmp_path, "tiny")
    entry = {"value": None, "protocol": text, "reason": text}
    whole = record("ae", error=text, config={**CONFIG, "device": "cpu", "convention": text}, metrics={"m": entry})
    store.merge([whole, record("vae")])
    assert store.records() == [whole, record("vae")]
    store.merge([record("vae", 1)])
    assert store.records() == [whole, record("vae"), record("vae", 1)]
    store.save_record(RUN, whole)
    assert store.record(RUN) == whole
    store.merge([profile("ae", 1.0) | {"environment": {"cpu": text}}], PROFILE)
    assert store.records(PROFILE)[0]["environment"]["cpu"] == text
    store.save_curve(RUN, [{"step": 1, text: 2.0}, {"step": 2}])
    assert read_curve(store.folder(RUN) / "curve.jsonl") == [{"step": 1, text: 2.0}, {"step": 2}]


def test_str_splitlines_breaks_at_no_other_character() -> None:
    found = {chr(code) for code in range(sys.maxunicode + 1) if len(f"a{chr(code)}b".splitlines()) > 1}
    assert found == {character for character in BREAKS if len(character) == 1} - {"\0", "\x1a", "\ufeff"}


@pytest.mark.fault("a reader while a file is replaced")
def test_a_reader_sees_the_old_content_or_the_new(tmp_path: Path) -> None:
    path, seen, stop = tmp_path / "file", set[bytes](), threading.Event()
    contents = [bytes([number]) * 100_000 for number in range(3)]
    write(path, contents[0])

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for content in contents:
            write(path, content)
    stop.set()
    reader.join()
    assert seen <= set(contents)
    assert len(seen) > 1


def test_what_a_disk_refuses_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write .*file/x: a part of that path is a file, where a folder is needed"):
        write(tmp_path / "file" / "x", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder: Is a directory; what was written before is intact, start the same"):
        write(tmp_path / "folder", b"")
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_has_one_folder_of_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    folders = {store.folder(run) for run in SUITE.runs("cpu")}
    assert len(folders) == 4
    assert store.folder(RUN).parent == tmp_path / "runs" / "tiny" / "ae"
    assert store.folder(RUN).name == f"0-{RUN.key()}"
    assert store.folder(replace(RUN, latent_dim=3)) not in folders
    assert store.folder(replace(RUN, smoke=True)) not in folders


def test_a_run_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    one, two = Store(tmp_path, "tiny"), Store(tmp_path, "tiny")
    with one.claim(RUN) as mine, two.claim(RUN) as theirs, two.claim(OTHER) as free:
        assert (mine, theirs, free) == (True, False, True)
    with two.claim(RUN) as theirs:
        assert theirs


def hold(out: Path, told: Any) -> None:
    """Claim a run and die with it."""
    with Store(out, "tiny").claim(RUN) as mine:
        told.send(mine)
        told.recv()
        os._exit(9)


@pytest.mark.fault("the lock of a process that was killed")
def test_the_claim_of_a_process_that_dies_is_free(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() is True
    store, order = Store(tmp_path, "tiny"), []
    with store.claim(RUN) as mine:
        assert not mine

    def wait() -> None:
        with store.claim(RUN, wait=True) as mine:
            order.append(mine)

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.3)
    assert order == []
    ours.send("die")
    process.join()
    waiting.join(10)
    assert order == [True]


def test_who_claims_a_run_clears_what_a_killed_process_left_of_a_write(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    store.save_checkpoint(RUN, b"state")
    (store.folder(RUN) / f".x1y2z3{ENDING}").write_bytes(b"half")
    with store.claim(RUN):
        assert names(store.folder(RUN)) == ["checkpoint.pt", "lock", "lock.holder"]
        assert store.holder(RUN) == f"process {os.getpid()} on {socket.gethostname()}"


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    assert (store.record(RUN), store.written(RUN)) == (None, None)
    for status in ("failed", "diverged", "done"):
        store.save_record(RUN, record(status=status, error="ü"))
        assert store.record(RUN) == record(status=status, error="ü")
        assert store.written(RUN) == (store.folder(RUN) / "record.json").stat().st_mtime_ns


def test_a_checkpoint_comes_back_as_it_was_or_is_called_damaged(tmp_path: Path) -> None:
    store, payload = Store(tmp_path, "tiny"), b"a\nb\n\n\0" * 100
    assert store.checkpoint(RUN) is None
    store.save_checkpoint(RUN, payload)
    path = store.folder(RUN) / "checkpoint.pt"
    assert store.checkpoint(RUN) == payload
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:40], whole[:-1] + b"\1", b"", b"0" + whole[1:]):
        assert damaged != whole
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"checkpoint\.pt: damaged, its checksum does not match; delete it to train this run from the"):
            store.checkpoint(RUN)
    store.drop_checkpoint(RUN)
    store.drop_checkpoint(RUN)
    assert store.checkpoint(RUN) is None


def test_merging_keeps_every_other_cell_and_replaces_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path, "tiny")
    path = tmp_path / "leaderboards" / "runs" / "tiny.jsonl"
    assert store.merge([]) == []
    assert not path.exists()
    store.merge([record("vae", 1), record("ae", 0, error="old")])
    store.merge([record("ae", 0, error="new"), record("ae", 0, "cuda"), record("ae", 10), record("ae", 2)])
    cells = [(r["label"], r["config"]["device"], r["seed"], r["error"]) for r in store.records()]
    assert cells == [
        ("ae", "cpu", 0, "new"),
        ("ae", "cpu", 2, None),
        ("ae", "cpu", 10, None),
        ("ae", "cuda", 0, None),
        ("vae", "cpu", 1, None),
    ]
    before = path.read_bytes()
    assert store.merge(reversed(store.records())) == store.records()
    assert path.read_bytes() == before
    assert before.count(b"\n") == 5
    line = json.loads(before.splitlines()[0])
    assert line.pop("digest") == digest(line)
    assert line == {**record("ae", 0, error="new"), "version": 2}


def test_profiles_and_suites_have_files_of_their_own(tmp_path: Path) -> None:
    store, other = Store(tmp_path, "tiny"), Store(tmp_path, "tiny+seeds=3")
    store.merge([record()])
    other.merge([record("vae")])
    store.merge([profile("ae", 1.0), profile("vae", 2.0)], PROFILE)
    store.merge([profile("ae", 3.0)], PROFILE)
    assert store.records() == [record()]
    assert [(p["label"], p["step_ms"]) for p in store.records(PROFILE)] == [("ae", 3.0), ("vae", 2.0)]
    assert names(tmp_path / "leaderboards" / "runs") == ["tiny+seeds=3.jsonl", "tiny.jsonl", "tiny.profile.jsonl"]


def add(out: Path, first: int) -> None:
    for seed in range(first, first + 5):
        Store(out, "tiny").merge([record("ae", seed)])


@pytest.mark.fault("processes that put records into one file at once")
def test_processes_that_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=add, args=(tmp_path, 5 * number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [r["seed"] for r in Store(tmp_path, "tiny").records()] == list(range(20))


def test_a_line_that_is_no_record_is_named_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    good = json.dumps(record())
    assert read_records(path, "") == []
    for bad in ("{", "[]", "3", '"text"', '{"label": "ae"}', ""):
        path.write_text(f"{good}\n{bad}\n{good}\n")
        with pytest.raises(UserError, match=r"lines:2: not a record \(.*\); fix or delete that line"):
            read_records(path, "")
    store = Store(tmp_path, "tiny")
    store.merge([record("ae"), record("vae")])
    lines = (tmp_path / "leaderboards" / "runs" / "tiny.jsonl").read_text().splitlines()
    for key in record():
        less = json.dumps({name: value for name, value in record().items() if name != key})
        (tmp_path / "leaderboards" / "runs" / "tiny.jsonl").write_text(f"{lines[0]}\n{less}\n")
        with pytest.raises(UserError, match=rf"tiny\.jsonl:2: not a record \(it lacks {key}\)"):
            store.records()
    path.write_text(f"{good}\n{good}\n")
    assert read_records(path, "") == [record(), record()]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_bytes(b"\xff")
    (tmp_path / "folder" / RECORD).mkdir(parents=True)
    for read in (read_record, lambda folder: read_records(folder / RECORD, "")):
        with pytest.raises(UserError, match=rf"^{tmp_path}/{RECORD}: not a record \(.*\); fix or delete it$"):
            read(tmp_path)
        with pytest.raises(UserError, match=rf"^{tmp_path}/folder/{RECORD}: cannot be read: Is a directory$"):
            read(tmp_path / "folder")
        assert not read(tmp_path / "nowhere")
        assert not read(tmp_path / RECORD)
