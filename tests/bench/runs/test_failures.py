"""What goes wrong is said in one line, with the exit code that its kind has, and what was finished before stays.

Exit code 2: nothing of it can go on. Exit code 1: a row of the suite failed or diverged, the others went on.
"""

import gzip
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from harness import NEWS, ROWS, Started, cli, files, leftovers, outcome, records, suite, whole_records
from small_mnist import NAMES, contents, idx

from bench.records.store import Store
from bench.registry import load_plugin
from bench.runs.run import device_lost

BROKEN = """
import math
from dataclasses import dataclass, replace

from metrics.metric import Metric
from models.vae import ae

@dataclass(frozen=True)
class Term:
    factor: float
    name = "term"

    def __call__(self, draw, prior):
        if self.factor == 0:
            raise RuntimeError("shapes do\\nnot match")
        return draw.z.sum() * self.factor

def fails(dim):
    "Raises while it trains."
    return replace(ae(dim), regularisers=((1.0, Term(0.0)),))

def diverges(dim):
    "Has a loss that is no number."
    return replace(ae(dim), regularisers=((1.0, Term(math.nan)),))

METHODS = [fails, diverges]
METRICS = [Metric("endless", lambda: math.inf, (), "a number that JSON does not have", "this test")]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), ROWS, steps=20, plugin=BROKEN)


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with every run done."""
    out = tmp_path_factory.mktemp("finished")
    assert cli("run", "-s", file, "-o", out, "--jobs", 1).code == 0
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def content(folder: Path) -> dict[str, bytes]:
    """Every file but locks."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "lock" not in path.name}


def test_a_plugin_is_what_its_file_says_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's bytecode would be that of another text of the same length in the same second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    plugin, found = tmp_path / "plugin.py", []
    for version in "12":
        plugin.write_text(f"METHODS = [{version}]\n", encoding="utf-8")
        os.utime(plugin, (1e9, 1e9))
        found += load_plugin(plugin).METHODS
    assert found == [1, 2]


def test_a_truncated_mnist_file_is_named_with_its_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, values in contents().items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(values)))
    path = folder / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-300])
    result = cli("run", "-s", "mnist-cpu", "--data-root", tmp_path, "-o", tmp_path / "out")
    assert result.code == 2
    assert result.line().startswith(f"{path} is damaged: {path.stat().st_size:,} bytes that do not unpack")
    assert f"python -m bench data fetch mnist --data-root {tmp_path}" in result.line()
    assert not (tmp_path / "out").exists()


def test_a_row_that_fails_and_one_that_diverges_leave_the_others_alone(file: Path, tmp_path: Path) -> None:
    mixed = file.with_name("mixed.toml")  # without the first line, which chooses metrics: one of the plugin's is not finite
    mixed.write_text(file.read_text().partition("\n")[2] + "[methods.fails]\n[methods.diverges]\n[methods.vcae]\n")
    result = cli("run", "-s", mixed, "-o", tmp_path, "--jobs", 1)
    assert result.code == 1
    first, second = result.err.splitlines()
    assert first == "fails seed 0: failed: RuntimeError: shapes do not match (plugin.py, line 15)"
    assert second.startswith("diverges seed 0: diverged: step 1: the loss is not finite (autoencoder.loss nan, ")
    found = {name: record["status"] for name, record in records(tmp_path).items()}
    assert found == {"ae/0": "done", "wae_gan/0": "done", "fails/0": "failed", "diverges/0": "diverged", "vcae/0": "done"}
    assert set(files(tmp_path, "weights.safetensors")) == {"ae/0", "wae_gan/0", "vcae/0"}
    board = (tmp_path / "leaderboards" / "mixed.md").read_text(encoding="utf-8")
    assert "- fails, seed 0, failed: RuntimeError: shapes do not match (plugin.py, line 15)" in board
    assert f"- {second.replace(' seed 0: ', ', seed 0, ')}" in board
    assert "shapes do\nnot match" in files(tmp_path, "error.txt")["fails/0"].read_text(encoding="utf-8")
    assert "Not profiled: fails, diverges;" in board
    assert re.search(r"^\|ae\|.*\[1\]", board, re.MULTILINE)
    assert "endless returned inf, not a finite number" in board
    again = cli("run", "-s", mixed, "-o", tmp_path, "--jobs", 1)
    assert (again.code, again.err) == (1, f"{first}\n"), "what failed is tried again, what diverged is not"
    assert {name: record["status"] for name, record in records(tmp_path).items()} == found


def test_a_row_that_cannot_be_profiled_says_so(file: Path, tmp_path: Path) -> None:
    mixed = file.with_name("profiled.toml")
    mixed.write_text(file.read_text() + "[methods.fails]\n")
    result = cli("profile", "-s", mixed, "--method", "fails", "-o", tmp_path)
    assert result.code == 2
    assert result.line() == "fails: cannot be profiled: RuntimeError: shapes do not match (plugin.py, line 15)"


@pytest.mark.fault("a checkpoint cut short or overwritten")
def test_a_checkpoint_that_is_damaged_fails_its_row_alone_until_it_is_deleted(file: Path, tmp_path: Path) -> None:
    options = ("run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 1)
    assert cli(*options, "--methods", "ae").code == 0
    (record,) = files(tmp_path, "record.json").values()
    checkpoint = record.with_name("checkpoint.pt")
    record.unlink()
    for damage, says in (
        (b"0" * 64 + b"\nnot what was written", f"{checkpoint}: damaged, its checksum does not match; delete it"),
        (b"", f"{checkpoint}: damaged"),
        (whole(b"no state"), f"{checkpoint}: cannot go on from it ("),
    ):
        checkpoint.write_bytes(damage)
        result = cli(*options)
        assert result.code == 1
        assert result.err.startswith(f"ae seed 0: failed: {says}")
        assert result.err.count("\n") == 1
        assert {name: record["status"] for name, record in records(tmp_path).items()} == {"ae/0": "failed", "wae_gan/0": "done"}
        assert checkpoint.read_bytes() == damage, "it is the user's to delete"
    checkpoint.unlink()
    assert cli(*options).code == 0
    assert {record["status"] for record in records(tmp_path).values()} == {"done"}
    assert list(leftovers(tmp_path)) == []


def whole(payload: bytes) -> bytes:
    """A checkpoint with a good checksum."""
    import hashlib

    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def index_of(out: Path) -> str:
    return (out / "leaderboards" / "README.md").read_text(encoding="utf-8")


OF_A_NEWER_VERSION = json.dumps({"toml": "question = 'Q'\nnew_key = 1\n", "set": [], "file": "other.toml"})


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"toml": "", "set": []}', OF_A_NEWER_VERSION, "\ufeff{}", "\0" * 40])
def test_another_suites_file_that_is_none_is_a_warning_and_stops_nothing(file: Path, out: Path, text: str) -> None:
    path = out / "leaderboards" / "runs" / "other.suite.json"
    path.write_text(text, encoding="utf-8")
    for command in (("leaderboard",), ("run", "--jobs", 1)):
        result = cli(command[0], "-s", file, "-o", out, *command[1:])
        assert result.code == 0
        assert result.err.startswith(f"warning: {path}: not a suite that this version can read (")
        assert result.err.endswith("; delete it; the index is written without it\n")
        assert result.err.count("\n") == 1
    assert "[tiny](tiny.md)" in index_of(out)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("kind", ["a folder", "a link to itself"])
def test_a_path_of_another_suite_that_is_no_file_is_a_warning(file: Path, out: Path, kind: str) -> None:
    path = out / "leaderboards" / "runs" / "other.suite.json"
    path.mkdir() if kind == "a folder" else path.symlink_to(path)
    result = cli("leaderboard", "-s", file, "-o", out)
    assert (result.code, result.err.count("\n")) == (0, 1)
    assert result.err.startswith(f"warning: {path}: not a suite")


WRONG = {"label": "ae", "suite": "digits", "seed": "x", "row_key": [], "status": 3, "config": None, "metrics": [], "spent": 1}


@pytest.mark.parametrize("damage", ["{", '{"label": "ae"', "[]", "null", "\n\n", "half", "bytes", json.dumps(WRONG), "of wrong values"])
def test_records_of_another_suite_that_are_none_are_a_warning_and_stop_nothing(file: Path, out: Path, damage: str) -> None:
    folder = out / "leaderboards" / "runs"
    path, good = folder / "digits.jsonl", (folder / "tiny.jsonl").read_bytes()
    none = {
        "suite": "digits",
        "environment": None,
        "hashes": None,
        "cost": None,
        "error": 5,
        "config": None,
        "metrics": None,
        "spent": None,
    }
    content = {
        "half": good[: len(good) // 2],
        "bytes": b"\xff\xfe",
        "of wrong values": json.dumps(json.loads(good.split(b"\n")[0]) | none).encode(),
    }.get(damage, damage.encode())
    path.write_bytes(content)
    for command in (("leaderboard",), ("run", "--jobs", 1)):
        result = cli(command[0], "-s", file, "-o", out, *command[1:])
        assert result.code == 0
        assert result.err.startswith(f"warning: {path}")
        assert result.err.endswith("; the index is written without digits\n")
        assert result.err.count("\n") == 1
    assert "[tiny](tiny.md)" in index_of(out)
    assert path.read_bytes() == content


def bench(*arguments: object, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line behind another program, which changes what it may do."""
    root = Path(__file__).parents[3]
    command = [*(before or []), sys.executable, "-m", "bench", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)


@pytest.mark.fault("a folder of results that cannot be written to")
def test_a_read_only_output_folder_is_said_before_anything_starts(file: Path, out: Path) -> None:
    powers = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    if powers and shutil.which("setpriv") is None:
        pytest.skip("root writes where nobody may; needs setpriv to give that up")
    folders = [out, *(path for path in out.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        before = content(out)
        result = bench("run", "-s", file, "-o", out, "--jobs", 1, before=powers)
        assert content(out) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert result.returncode == 2
    assert re.fullmatch(rf"latentbench: cannot write {out}\S+: Permission denied; what was written before is intact, .*\n", result.stderr)


@pytest.mark.fault("a full disk, of 1120 KiB")
@pytest.mark.slow
def test_a_full_disk_ends_the_command_and_nothing_is_lost(file: Path, tmp_path: Path) -> None:
    """A file system of 1120 KiB: one run with the cache of features fits, the second does not."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs unshare and the right to mount a file system of its own")
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    script = f"""mount -t tmpfs -o size=1120k none {disk} || exit 77
{sys.executable} -m bench run -s {file} -o {disk} --no-profile --jobs 1 --methods ae > {tmp_path}/first; echo $?
cp -r {disk} {kept}-before
{sys.executable} -m bench run -s {file} -o {disk} --no-profile --jobs 1; echo $?
cp -r {disk} {kept}"""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = ["unshare", "-rm", "bash", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    if result.returncode == 77:
        pytest.skip("needs the right to mount a file system of its own")
    assert result.stdout.split() == ["0", "2"]
    assert re.fullmatch(
        rf"latentbench: cannot write {disk}\S+: No space left on device; .*start the same command again.*\n", NEWS.sub("", result.stderr)
    )
    first, after = content(Path(f"{kept}-before")), content(kept)
    assert {name: after.get(name) for name in first} == first
    assert list(leftovers(kept)) == []
    assert cli("run", "-s", file, "-o", kept, "--no-profile", "--jobs", 1).code == 0
    assert set(records(kept)) == {"ae/0", "wae_gan/0"}


def limited(limit: int, arguments: list[str], folder: Path) -> Started:
    """A command none of whose files may grow beyond `limit` bytes: a write fails then as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    cli("list", "suites")  # everything that is imported is imported, and no byte code is written below the limit
    started = Started(folder, *arguments)
    resource.prlimit(started.pid, resource.RLIMIT_FSIZE, (limit, before[1]))
    return started


@pytest.mark.fault("a disk that is full in the middle of a file")
def test_a_file_that_cannot_be_written_whole_ends_the_command_and_nothing_is_lost(file: Path, finished: Path, tmp_path: Path) -> None:
    """Weights of `mlp` take 300 kB, everything else less than 100."""
    options = ["run", "-s", str(file), "-o", str(tmp_path / "out"), "--no-profile", "--jobs", "1"]
    result = limited(150_000, options, tmp_path).wait()
    assert result.code == 2
    assert re.fullmatch(rf"cannot write {tmp_path}/out/runs/\S+/weights.safetensors: File too large; .*", result.line())
    assert list(leftovers(tmp_path / "out")) == []
    assert cli(*options).code == 0
    assert outcome(tmp_path / "out") == outcome(finished)


def test_values_of_any_length_make_names_that_files_can_have(file: Path, tmp_path: Path) -> None:
    result = cli("run", "-s", file, "-o", tmp_path, "--set", f"question='{'long ' * 80}'", "--methods", "ae", "--no-profile", "--jobs", 1)
    assert (result.code, result.err) == (0, "")


@pytest.mark.fault("a write of records that fails")
def test_a_store_keeps_what_it_had_where_a_write_fails(finished: Path, tmp_path: Path) -> None:
    """Half of a record is never seen: the old one is there until the new one is whole."""
    path = tmp_path / "out" / "leaderboards" / "runs" / "tiny.jsonl"
    shutil.copytree(finished, tmp_path / "out")
    before, store = path.read_bytes(), Store(tmp_path / "out", "tiny")
    changed = {**store.records()[0], "error": "x" * 20_000}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), hard))
    try:
        with pytest.raises(Exception, match=r"cannot write .*tiny\.jsonl: File too large"):
            store.merge([changed])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []
    assert json.loads(before.splitlines()[0])["error"] is None


def test_a_device_that_no_longer_answers_ends_the_command_and_not_the_other_rows(tmp_path: Path) -> None:
    """After an access out of bounds every call of that process to its GPU raises: only the run that did it has failed by its own fault."""
    two = suite(tmp_path / "s", "[methods.fails]\n[methods.ae]\n", seeds=1, steps=2, plugin=BROKEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.runs.run.device_lost", lambda device: "AcceleratorError: CUDA error: an illegal memory access was encountered")
        result = cli("run", "-s", two, "-o", tmp_path, "--no-profile", "--jobs", 1)
    assert result.code == 2
    assert "fails seed 0 failed, and cpu with it: AcceleratorError: CUDA error: an illegal" in result.err
    assert {name: record["status"] for name, record in whole_records(tmp_path).items()} == {"fails/0": "failed"}
    assert cli("run", "-s", two, "-o", tmp_path, "--no-profile", "--jobs", 1).code == 1
    assert {name: record["status"] for name, record in whole_records(tmp_path).items()} == {"fails/0": "failed", "ae/0": "done"}


def test_a_device_is_lost_where_it_answers_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unanswered(device: torch.device) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    assert device_lost(torch.device("cpu")) == ""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    assert device_lost(torch.device("cuda")) == ""
    monkeypatch.setattr(torch.cuda, "synchronize", unanswered)
    assert "illegal memory access" in device_lost(torch.device("cuda"))
