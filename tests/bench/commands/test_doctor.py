"""`doctor` on machines that have something: each defect is a real one, is named with its remedy, and decides the exit code."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faulty_libc import environment
from harness import Started, cli, files, suite, until
from small_mnist import NAMES, contents, idx

from bench.commands.doctor import machine, packages
from bench.commands.doctor.finding import Finding, exit_code
from bench.records.locks import HOLDER
from bench.records.store import Store
from bench.suites import reader
from metrics.features import inception

ROOT = Path(__file__).parents[3]


def doctor(out: Path, *options: object) -> tuple[int, list[Finding]]:
    """Exit code and findings of the command."""
    result = cli("doctor", "-o", out, "--data-root", out / "data", "--json", *options)
    assert result.whole_err == ""
    return result.code, read(result.out)


def read(text: str) -> list[Finding]:
    """The findings of --json; the exit code in it is that of the worst."""
    said = json.loads(text)
    found = [Finding(**one) for one in said["findings"]]
    assert said["exit_code"] == exit_code(found)
    return found


def bad(found: list[Finding], area: str) -> list[Finding]:
    """The warnings and faults of an area; each has a remedy."""
    of = [one for one in found if one.area == area and one.state in ("warning", "fault")]
    assert all(one.remedy for one in of)
    return of


def test_a_machine_that_can_run_has_no_fault_and_nothing_is_left_behind(tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert code < 2, [one for one in found if one.state == "fault"]
    areas = {one.area for one in found}
    assert {"python", "packages", "device", "threads", "kernels", "folders", "datasets", "weights", "leftovers"} <= areas
    assert not list(tmp_path.iterdir())
    text = cli("doctor", "-o", tmp_path, "--data-root", tmp_path / "data").out
    assert [line.split()[0] for line in text.splitlines()].count("ok") == sum(one.state == "good" for one in found)
    assert text.count("-> ") == sum(one.state != "good" and bool(one.remedy) for one in found)


def test_versions_are_compared_with_those_declared(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        """[project]
requires-python = ">=3.99"
dependencies = ["numpy>=99", "packaging", "no-such-package-of-anyone>=1"]
[project.optional-dependencies]
some = ["pillow>=99"]
none = ["no-such-package-of-anyone"]
""",
        encoding="utf-8",
    )
    found = list(packages.examine(project))
    python, numpy, absent, pillow, extras = found
    assert [one.state for one in found] == ["fault", "warning", "fault", "warning", "note"]
    assert ">=3.99 is declared" in python.says
    assert numpy.says.endswith(" is installed, >=99 is declared")
    assert (absent.says, absent.remedy) == (
        "no-such-package-of-anyone is not installed, no-such-package-of-anyone>=1 is declared",
        "pip install 'no-such-package-of-anyone>=1'",
    )
    assert pillow.says.startswith("pillow ")
    assert (extras.says, extras.remedy) == (
        "extras that are not installed, or not whole: none",
        "for one of them: pip install 'latentbench[none]'",
    )


def test_what_an_installation_declares_is_what_the_checkout_does() -> None:
    if not any(one.name == "numpy" for one in packages.of_checkout(packages.PROJECT)[1][""]):
        raise AssertionError("the checkout declares nothing")
    try:
        python, declared = packages.of_installation()
    except packages.importlib.metadata.PackageNotFoundError:
        pytest.skip("latentbench is not installed here")
    assert python
    assert {one.name for one in declared[""]} >= {"torch", "numpy", "typer"}
    assert {one.name for one in declared["ray"]} == {"ray"}


@pytest.mark.parametrize(("value", "says"), [("1000", "OMP_NUM_THREADS is 1000, and there are "), ("many", "OMP_NUM_THREADS is 'many'")])
def test_more_threads_than_cores_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    code, found = doctor(tmp_path)
    (one,) = bad(found, "threads")
    assert code == 1
    assert one.says.startswith(says)
    assert one.remedy.startswith("export OMP_NUM_THREADS=")


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", float("inf")), ("", float("inf"))])
def test_a_containers_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cores: float) -> None:
    monkeypatch.setattr(machine, "QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.allowed() == cores
    said = [one.remedy for one in machine.threads(8) if one.state == "warning"]
    assert said == (["say how many runs at a time: --jobs 1"] if cores < 8 else [])


def test_kernels_that_cannot_run_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTBENCH_KERNELS", "trition")
    code, found = doctor(tmp_path)
    assert code == 2
    (one,) = bad(found, "kernels")
    assert "did you mean 'triton'?" in one.says
    assert one.remedy == "unset LATENTBENCH_KERNELS"


def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(0o555)
    code, found = doctor(tmp_path / "out" / "deeper")
    assert code == 2
    results, data = [one for one in found if one.area == "folders" and "cannot be written" in one.says]
    assert (results.state, results.remedy) == ("fault", "choose another --out")
    assert results.says == f"results in {tmp_path}/out/deeper: {tmp_path}/out cannot be written"
    assert data.state == "note", "data are packed elsewhere then"


def outside(command: str, out: Path, variables: dict[str, str] | None = None) -> tuple[int, list[Finding]]:
    """The command in a process of its own, behind a line of a shell in a name space where file systems may be mounted."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs unshare and the right to mount a file system of its own")
    script = f"{command} || exit 77; {sys.executable} -m bench doctor --json -o {out} --data-root {out}"
    given = {**os.environ, "PYTHONPATH": str(ROOT)} | (variables or {})
    done = subprocess.run(["unshare", "-rm", "bash", "-c", script], capture_output=True, text=True, timeout=120, env=given, check=False)
    if done.returncode == 77:
        pytest.skip("needs the right to mount a file system of its own")
    assert done.stderr == ""
    return done.returncode, read(done.stdout)


def test_a_full_disk_is_a_fault(tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o size=100k none {tmp_path} && head -c 90000 /dev/zero > {tmp_path}/full"
    code, found = outside(mounted, tmp_path)
    assert code == 2
    (one,) = [one for one in bad(found, "folders") if one.state == "fault"]
    assert "No space left on device" in one.says
    assert one.remedy == "choose another --out"


def test_a_disk_with_little_room_is_a_fault_before_it_is_full(tmp_path: Path) -> None:
    code, found = outside(f"mount -t tmpfs -o size=20m none {tmp_path}", tmp_path)
    assert code == 2
    (one,) = [one for one in bad(found, "folders") if one.state == "fault"]
    assert one.says == f"results in {tmp_path}: 0.0 GiB free"


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS])
def test_a_disk_without_locks_is_a_fault(tmp_path: Path, error: int) -> None:
    command = [sys.executable, "-m", "bench", "doctor", "--json", "-o", str(tmp_path / "out"), "--data-root", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment(tmp_path, flock=error), cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    faults = [one for one in read(done.stdout) if one.state == "fault"]
    assert [one.area for one in faults] == ["locks"]
    assert os.strerror(error) in faults[0].says
    assert "without nolock" in faults[0].remedy


def test_damaged_data_and_weights_are_named(tmp_path: Path) -> None:
    """Files of MNIST's names whose content is another, and a file of Inception's weights that is none."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, values in contents().items():
        (folder / name).write_bytes(idx(values))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / inception.FILE).write_bytes(b"not these")
    code, found = doctor(tmp_path, "--data-root", tmp_path)
    assert code >= 1
    (one,) = [one for one in bad(found, "datasets") if one.says.startswith("mnist:")]
    assert one.says == f"mnist: damaged: {folder}"
    assert one.remedy == f"python -m bench data fetch mnist --data-root {tmp_path}"
    (one,) = bad(found, "weights")
    assert one.says.startswith(f"inception-tf: {inception.FILE} in the folder weights of the data root has sha256 ")
    (folder / NAMES[0]).unlink()
    states = [one.says.split(":")[1] for one in bad(doctor(tmp_path, "--data-root", tmp_path)[1], "datasets")]
    assert set(states) == {" incomplete"}, "of MNIST, and of the part of it that is a dataset of its own"


def held(folder: Path, told: Any) -> None:
    """Hold a run's lock under the name of a process that is gone."""
    store, (run,) = Store(folder, "tiny"), reader.read(str(folder / "suite" / "tiny.toml")).runs("cpu")
    with store.claim(run):
        (store.folder(run) / HOLDER).write_text(f"process 4194303 on {os.uname().nodename}")
        told.send(None)
        told.recv()


def test_what_a_killed_run_left_is_named_and_goes_with_the_next_start(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", "[methods.ae]\n", steps=1000)
    options = ("run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 1, "--save-every", 0)
    started = Started(tmp_path, *options)
    until(lambda: files(tmp_path, "checkpoint.pt"), "a checkpoint")
    started.kill()
    (folder,) = tmp_path.glob("runs/tiny/ae/*")
    (folder / ".half.writing").write_bytes(b"half")
    said = [one for one in doctor(tmp_path)[1] if one.area == "leftovers"]
    assert {one.state for one in said} == {"note"}
    begun, half, killed = [one.says for one in said]
    assert begun == "tiny: 1 interrupted run with a checkpoint: ae seed 0"
    assert half == f"1 half-written file of killed processes: {folder}/.half.writing"
    assert killed == f"1 run whose process was killed: {folder}"
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=held, args=(tmp_path, theirs), daemon=True)
    process.start()
    ours.recv()
    (one,) = bad(doctor(tmp_path)[1], "leftovers")
    assert one.says == f"1 locked by a process that is gone: {folder}/lock (process 4194303 on {os.uname().nodename})"
    ours.send(None)
    process.join()
    assert cli(*options).code == 0
    assert [one.state for one in doctor(tmp_path)[1] if one.area == "leftovers"] == ["good"]
