"""The command line as a user meets it: in this process, or in one of its own that can be interrupted and killed."""

import contextlib
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bench.__main__ import main
from bench.records.store import read_record

HEAD = """
question = "Does it hold?"
hardware = "any"
expected_time = "seconds"
dataset = "digits"
network = "mlp"
latent_dim = 2
batch_size = 100
seeds = {seeds}
plugins = {plugins}

[budget]
steps = {steps}

"""
ROWS = """
[methods.ae]
[methods.wae_gan]
width = 32
"""
METRICS = (  # that every method has, without the one that trains a network, which takes four fifths of the time of all
    "rec_sse_test",
    "rec_sse_train",
    "overfit_gap",
    "frechet_pixels_reconstruction",
    "frechet_pca_reconstruction",
    "frechet_pca_floor",
    "frechet_classifier_reconstruction",
    "nn_distance_test",
    "active_units",
)

# processes forked from one that has imported what takes seconds; a plain start of the command line imports it each time
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["bench.commands.run", "torch._dynamo", "torch.profiler", "sklearn.datasets", "sklearn.model_selection"])


def suite(folder: Path, rows: str = ROWS, *, seeds: int = 1, steps: int = 300, plugin: str = "", metrics: Sequence[str] = METRICS) -> Path:
    """A suite file `tiny.toml` of a few seconds, with a plugin file beside it if one is given; no metrics are all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    if plugin:
        (folder / "plugin.py").write_text(plugin, encoding="utf-8")
    path = folder / "tiny.toml"
    named = f"metrics = {list(metrics)}" if metrics else ""
    path.write_text(named + HEAD.format(seeds=seeds, steps=steps, plugins=["plugin.py"] if plugin else []) + rows, encoding="utf-8")
    return path


def suite_of_images(folder: Path, plugin: str) -> Path:
    """A suite file of six steps on the dataset `small` of a plugin file, which is written beside it."""
    path = suite(folder, "[methods.vae_gauss]\n", steps=6, plugin=plugin, metrics=["rec_sse_test"])
    text = path.read_text(encoding="utf-8").replace('"digits"', '"small"').replace("batch_size = 100", "batch_size = 8")
    path.write_text(text, encoding="utf-8")
    return path


NEWS = re.compile(r"[^\n]+ seed \d+: done, \d+ of \d+\n")  # of runs that have ended


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    whole_err: str

    @property
    def err(self) -> str:
        """What it said on standard error, but for news of runs that are done, whose order depends on other processes."""
        return NEWS.sub("", self.whole_err)

    def line(self) -> str:
        """The one line on standard error of a command that could not do what it was asked."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("latentbench: ")
        assert "Traceback" not in self.out
        return lines[0].removeprefix("latentbench: ")


def cli(*arguments: object) -> Result:
    """A command in this process."""
    forkserver.ensure_running()  # as above, before the command starts it for its own workers
    out, err, code = io.StringIO(), io.StringIO(), 0
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["latentbench", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Result(code, out.getvalue(), err.getvalue())


class Started:
    """A command in a process, and a process group, of its own; what it says is in two files, or on the device or pipe that is named."""

    def __init__(self, folder: Path, *arguments: object, out: str | Connection = "", environment: Mapping[str, str] = MappingProxyType({})):
        self.logs = [folder / f"{len(list(folder.glob('*.out')))}.{name}" for name in ("out", "err")]
        sinks = [out or str(self.logs[0]), str(self.logs[1])]
        self.process = FORKS.Process(target=child, args=([str(a) for a in arguments], sinks, dict(environment)))
        self.process.start()
        self.pid = self.process.pid or 0

    def signal(self, number: int, group: bool = True) -> None:
        """Send it, and its workers, a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number) if group else os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL for all of it."""
        until(lambda: group_of(self.pid) in (self.pid, None), "its process group")
        self.signal(signal.SIGKILL)
        self.process.join(10)

    def wait(self, seconds: float = 120) -> Result:
        """Its end."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.kill()
            raise AssertionError(f"still running after {seconds} s")
        return Result(self.process.exitcode, *(log.read_text(encoding="utf-8") if log.exists() else "" for log in self.logs))

    def workers(self) -> list[int]:
        """The processes of its group but itself."""
        return [pid for pid in pids() if pid != self.pid and group_of(pid) == self.pid]


def sweep_on(engine: str, file: Path, out: Path, *options: str, before: Sequence[str] = ()) -> "subprocess.Popen[str]":
    """`run --engine` in a plain process of its own, by a command before it where one is given; it hears Ctrl-C wherever tests run."""
    command = [*before, sys.executable, "-m", "bench", "run", "-s", str(file), "-o", str(out), "--no-profile", "--save-every", "0"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background has it ignored
    return subprocess.Popen([*command, "--engine", engine, *options], **pipes, env=environment, preexec_fn=heard)


def child(arguments: list[str], sinks: list[str | Connection], environment: dict[str, str]) -> None:
    """What a started process does."""
    os.environ |= environment
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it ignored, or blocked
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number, sink in ((2, sinks[1]), (1, sinks[0])):
        os.dup2(os.open(sink, os.O_WRONLY | os.O_CREAT) if isinstance(sink, str) else sink.fileno(), number)
    # as a start of Python makes them for what they are: those of the process it is forked from were made for others
    sys.stdout, sys.stderr = open(1, "w", encoding="utf-8"), open(2, "w", buffering=1, encoding="utf-8")  # noqa: SIM115
    sys.argv = ["latentbench", *arguments]
    main()


def pids() -> list[int]:
    """Every process of the machine."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs /proc to see processes")
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def group_of(pid: int) -> int | None:
    """The process group of a process that lives; None for one that has ended."""
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(group)


def until(true: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """Wait for something to become true; -> what it became."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.002)
    raise AssertionError(f"waited {seconds} s for {what}")


def files(out: Path, name: str) -> dict[str, Path]:
    """A kind of file of every run, by `label/seed`."""
    return {f"{path.parts[-3]}/{path.parts[-2].split('-')[0]}": path for path in sorted(out.glob(f"runs/*/*/*/{name}"))}


def whole_records(out: Path) -> dict[str, dict[str, Any]]:
    """What the record of every run says, by `label/seed`."""
    found = {name: read_record(path.parent) for name, path in files(out, "record.json").items()}
    return {name: record for name, record in found.items() if record}


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Every record without what differs between two equal runs."""
    found = whole_records(out)
    for record in found.values():
        record["environment"].pop("jobs")
        assert record.pop("cost") or record["status"] == "failed"
        assert record.pop("times")["started"]
    return found


def outcome(out: Path) -> dict[str, Any]:
    """All that must be equal, bit for bit, however often the runs were interrupted."""
    whole: dict[str, Any] = {"records": records(out)}
    for name in ("curve.jsonl", "weights.safetensors"):
        whole[name] = {run: path.read_bytes() for run, path in files(out, name).items()}
    return whole


def leftovers(out: Path) -> Iterator[Path]:
    """What a finished command must not leave: checkpoints and temporary files, in the cache of features neither."""
    found = (path for path in out.rglob("*") if path.name == "checkpoint.pt" or path.name.startswith("."))
    return (path for path in found if path.name != ".features")
