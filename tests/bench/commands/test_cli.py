"""What the command line shows and writes, and what it leaves alone."""

import math
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import cli, files, suite

from bench.commands.run import mean
from bench.records.store import PROFILE, Store
from bench.suites import reader

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), steps=20, metrics=())


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of the whole suite, profiled."""
    out = tmp_path_factory.mktemp("finished") / "out"  # as far from the suite file as copies of it are: pages name that path
    assert cli("run", "-s", file, "-o", out, "--jobs", 1).code == 0
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def boards(out: Path) -> dict[str, bytes]:
    return content(out / "leaderboards")


@pytest.mark.parametrize(
    ("what", "some"),
    [
        ("methods", ["vae_bernoulli", "wae_mmd", "(dim: int, *, weight: float | Schedule = 0.1"]),
        ("networks", ["mlp", "small_conv"]),
        ("datasets", ["digits", "1,437", "mnist", "60,000", "CC BY-SA 3.0"]),
        ("metrics", ["rec_sse_test", "↓", "frechet_pixels_pz"]),
        ("suites", ["digits", "mnist-cpu", "about 2 minutes"]),
    ],
)
def test_what_a_suite_may_name_is_listed(what: str, some: list[str]) -> None:
    result = cli("list", what)
    assert (result.code, result.err) == (0, "")
    assert not [words for words in some if words not in result.out]
    assert cli("list", what[:-1]).line().startswith(f"unknown list '{what[:-1]}'; did you mean '{what}'?")


def test_a_dry_run_shows_every_run_and_starts_and_writes_nothing(file: Path, tmp_path: Path) -> None:
    options = ("--dry-run", "-o", tmp_path / "out", "--seeds", 3, "--set", "budget.epochs=2.5", "--set", "latent_dim=7")
    result = cli("run", "-s", file, *options)
    assert (result.code, result.err) == (0, "")
    assert not (tmp_path / "out").exists()
    lines = result.out.splitlines()
    assert lines[0].endswith(": digits, mlp, 7 latents; 6 runs on cpu")
    rows = [line.split() for line in lines[4:]]
    ordered = [[label, str(seed)] for seed in range(3) for label in ("ae", "wae_gan")]
    assert [row[:3] for row in rows] == [[str(index), *cell] for index, cell in enumerate(ordered)]
    layers = (65 * 256 + 257 * 128 + 129 * 7) + (8 * 128 + 129 * 256 + 257 * 64)
    assert rows[0][4:6] == ["35", f"{layers:,}"]
    assert len({row[-1] for row in rows}) == 6
    assert "width=32" in lines[5]
    shown = cli("run", "-s", "mnist-cpu", "--dry-run", "--data-root", tmp_path / "nowhere")
    assert (shown.code, shown.err) == (0, "")
    assert " 3,000 " in shown.out


def test_help_needs_no_torch() -> None:
    code = "import sys\nfrom bench.__main__ import main\nsys.argv = ['latentbench', 'run', '--help']\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=100).stdout
    assert "--dry-run" in said
    assert said.splitlines()[-1] == "0 False"


def test_a_finished_suite_is_not_run_again(file: Path, out: Path) -> None:
    before = content(out)
    first, second = (cli("run", "-s", file, "-o", out, *options) for options in ((), ("--jobs", 2)))
    assert content(out) == before
    assert (first.code, first.err) == (0, "")
    assert first == second
    assert f"leaderboard: {out / 'leaderboards' / 'tiny.md'}" in first.out
    assert "1/1 done" in first.out


def test_more_seeds_join_those_that_are_there(file: Path, out: Path) -> None:
    old = files(out, "record.json")["ae/0"].read_bytes()
    assert cli("run", "-s", file, "-o", out, "--seeds", 2, "--methods", "ae", "--jobs", 1).code == 0
    assert files(out, "record.json")["ae/0"].read_bytes() == old
    assert sorted(files(out, "record.json")) == ["ae/0", "ae/1", "wae_gan/0"]
    assert "|ae|2/2 done|" in (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8")


def test_a_variant_has_a_board_of_its_own(file: Path, out: Path) -> None:
    before, name = boards(out), reader.read(str(file), ("methods.wae_gan.weight=0.5",)).name
    result = cli("run", "-s", file, "-o", out, "--set", "methods.wae_gan.weight=0.5", "--methods", "wae_gan", "--jobs", 1, "--no-profile")
    assert result.code == 0
    after = boards(out)
    assert {name for name in before if after[name] != before[name]} == {"README.md", "index.html"}
    assert set(after) - set(before) == {f"{path}{name}{end}" for path, end in NEW}
    (record,) = Store(out, name).records()
    assert record["config"]["hyperparameters"]["weight"] == 0.5
    assert record["suite"] == name
    assert f"[{name}]".encode() in after["README.md"]
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0


NEW = [("", ".md"), ("runs/", ".jsonl"), ("runs/", ".suite.json")]


def test_a_row_that_is_changed_is_another_cell_and_the_old_one_is_called_stale(file: Path, out: Path) -> None:
    before = file.read_text()
    file.write_text(before.replace("width = 32", "width = 16"))
    try:
        assert cli("run", "-s", file, "-o", out, "--seeds", 1, "--methods", "ae", "--no-profile").code == 0
    finally:
        file.write_text(before)
    text = (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8")
    assert "wae_gan (stale" in text
    assert len(files(out, "record.json")) == 2


def test_a_leaderboard_made_again_has_the_same_bytes(file: Path, out: Path) -> None:
    before = boards(out)
    path = out / "leaderboards" / "runs" / "tiny.jsonl"
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    for name in ("tiny.md", "README.md"):
        (out / "leaderboards" / name).unlink()
    assert cli("leaderboard", "-s", file, "-o", out).code == 0
    after = boards(out)
    assert {name for name in before if after[name] != before[name]} == {"runs/tiny.jsonl"}
    shutil.rmtree(out / "runs")
    assert cli("leaderboard", "-s", file, "-o", out).out.strip() == str(out / "leaderboards" / "tiny.md")
    assert boards(out) == after


def test_check_says_whether_a_leaderboard_is_what_its_records_say(file: Path, out: Path) -> None:
    before = content(out)
    assert cli("leaderboard", "-s", file, "-o", out, "--check") == cli("leaderboard", "-s", file, "-o", out, "--check")
    assert content(out) == before
    path = out / "leaderboards" / "tiny.md"
    for change in (lambda: path.write_text(path.read_text() + " "), path.unlink):
        change()
        result = cli("leaderboard", "-s", file, "-o", out, "--check")
        assert (result.code, result.err) == (1, "")
        assert result.out.startswith(f"{path} is not what its records say")
    assert cli("leaderboard", "-s", file, "-o", out).code == 0
    assert content(out).keys() == before.keys()
    store = Store(out, "tiny")
    (record, *_) = store.records()
    record["metrics"]["rec_sse_test"]["value"] += 1
    store.merge([record])
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 1


def test_a_profile_is_printed_kept_and_shown(file: Path, finished: Path, tmp_path: Path) -> None:
    result = cli("profile", "-s", file, "--method", "wae_gan", "-o", tmp_path)
    assert (result.code, result.err) == (0, "")
    (kept,) = Store(tmp_path, "tiny").records(PROFILE)
    assert re.match(r"wae_gan: \S+ ms a step: data \S+ %, forward \S+ %, regulariser \S+ %, backward \S+ %, optimiser \S+ %\n", result.out)
    assert sum(kept["phases"].values()) == pytest.approx(1)
    assert min(kept["phases"].values()) > 0
    assert kept["kernels"][0]["name"] in result.out
    shares = [kernel["share"] for kernel in kept["kernels"]]
    assert shares == sorted(shares, reverse=True)
    assert 0.5 < sum(shares) <= 1 + 1e-9
    (products,) = [kernel for kernel in kept["kernels"] if kernel["name"] == "aten::addmm"]
    assert products["flops"] == 2 * 100 * multiplications()
    board = (finished / "leaderboards" / "tiny.md").read_text(encoding="utf-8").partition("<summary>Hot spots")[2]
    assert {"ae", "wae_gan"} <= {line.split("|")[1].strip() for line in board.splitlines() if line.startswith("|")}
    assert re.search(r"\|[A-Za-z_:#.]+ \d+ % \([\d.]+\), ", board), board  # a kernel, its share, its calls a step
    assert "Not profiled" not in board
    assert "Not profiled: wae_gan" not in result.out


def multiplications() -> int:
    """Of all linear layers in one step, for one image: encoder for each of two players, decoder, critic three times."""
    encoder, decoder = 64 * 256 + 256 * 128 + 128 * 2, 2 * 128 + 128 * 256 + 256 * 64
    critic = 2 * 32 + 3 * 32 * 32 + 32 * 1
    return 2 * encoder + decoder + 3 * critic


def test_profiling_a_row_twice_keeps_the_later(file: Path, out: Path) -> None:
    before = Store(out, "tiny").records(PROFILE)
    assert cli("profile", "-s", file, "--method", "ae", "-o", out).code == 0
    after = Store(out, "tiny").records(PROFILE)
    assert len(before) == len(after) == 2
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_data_commands_answer_for_what_needs_no_files(tmp_path: Path) -> None:
    assert cli("data", "verify", "digits").out.startswith("digits: built in, 1,437 + 360 images, sha256 6731c3d5ee47927f")
    assert cli("data", "fetch", "digits").out == "digits: nothing to fetch, it needs no files\n"
    listed = cli("data", "list", "--data-root", tmp_path)
    assert listed.code == 0
    states = {line.split()[0]: line for line in listed.out.splitlines()[2:]}
    assert "built in" in states["digits"]
    assert "missing" in states["mnist"]
    for action in ("verify", "pack"):
        result = cli("data", action, "mnist", "--data-root", tmp_path)
        assert result.code == 2
        assert "4 of 4 files missing" in result.line()
    assert "did you mean 'mnist'?" in cli("data", "verify", "mnits").line()
    assert list(tmp_path.iterdir()) == []


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def to_closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    ("sink", "more", "codes", "says"),
    [
        (to_closed_pipe, {}, {0}, ""),
        (lambda: os.open("/dev/full", os.O_WRONLY), {}, {2}, "latentbench: standard output: No space left on device\n"),
        (lambda: os.open(os.devnull, os.O_WRONLY), {"PYTHONIOENCODING": "ascii"}, {0}, ""),
    ],
    ids=["a reader that has gone", "a full disk", "a terminal without Unicode"],
)
def test_output_that_nobody_can_take_is_no_traceback(
    sink: Callable[[], int], more: dict[str, str], codes: set[int], says: str, file: Path, finished: Path, tmp_path: Path
) -> None:
    """To the end of the interpreter; of a command that needs no torch, and names a folder of letters that ASCII does not have."""
    if "standard" in says and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    shutil.copytree(finished, tmp_path / "größe ↓")
    handle, arguments = sink(), ("leaderboard", "-s", file, "-o", tmp_path / "größe ↓")
    result = subprocess.run(
        command(*arguments), stdout=handle, stderr=subprocess.PIPE, env=environment(**more), text=True, timeout=100, check=False
    )
    os.close(handle)
    assert result.returncode in codes
    assert result.stderr == says


def test_a_terminal_shows_progress_and_a_file_only_results(tmp_path: Path) -> None:
    """The same command with its errors on a terminal, and with all in files."""
    file = suite(tmp_path / "suite", steps=150)
    arguments = command("run", "-s", file, "-o", tmp_path / "terminal", "--no-profile", "--jobs", 1)
    ours, theirs = pty.openpty()
    terminal = environment(TERM="xterm", COLUMNS="100")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, env=terminal, text=True) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        assert process.stdout is not None
        printed = process.stdout.read()
    assert process.returncode == 0
    assert "\x1b[" in shown
    assert "2 runs" in shown
    assert "ae seed 0" in shown
    assert "━" in shown
    assert re.search(r"\d+%", shown)
    assert "\x1b" not in printed
    quiet = cli("run", "-s", file, "-o", tmp_path / "file", "--no-profile", "--jobs", 1)
    assert quiet.err == ""
    assert quiet.out.replace("/file/", "/terminal/") == printed


def read_terminal(handle: int) -> str:
    """All that comes out of it until its other end is closed."""
    parts, end = [], time.monotonic() + 100
    while time.monotonic() < end and select.select([handle], [], [], 100)[0]:
        try:
            part = os.read(handle, 65536)
        except OSError:  # how Linux says that nobody holds the other end
            break
        if not part:
            break
        parts.append(part)
    os.close(handle)
    return b"".join(parts).decode("utf-8", "replace")


@pytest.mark.filterwarnings("error")
def test_the_console_shows_means_as_the_leaderboard_does() -> None:
    def shown(*values: float | None) -> str:
        return mean([{"value": value} for value in values])

    assert shown(1.0, 3.0) == "2 ± 13"
    assert shown(12.5) == "12.50"
    assert shown(1.5e308, 1.5e308, None) == "(1.500 ± 0)e+308"
    assert shown(1.0, math.inf, math.nan, 10**400) == "1"
    assert shown(None) == mean([None]) == "-"


SHORT = """
dataset = "digits"
network = "mlp"
latent_dim = 2
batch_size = 100
{more}
[budget]
steps = 4
[methods.ae]
"""


def short(folder: Path, more: str = "") -> Path:
    """A suite without words about it."""
    (folder / "short.toml").write_text(SHORT.format(more=more), encoding="utf-8")
    return folder / "short.toml"


def test_a_suite_of_ones_own_needs_no_question_hardware_or_time(tmp_path: Path) -> None:
    assert cli("run", "-s", short(tmp_path), "-o", tmp_path, "--no-profile").code == 0
    assert "hardware: not said; expected time: not said" in (tmp_path / "leaderboards" / "short.md").read_text(encoding="utf-8")


def test_the_console_shows_the_numbers_of_validation_images_and_the_metrics_asked_for(tmp_path: Path) -> None:
    held_out = cli("run", "-s", short(tmp_path), "-o", tmp_path, "--no-profile", "--set", "held_out=validation")
    assert "rec_sse_validation" in held_out.out
    one = cli("run", "-s", short(tmp_path, 'metrics = ["active_units", "fid_pz"]'), "-o", tmp_path / "one", "--no-profile")
    assert one.code == 0
    assert "active_units" in one.out
    assert one.err.startswith("latentbench: fid_pz is absent from the run: ")
    named = short(tmp_path, 'held_out = "validation"\nmetrics = ["rec_sse_test"]')
    told = cli("run", "-s", named, "-o", tmp_path / "two", "--no-profile")
    assert (told.code, told.err) == (0, "warning: held_out is validation: rec_sse_test is measured as rec_sse_validation\n")


def test_metrics_that_are_all_absent_are_said_with_exit_code_1(tmp_path: Path) -> None:
    file = short(tmp_path, 'metrics = ["mig"]')
    ran = cli("run", "-s", file, "-o", tmp_path, "--no-profile")
    assert (ran.code, ran.err) == (1, "latentbench: mig is absent from the run: its dataset has no factors of variation\n")
    evaluated = cli("evaluate", file, "-o", tmp_path, "--metrics", "mig,sap")
    assert evaluated.code == 1
    assert evaluated.err.count("is absent from the run: ") == 2
