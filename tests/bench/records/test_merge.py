"""Files of records put together: nothing is lost, doubled or chosen silently."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness import cli

from bench.records.store import PROFILE, as_lines, read_records

ROOT = Path(__file__).parents[3]
RUNS = ROOT / "leaderboards" / "runs"


def records(name: str = "digits") -> list[dict[str, Any]]:
    return read_records(RUNS / f"{name}.jsonl", "")[:6]


def file(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_bytes(as_lines(found))
    return path


def test_parts_of_a_file_make_the_file_again_and_equal_records_stand_once(tmp_path: Path) -> None:
    whole = records()
    one, other = file(tmp_path / "a.jsonl", whole[:4]), file(tmp_path / "b.jsonl", whole[2:])
    result = cli("merge", other, one, "--out", tmp_path / "c.jsonl")
    assert (result.code, result.out, result.err) == (0, f"{tmp_path / 'c.jsonl'}: 6 records\n", "")
    assert (tmp_path / "c.jsonl").read_bytes() == as_lines(whole)


def test_a_conflict_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    whole = records()
    changed = json.loads(json.dumps(whole[:2]))
    changed[0]["metrics"]["rec_sse_test"]["value"] = 0.5
    changed[1]["environment"]["device"] = "another CPU"
    one, other = file(tmp_path / "a.jsonl", whole[:3]), file(tmp_path / "b.jsonl", changed)
    before = sorted(tmp_path.iterdir())
    result = cli("merge", one, other, "-o", tmp_path / "c.jsonl")
    assert (result.code, result.out, sorted(tmp_path.iterdir())) == (1, "", before)
    first, second, last = result.err.splitlines()
    old = whole[0]["metrics"]["rec_sse_test"]["value"]
    where = f"{one} and {other} differ in"
    assert first == f"latentbench: {whole[0]['label']}, seed 0, cpu, run {whole[0]['key']}: {where} metrics.rec_sse_test.value ({old}, 0.5)"
    assert f"run {whole[1]['key']}: {where} environment.device (" in second
    assert '"another CPU")' in second
    assert last == "latentbench: nothing was written; delete one line of each pair"


def test_one_seed_of_two_meanings_is_a_conflict_of_two_keys(tmp_path: Path) -> None:
    (one, *_), (other, *_) = records(), records()
    other = {**other, "key": "0123456789abcdef", "config": {**other["config"], "batch_size": 7}}
    result = cli("merge", file(tmp_path / "a.jsonl", [one]), file(tmp_path / "b.jsonl", [other]), "-o", tmp_path / "c.jsonl")
    assert result.code == 1
    assert f"run {one['key']} and 0123456789abcdef: " in result.err
    assert f"config.batch_size ({one['config']['batch_size']}, 7)" in result.err


def test_what_would_be_lost_is_refused(tmp_path: Path) -> None:
    whole = records()
    one, other, third = (file(tmp_path / f"{name}.jsonl", whole[i : i + 1]) for i, name in enumerate("abc"))
    kept = third.read_bytes()
    result = cli("merge", one, other, "-o", third)
    assert (result.code, third.read_bytes()) == (2, kept)
    assert result.line().startswith(f"{third}: there is such a file already")
    assert cli("merge", one, other, "-o", one).code == 0
    assert one.read_bytes() == as_lines(whole[:2])


@pytest.mark.parametrize("name", [f"digits{PROFILE}.jsonl", "zoo.jsonl"])
def test_files_of_several_kinds_or_suites_are_refused(name: str, tmp_path: Path) -> None:
    result = cli("merge", RUNS / "digits.jsonl", RUNS / name, "-o", tmp_path / "c.jsonl")
    assert result.code == 2
    assert result.line().startswith(str(RUNS / name))
    profiles = cli("merge", RUNS / f"digits{PROFILE}.jsonl", "-o", tmp_path / f"d{PROFILE}.jsonl")
    assert profiles.code == 0
    assert read_records(tmp_path / f"d{PROFILE}.jsonl", PROFILE) == read_records(RUNS / f"digits{PROFILE}.jsonl", PROFILE)
