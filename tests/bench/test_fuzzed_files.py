"""Readers of files that anybody may have damaged: a right value or one line, never a traceback, a hang or a write.

A few examples each by default, the same ones each time; thousands with `-m slow`.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import bytes_of_it, toml_of_it, values_of_it
from harness import cli, files, suite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.commands.status import state_of
from bench.errors import RunError, UserError
from bench.leaderboard import publish
from bench.leaderboard.curves import curves, mean_curve
from bench.records.locks import HOLDER
from bench.records.store import PROFILE, Store, as_lines, read_curve, read_ending, read_record, read_records
from bench.registry import catalogue
from bench.runs.finished import weights_in
from bench.runs.prepare import prepare
from bench.runs.resolve import resolve
from bench.suites import reader
from bench.training.checkpoint import dump_state, resume
from bench.training.train import Training

OLD = Path(__file__).parent / "records" / "version1.jsonl"
COUNTS = [
    pytest.param(50, id="few"),
    pytest.param(2000, id="thousands", marks=[pytest.mark.slow, pytest.mark.timeout(1500)]),
]
TOML = """question = "How?"
hardware = "any"
dataset = "digits"
network = "mlp"
latent_dim = 2
batch_size = 100
seeds = 1
held_out = "test"
precision = "float32"
equal_capacity = 0.5
metrics = ["rec_sse_test"]
plugins = []
headline = ["rec_sse_test"]
[budget]
steps = 20
[optimizer]
lr = 1e-3
betas = [0.9, 0.999]
milestones = [[3, 0.5]]
[presets.paper]
batch_size = 50
[methods.ae]
preset = "paper"
[methods.wae_mmd]
weight = { from = 0, to = 1, over = "3 steps" }
[methods.beta_vae]
[methods.beta_vae.sweep]
beta = [1.0, 4.0]
[methods.beta_vae.select]
metric = "rec_sse_test"
[methods.vae_gauss]
[methods.vae_gauss.density]
model = "mixture"
"""


@dataclass(frozen=True)
class Finished:
    """A finished suite of one run."""

    out: Path
    folder: Path  # of the run
    file: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("out")
    file = suite(out / "suite", "[methods.ae]\n", steps=4, metrics=["rec_sse_test", "mig"])
    assert cli("run", "-s", file, "-o", out, "--jobs", 1).code == 0
    return Finished(out, files(out, "record.json")["ae/0"].parent, file)


def hold(path: Path, contents: st.SearchStrategy[bytes], count: int, read: Callable[[], Any]) -> None:
    """`read` gives a value or one line for each content of the file, and leaves all files as they are."""
    folder = path.parent

    def state() -> dict[Path, bytes]:
        return {other: other.read_bytes() for other in folder.iterdir() if other.is_file()}

    @settings(max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(contents)
    def each(content: bytes) -> None:
        path.write_bytes(content)
        before = state()
        said = "a value"
        try:
            read()
        except (UserError, RunError) as error:
            said = str(error)
        assert said.isprintable(), "one line"
        assert 0 < len(said) < 2000
        assert state() == before

    whole = path.read_bytes() if path.exists() else None
    try:
        each()
    finally:
        path.unlink() if whole is None else path.write_bytes(whole)


def records_of(path: Path, kind: str) -> None:
    """What was read can be written, and is the same when it is read again."""
    found = read_records(path, kind)
    written = path.with_suffix(".again")
    written.write_bytes(as_lines(found))
    again = read_records(written, kind)
    written.unlink()
    assert again == found


@pytest.mark.parametrize("count", COUNTS)
def test_suite_files(tmp_path: Path, count: int) -> None:
    """A suite that is read can be asked for its runs, and each of them says what is wrong with it."""
    path, known = tmp_path / "tiny.toml", catalogue()
    path.write_text(TOML, encoding="utf-8")

    def read() -> None:
        for run in reader.read(str(path)).runs("cpu")[:20]:
            assert run.key()
            resolve(run, known)

    read()
    hold(path, toml_of_it(TOML) | bytes_of_it(TOML.encode()), count, read)


@pytest.mark.parametrize("count", COUNTS)
def test_kept_suites(finished: Finished, count: int) -> None:
    path = finished.out / "leaderboards" / "runs" / "tiny.suite.json"
    whole = path.read_bytes()
    changed = values_of_it(json.loads(whole)).map(str.encode)
    hold(path, changed | bytes_of_it(whole), count, lambda: publish.suite_of(finished.out, "tiny").runs("cpu"))


@pytest.mark.parametrize("count", COUNTS)
def test_records_of_runs(finished: Finished, count: int) -> None:
    """With the digest of what was there, without one, and of version 1, which has none."""
    path = finished.folder / "record.json"
    whole = json.loads(path.read_bytes())
    forms = [whole, {name: field for name, field in whole.items() if name != "digest"}, json.loads(OLD.read_bytes().split(b"\n")[1])]
    changed = st.sampled_from(forms).flatmap(values_of_it).map(str.encode)

    def read() -> None:
        record = read_record(finished.folder)
        ending = read_ending(finished.folder)
        assert record is not None
        assert ending == {"status": record["status"], "error": record["error"]}

    hold(path, changed | bytes_of_it(path.read_bytes()), count, read)


@pytest.mark.parametrize("kind", ["", PROFILE])
@pytest.mark.parametrize("count", COUNTS)
def test_records_and_profiles_of_suites(finished: Finished, kind: str, count: int) -> None:
    path = finished.out / "leaderboards" / "runs" / f"tiny{kind}.jsonl"
    whole = path.read_bytes()
    first, *rest = whole.decode().split("\n")
    line = json.loads(first)
    forms = [line, {name: field for name, field in line.items() if name != "digest"}]
    changed = st.sampled_from(forms).flatmap(values_of_it).map(lambda text: "\n".join([text, *rest]).encode())
    descriptions = values_of_it([json.loads(text) for text in rest if text]).map(
        lambda text: "\n".join([first, *map(json.dumps, listed(text))]).encode()
    )
    hold(path, changed | descriptions | bytes_of_it(whole), count, lambda: records_of(path, kind))


def listed(text: str) -> list[Any]:
    """What a JSON text has in it, if it can be read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("count", COUNTS)
def test_curves(finished: Finished, count: int) -> None:
    """What is read can be averaged, as a drawing needs it."""
    path = finished.folder / "curve.jsonl"
    whole = path.read_bytes()
    changed = values_of_it(json.loads(whole.split(b"\n")[0])).map(str.encode)
    store, tiny = Store(finished.out, "tiny"), reader.read(str(finished.file))

    def read() -> None:
        for rows in curves(store, tiny)["ae"]:
            for term in {name for row in rows for name in row}:
                steps, values = mean_curve([rows], term)
                assert len(steps) == len(values)

    read()
    hold(path, changed | changed.map(lambda line: whole + line) | bytes_of_it(whole), count, read)


@pytest.mark.parametrize("count", COUNTS)
def test_weights(finished: Finished, count: int) -> None:
    path = finished.folder / "weights.safetensors"
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = values_of_it(json.loads(whole[8 : 8 + length])).map(str.encode)
    changed = header.map(lambda text: len(text).to_bytes(8, "little") + text + whole[8 + length :])
    lengths = st.integers(0, 2**64 - 1).map(lambda number: number.to_bytes(8, "little") + whole[8:])
    hold(path, changed | lengths | bytes_of_it(whole[: 8 + length + 40]) | bytes_of_it(whole), count, lambda: weights_in(path))


@pytest.mark.parametrize("count", COUNTS)
def test_checkpoints(finished: Finished, count: int) -> None:
    """Damaged ones, and ones that somebody damaged and gave a checksum that fits."""
    store, (run,) = Store(finished.out, "tiny"), reader.read(str(finished.file)).runs("cpu")
    prepared = prepare(run, catalogue())
    stream = torch.get_rng_state()

    def training() -> Training:
        return Training(prepared.method, prepared.plan, torch.Generator(), capture=False)

    payload = dump_state(training().state(0.0), torch.device("cpu"))
    path = finished.folder / "checkpoint.pt"
    store.save_checkpoint(run, payload)
    whole = path.read_bytes()

    def sealed(content: bytes) -> bytes:
        return hashlib.sha256(content).hexdigest().encode() + b"\n" + content

    def read() -> None:
        resume(training(), store.checkpoint(run), path)

    read()
    try:
        hold(path, bytes_of_it(whole) | bytes_of_it(payload).map(sealed), count, read)
    finally:
        torch.set_rng_state(stream)
        path.unlink()


@pytest.mark.parametrize("count", COUNTS)
def test_what_says_who_works_on_a_run(finished: Finished, count: int) -> None:
    store, (run,) = Store(finished.out, "tiny"), reader.read(str(finished.file)).runs("cpu")
    with store.claim(run) as mine:
        assert mine
        store.note_share(run, 0.5)
        path = finished.folder / HOLDER
        hold(path, bytes_of_it(path.read_bytes()), count, lambda: one_line(state_of(store, run)))


def one_line(text: str) -> None:
    assert text.isprintable()
    assert text.startswith("running by ")


FOUND = {
    '[methods]\n"a\\nb" = 5\n': "methods.a\\nb must be a table, not 5",
    'dataset = "digits"\n"x\\u001b[2J" = 1\n[methods.ae]\n': "unknown key 'x\\x1b[2J'; known:",
    f"seeds = 0x{'f' * 5000}\n": "seeds is too large",
    "[methods.ae]\nweight = 9223372036854775808\n": "methods.ae.weight is too large",
    "[methods.ae]\nsince = 1979-05-27\n": "methods.ae.since must be a number, a text, true or false, a list or a table, not",
    "[methods.ae]\nweight = [1.0, {a = nan}]\n": "methods.ae.weight[1].a must be finite, not nan",
    "[methods.ae.sweep]\n'../../x' = [1.0]\n": "methods.ae.sweep.'../../x': a key names rows with its values",
    f"{'9' * 5000} = 1\n[methods.ae]\n": "unknown key '999",
}


@pytest.mark.parametrize(("text", "says"), FOUND.items(), ids=range(len(FOUND)))
def test_what_was_found_in_suite_files(tmp_path: Path, text: str, says: str) -> None:
    """By the command that reads no more than the file: one line, however long the names in it are."""
    path = tmp_path / "tiny.toml"
    path.write_text(text, encoding="utf-8")
    result = cli("status", path, "-o", tmp_path)
    assert result.code == 2
    assert result.line().startswith(f"{path}: {says}")
    assert len(result.line()) < 2000


def test_what_was_found_in_files_of_runs(finished: Finished) -> None:
    """Names that are none, numbers that no array holds, a suite that is no text, a share that is no number."""
    boards = finished.out / "leaderboards" / "runs"
    curve, record, kept = finished.folder / "curve.jsonl", boards / "tiny.jsonl", boards / "tiny.suite.json"
    huge = json.dumps({**json.loads(OLD.read_bytes().split(b"\n")[0]), "seed": 10**30})
    cases: list[tuple[Path, str, Callable[[], object], str]] = [
        (curve, '{"step": []}', lambda: read_curve(curve), "step must be a finite number, not []"),
        (curve, '{"step": 1, "loss": 1' + "0" * 30 + "}", lambda: read_curve(curve), "loss must be a finite number, not 1000"),
        (curve, '{"loss": 1}', lambda: read_curve(curve), "it lacks step"),
        (record, '{"description": {}, "name": []}', lambda: read_records(record, ""), "name must be a text, not []"),
        (record, huge, lambda: read_records(record, ""), "seed must be an integer, not 1000"),
        (kept, '{"toml": null, "set": []}', lambda: publish.kept_suite(kept), "toml must be a text, not None"),
    ]
    for path, text, read, says in cases:
        whole = path.read_bytes()
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=re.escape(f"({says}")):
            read()
        path.write_bytes(whole)
    store, (run,) = Store(finished.out, "tiny"), reader.read(str(finished.file)).runs("cpu")
    with store.claim(run):
        for said in ("process 1 on host\nhalf\n", "process 1 on host\nnan\n", "process 1 on host\n7\n"):
            (finished.folder / HOLDER).write_text(said, encoding="utf-8")
            assert state_of(store, run) == "running by process 1 on host"
