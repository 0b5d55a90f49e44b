"""Records on disk: small, the same after writing and reading, version 1 still read, and what is damaged named by its field."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import cli

from bench.environment import project_version
from bench.errors import UserError
from bench.records.record import compact
from bench.records.store import PROFILE, Store, as_lines, read_record, read_records, save_record

ROOT = Path(__file__).parents[3]
BOARDS = ROOT / "leaderboards" / "runs"
OLD = Path(__file__).with_name("version1.jsonl")  # a record of mog that was evaluated again and one of digits, as version 1 had them
DELETED = object()


DIGESTS = re.compile(rb'"digest":"[0-9a-f]{16}",')


def old() -> list[dict[str, Any]]:
    """The sample of version 1, without this project's reading."""
    return [json.loads(line) for line in OLD.read_bytes().decode().removesuffix("\n").split("\n")]


def changed(record: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy with another value at `a.b.c`, without the field for DELETED."""
    copy = json.loads(json.dumps(record))
    *path, last = where.split(".")
    table = copy
    for name in path:
        table = table[int(name)] if isinstance(table, list) else table[name]
    if value is DELETED:
        del table[last]
    else:
        table[last] = value
    return copy


def test_version_1_is_read_as_it_was_written() -> None:
    assert read_records(OLD, "") == old()
    assert [len(record["metrics"]) for record in old()] == [128, 128]


def test_version_2_says_all_that_version_1_did(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(as_lines(old()))
    assert read_records(path, "") == old()
    assert as_lines(read_records(path, "")) == path.read_bytes()
    assert path.stat().st_size < OLD.stat().st_size
    for record in old():
        save_record(tmp_path, record)
        assert read_record(tmp_path) == record
        json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))


def test_a_run_has_a_line_for_each_metric_in_its_own_file(tmp_path: Path) -> None:
    record = old()[1]
    save_record(tmp_path, record)
    lines = (tmp_path / "record.json").read_text(encoding="utf-8").split("\n")
    value = record["metrics"]["rec_sse_test"]["value"]
    (line,) = [line for line in lines if line.startswith('  "rec_sse_test":')]
    found, name = json.loads(line.partition(": ")[2].rstrip(","))
    assert found == value
    (about,) = [line for line in lines if line.startswith(f'  "{name}":')]
    assert record["metrics"]["rec_sse_test"]["protocol"] in about


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_committed_records_are_of_the_form_of_now(path: Path) -> None:
    """Lines from before 0.3 have no digest of their content; they get one when their file is next written."""
    kind = PROFILE if PROFILE in path.suffixes else ""
    now = as_lines(read_records(path, kind))
    assert DIGESTS.sub(b"", now) == DIGESTS.sub(b"", path.read_bytes())


def test_a_record_of_digits_takes_less_than_8_kb() -> None:
    lines = (BOARDS / "digits.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")
    sizes = [len(line) for line in lines if b'"metrics"' in line]
    assert len(sizes) == 60
    assert max(sizes) < 8000
    assert len(lines) - 60 == len({name for record in Store(ROOT, "digits").records() for name in compact(record)[1]})


def test_files_can_be_put_together_line_by_line(tmp_path: Path) -> None:
    mog, digits = old()
    one, two = (as_lines([record]).split(b"\n") for record in (mog, digits))
    path = tmp_path / "both.jsonl"
    path.write_bytes(b"\n".join(sorted({*one, *two} - {b""})) + b"\n")
    assert sorted(read_records(path, ""), key=lambda r: str(r["suite"])) == [digits, mog]


DAMAGES: list[tuple[str, Any, str]] = [
    ("seed", math.nan, "seed must be an integer, not nan"),
    ("seed", 0.5, "seed must be an integer, not 0.5"),
    ("seed", True, "seed must be an integer, not True"),
    ("seed", "0", "seed must be an integer, not '0'"),
    ("seed", None, "seed must be an integer, not None"),
    ("seed", DELETED, "it lacks seed"),
    ("label", 3, "label must be a text, not 3"),
    ("label", ["ae"], "label must be a text, not ['ae']"),
    ("label", "\ud800", "label has a text with half a character, '\\ud800'"),
    ("suite", None, "suite must be a text, not None"),
    ("row_key", 1, "row_key must be a text, not 1"),
    ("key", 1, "key must be a text, not 1"),
    ("status", "fine", "status must be 'done' or 'diverged' or 'failed', not 'fine'"),
    ("status", [], "status must be 'done' or 'diverged' or 'failed', not []"),
    ("error", 7, "error must be a text or null, not 7"),
    ("config", None, "config must be a table, not None"),
    ("config", DELETED, "it lacks config"),
    ("config.device", DELETED, "config lacks device"),
    ("config.device", 1, "config.device must be a text, not 1"),
    ("config.latent_dim", "8", "config.latent_dim must be an integer, not '8'"),
    ("config.optimizer", [], "config.optimizer must be a table, not []"),
    ("config.optimizer.lr", math.inf, "config.optimizer.lr must be a finite number, not inf"),
    ("config.optimizer.milestones", [[1, "x"]], "config.optimizer.milestones[0][1] must be a finite number, not 'x'"),
    ("config.hyperparameters", "none", "config.hyperparameters must be a table, not 'none'"),
    ("config.hyperparameters", {"weight": math.nan}, "config.hyperparameters.weight must be a finite number, not nan"),
    ("config.recipe", {"prior": 1}, "config.recipe.prior must be a text, not 1"),
    ("spent", "much", "spent must be a table or null, not 'much'"),
    ("spent", None, "spent must be a table where status is 'done', not None"),
    ("spent.steps", DELETED, "spent lacks steps"),
    ("spent.epochs", "1", "spent.epochs must be a finite number, not '1'"),
    ("environment", [], "environment must be a table, not []"),
    ("environment.threads", "1", "environment.threads must be an integer, not '1'"),
    ("hashes", None, "hashes must be a table, not None"),
    ("hashes.weights", 1, "hashes.weights must be a text, not 1"),
    ("times", "now", "times must be a table, not 'now'"),
    ("evaluated", {}, "evaluated must be a list, not {}"),
    ("evaluated.0.metrics", "all", "evaluated[0].metrics must be a list, not 'all'"),
    ("metrics", [], "metrics must be a table, not []"),
    ("metrics", None, "metrics must be a table, not None"),
    ("metrics.mig", "0.5", "metrics.mig must be a table, not '0.5'"),
    ("metrics.mig", None, "metrics.mig must be a table, not None"),
    ("metrics.mig", {}, "metrics.mig lacks value"),
    ("metrics.mig.value", "0.5", "metrics.mig.value must be a finite number or null, not '0.5'"),
    ("metrics.mig.value", [1.0], "metrics.mig.value must be a finite number or null, not [1.0]"),
    ("metrics.mig.value", True, "metrics.mig.value must be a finite number or null, not True"),
    ("metrics.mig.value", math.nan, "metrics.mig.value must be a finite number or null, not nan"),
    ("metrics.mig.value", -math.inf, "metrics.mig.value must be a finite number or null, not -inf"),
    ("metrics.mig.value", 10**400, "metrics.mig.value must be a finite number or null, not 1000"),
    ("metrics.mig.better", "more", "metrics.mig.better must be 'lower' or 'higher' or 'target' or null, not 'more'"),
    ("metrics.mig.protocol", 2, "metrics.mig.protocol must be a text, not 2"),
    ("metrics.mig.reason", 2, "metrics.mig.reason must be a text, not 2"),
    ("cost", [], "cost must be a table, not []"),
    ("cost.train_seconds.value", "1 s", "cost.train_seconds.value must be a finite number or null, not '1 s'"),
    ("version", 3, "version must be 1 or 2, not 3; a later latentbench may read it"),
    ("version", None, "version must be 1 or 2, not None; a later latentbench may read it"),
]


@pytest.mark.parametrize(("where", "value", "says"), DAMAGES)
def test_a_field_that_is_wrong_is_named(where: str, value: Any, says: str, tmp_path: Path) -> None:
    """In a suite's records and in a run's own."""
    good, bad = old()[1], changed(old()[0], where, value)
    path = tmp_path / "mog.jsonl"
    path.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{re.escape(f'{path}:2: not a record ({says}')}.*\); fix or delete that line$"):
        read_records(path, "")
    path = tmp_path / "record.json"
    path.write_text(json.dumps(bad), encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{re.escape(f'{path}: not a record ({says}')}.*\); delete it to train this run again$"):
        read_record(tmp_path)


def no_description(record: dict[str, Any]) -> None:
    record["metrics"]["rec_sse_test"][1] = "00000000"


def unpaired(record: dict[str, Any]) -> None:
    record["metrics"]["rec_sse_test"] = 1.0


def text_for_number(record: dict[str, Any]) -> None:
    record["metrics"]["rec_sse_test"][0] = "1"


def names_as_list(record: dict[str, Any]) -> None:
    record["absent"] = ["mig"]


def reason_of_none(record: dict[str, Any]) -> None:
    record["absent"] = {"no prior": ["mig"]}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_description, "metrics.rec_sse_test: no description is named '00000000' in the file"),
        (unpaired, "metrics.rec_sse_test must be [value, name of a description], not 1.0"),
        (text_for_number, "metrics.rec_sse_test.value must be a finite number or null, not '1'"),
        (names_as_list, "absent must be a table, not ['mig']"),
        (reason_of_none, "absent must be a table, not ['mig']"),
    ],
)
def test_what_is_wrong_in_the_form_on_disk_is_named(damage: Callable[[dict[str, Any]], None], says: str, tmp_path: Path) -> None:
    first, *rest = as_lines(old()[:1]).decode().split("\n")
    record = json.loads(first)
    damage(record)
    path = tmp_path / "mog.jsonl"
    path.write_text("\n".join([json.dumps(record), *rest]), encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(f"{path}:1: not a record ({says}")):
        read_records(path, "")


def test_a_description_that_was_changed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mog.jsonl"
    first, second, *rest = as_lines(old()[:1]).decode().split("\n")
    path.write_text("\n".join([first, second.replace('"group":"', '"group":"x'), *rest]), encoding="utf-8")
    with pytest.raises(UserError, match=r"mog\.jsonl:2: not a record \(description '\w{8}' has been changed: its name must follow from"):
        read_records(path, "")


def test_damaged_records_end_a_command_with_one_line(tmp_path: Path) -> None:
    runs = tmp_path / "leaderboards" / "runs"
    runs.mkdir(parents=True)
    for where, value, says in (DAMAGES[0], DAMAGES[15], ("metrics.mig.value", 10**400, "metrics.mig.value must be")):
        (runs / "mog.jsonl").write_text(json.dumps(changed(old()[0], where, value)) + "\n", encoding="utf-8")
        for command in (("leaderboard", "-s", "mog", "-o", tmp_path), ("records", "migrate", "mog", "-o", tmp_path)):
            result = cli(*command)
            assert result.code == 2
            assert result.line().startswith(f"{runs / 'mog.jsonl'}:1: not a record ({says}")


def test_migrating_keeps_values_and_the_second_time_every_byte(tmp_path: Path) -> None:
    runs, folder = tmp_path / "leaderboards" / "runs", tmp_path / "runs" / "mog" / "ae" / "0-key"
    for path in (runs, folder):
        path.mkdir(parents=True)
    shutil.copy(OLD, runs / "mog.jsonl")
    (folder / "record.json").write_text(json.dumps(old()[0], indent=1), encoding="utf-8")
    before, size = OLD.stat().st_size, (folder / "record.json").stat().st_size
    result = cli("records", "migrate", "mog", "-o", tmp_path)
    after, smaller = (runs / "mog.jsonl").stat().st_size, (folder / "record.json").stat().st_size
    assert (result.code, result.out) == (
        0,
        f"{runs / 'mog.jsonl'}: {before:,} bytes, now {after:,}\n{folder / 'record.json'}: {size:,} bytes, now {smaller:,}\n",
    )
    assert after < before
    assert read_records(runs / "mog.jsonl", "") == old()
    assert read_record(folder) == old()[0]
    content = (runs / "mog.jsonl").read_bytes(), (folder / "record.json").read_bytes()
    for again in (("mog", "-o", tmp_path), (runs / "mog.jsonl", folder / "record.json"), ("-o", tmp_path)):
        assert cli("records", "migrate", *again).code == 0
        assert ((runs / "mog.jsonl").read_bytes(), (folder / "record.json").read_bytes()) == content


def test_what_cannot_be_migrated_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    for what, says in (
        ("mgo", f"{tmp_path}/leaderboards/runs: no records of a suite 'mgo'; there are none"),
        (tmp_path / "lost.jsonl", f"{tmp_path}/lost.jsonl: no such file"),
        (tmp_path / "other.json", f"{tmp_path}/other.json: not a file of records; those are"),
    ):
        result = cli("records", "migrate", what, "-o", tmp_path)
        assert result.code == 2
        assert result.line().startswith(says)


def test_the_project_has_one_version() -> None:
    assert f'\nversion = "{project_version()}"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
