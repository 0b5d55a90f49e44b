"""`python -m bench compare` on this repository's records."""

from pathlib import Path

from harness import cli

from bench.records.store import as_lines, read_records

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "leaderboards" / "runs" / "digits.jsonl"
OPTIONS = ("--from", ROOT, "--metrics", "rec_sse_test,train_seconds")


def test_two_rows_of_a_suite_and_the_same_of_a_file() -> None:
    found = cli("compare", "digits/wae_mmd", "digits/wae_gan", *OPTIONS)
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith("first: digits/wae_mmd; second: digits/wae_gan. Differences are paired by seed, ± their 96 % t interval.\n")
    of_file = cli("compare", f"{RECORDS}/wae_mmd", "digits/wae_gan", *OPTIONS)
    assert of_file.code == 0
    assert of_file.out.splitlines()[2:6] == found.out.splitlines()[2:6]
    turned = cli("compare", "digits/wae_gan", "digits/wae_mmd", *OPTIONS)
    assert ("worse" in found.out.splitlines()[4]) == ("better" in turned.out.splitlines()[4])


def test_files_are_compared_row_by_row_and_a_row_with_itself_is_not_separated(tmp_path: Path) -> None:
    records = [record for record in read_records(RECORDS, "") if record["label"] in ("ae", "vcae")]
    (tmp_path / "old.jsonl").write_bytes(as_lines(records))
    result = cli("compare", tmp_path / "old.jsonl", RECORDS, *OPTIONS)
    assert result.code == 0
    assert result.out.count("first: ") == 2
    assert result.out.count(" is better in 0, worse in 0 and not separated in 1 of 1 metric") == 2


def test_of_several_versions_in_a_file_the_last_is_compared_and_that_is_said(tmp_path: Path) -> None:
    records = [record for record in read_records(RECORDS, "") if record["label"] == "ae"]
    older = [
        {**record, "row_key": "0" * 16, "times": {"started": "2020-01-01T00:00:00+00:00", "finished": "2020-01-01T00:00:00+00:00"}}
        for record in records[:2]
    ]
    (tmp_path / "old.jsonl").write_bytes(as_lines([*records, *older]))
    result = cli("compare", tmp_path / "old.jsonl", f"{RECORDS}/ae", *OPTIONS)
    assert result.code == 0
    assert result.err == f"warning: {tmp_path / 'old.jsonl'}: ae has runs of 2 versions; those of the one that finished last are compared\n"
    assert "0 ± 0" in result.out
