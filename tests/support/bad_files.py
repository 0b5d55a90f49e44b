"""Files of runs, of records, of weights and of datasets that are damaged or another's."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bad_input import RUN, Bad, Make

RUNS, BOARDS = "out/runs/tiny/ae", "out/leaderboards/runs"
WRITTEN = {
    "empty": b"",
    "a bracket": b"{\n",
    "a list": b"[]\n",
    "null": b"null\n",
    "a table of nothing": b"{}\n",
    "bytes that are no UTF-8": b"\xff\xfe\n",
    "bytes of zero": bytes(40),
    "a list in 20,000 brackets": 20_000 * b"[" + 20_000 * b"]",
}


def there(folder: Path, pattern: str) -> Path:
    """The one file of that pattern."""
    (path,) = folder.glob(pattern)
    return path


def content(pattern: str, new: bytes) -> Make:
    """A file with another content."""
    return lambda folder: there(folder, pattern).write_bytes(new)


def half(pattern: str) -> Make:
    """A file without its second half."""

    def make(folder: Path) -> None:
        path = there(folder, pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return make


def folder_instead(pattern: str) -> Make:
    """A folder in a file's place."""

    def make(folder: Path) -> None:
        path = there(folder, pattern)
        path.unlink()
        path.mkdir()

    return make


def changed(pattern: str, where: str, value: Any) -> Make:
    """A JSON file, or the first line of one of lines, with another value at `a.b.c`."""

    def make(folder: Path) -> None:
        path = there(folder, pattern)
        first, *rest = path.read_text(encoding="utf-8").split("\n") if path.suffix == ".jsonl" else [path.read_text(encoding="utf-8")]
        table = record = json.loads(first)
        *parents, last = where.split(".")
        for name in parents:
            table = table[name]
        table[last] = value
        path.write_text("\n".join([json.dumps(record), *rest]), encoding="utf-8")

    return make


BAD: list[Bad] = []


def put(path: str, new: bytes) -> Make:
    """A file that was not there."""

    def make(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(new)

    return make


def all_of(*makes: Make) -> Make:
    """One after the other."""

    def make(folder: Path) -> None:
        for one in makes:
            one(folder)

    return make


def named(damage: str) -> str:
    """A damage as an argument's name."""
    return damage.replace(" ", "_").replace("-", "_")


def rows(shown: str, pattern: str, command: str, says: str, code: int = 2, **damage: str) -> list[Bad]:
    """A file damaged in each way of WRITTEN, cut in half, and a folder in its place; `damage`: what is said of one of these instead."""
    makes = {name: content(pattern, new) for name, new in WRITTEN.items()} | {
        "half of it": half(pattern),
        "a folder": folder_instead(pattern),
    }
    return [
        Bad("Files of runs and records", f"{shown}: {name}", damage.get(named(name), says), make, command, code)
        for name, make in makes.items()
        if damage.get(named(name)) != "fine"
    ]


def field(where: str, value: Any, says: str) -> Bad:
    """A field of a run's record with another value."""
    shown = f"record.json: {where} = {value!r:.40}"
    says = f"{RUNS}/0-…/record.json: not a record ({says}…); delete it to train this run again"
    return Bad("Files of runs and records", shown, says, changed(f"{RUNS}/0-*/record.json", where, value))


def line(where: str, value: Any, says: str) -> Bad:
    """A field of a line of a suite's records with another value."""
    says = f"{BOARDS}/tiny.jsonl:1: not a record ({says}…); fix or delete that line"
    return Bad(
        "Files of runs and records", f"tiny.jsonl: {where} = {value!r:.40}", says, changed(f"{BOARDS}/tiny.jsonl", where, value), BOARD
    )


def measured_otherwise(folder: Path) -> None:
    (folder / "other.jsonl").write_bytes((folder / BOARDS / "tiny.jsonl").read_bytes())
    changed("other.jsonl", "spent.steps", 5)(folder)
    changed("other.jsonl", "digest", None)(folder)  # as of before 0.3: nobody says that it was changed


def no_records(folder: Path) -> None:
    (folder / BOARDS / "tiny.jsonl").unlink()


BOARD = "leaderboard -s tiny.toml -o out"
RECORD, LINES, CURVE = f"{RUNS}/0-*/record.json", f"{BOARDS}/tiny.jsonl", f"{RUNS}/0-*/curve.jsonl"
RECORDS = [
    *rows(
        "record.json",
        RECORD,
        RUN,
        f"{RUNS}/0-…/record.json: not a record (…); …",
        a_folder=f"{RUNS}/0-…/record.json: cannot be read: Is a directory",
    ),
    *rows(
        "tiny.jsonl",
        LINES,
        BOARD,
        f"{LINES}:1: not a record (…); fix or delete that line",
        empty=f"{LINES}: no records of suite tiny; …",
        bytes_that_are_no_UTF_8=f"{LINES}: not a record ('utf-8' codec …); fix or delete it",
        half_of_it=f"{LINES}:…: not a record (…); fix or delete that line",
        a_folder=f"{LINES}: cannot be read: Is a directory",
    ),
    *rows(
        "curve.jsonl",
        CURVE,
        "curves -s tiny.toml -o out",
        f"{RUNS}/0-…/curve.jsonl:…: not a record (…); fix or delete that line",
        empty="fine",
        bytes_that_are_no_UTF_8=f"{RUNS}/0-…/curve.jsonl: not a record ('utf-8' codec …); fix or delete it",
        a_folder=f"{RUNS}/0-…/curve.jsonl: cannot be read: Is a directory",
    ),
    Bad(
        "Files of runs and records",
        "tiny.jsonl is gone",
        f"{LINES}: no records of suite tiny; train its runs with: python -m bench run --suite tiny.toml -o out",
        no_records,
        BOARD,
    ),
    Bad(
        "Files of runs and records",
        "merge: a run that two files have with other values",
        f"ae, seed 0, cpu, run …: {LINES} and other.jsonl differ in spent.steps (4, 5)",
        measured_otherwise,
        f"merge {LINES} other.jsonl --out merged.jsonl",
        1,
    ),
    field("seed", float("nan"), "seed must be an integer, not nan"),
    field("seed", "0", "seed must be an integer, not '0'"),
    field("label", 3, "label must be a text, not 3"),
    field("status", "fine", "status must be 'done' or 'diverged' or 'failed', not 'fine'"),
    field("config", None, "config must be a table, not None"),
    field("config.latent_dim", "8", "config.latent_dim must be an integer, not '8'"),
    field("spent", None, "spent must be a table where status is 'done', not None"),
    field("metrics", [], "metrics must be a table, not []"),
    field("metrics.rec_sse_test", 1.0, "metrics.rec_sse_test must be [value, name of a description], not 1.0"),
    field("descriptions", [], "descriptions must be a table, not []"),
    field("version", 3, "version must be 1 or 2, not 3; a later latentbench may read it"),
    line("seed", float("nan"), "seed must be an integer, not nan"),
    line("metrics", [], "metrics must be a table, not []"),
    line("metrics.rec_sse_test", [10**400, "x"], "metrics.rec_sse_test…"),
    line("absent", ["mig"], "absent must be a table, not ['mig']"),
    line("config", None, "config must be a table, not None"),
    line("environment", [], "environment must be a table, not []"),
]
RUN_FOLDER, SUITE, PROFILES = f"{RUNS}/0-*", f"{BOARDS}/tiny.suite.json", f"{BOARDS}/tiny.profile.jsonl"
WEIGHTS = f"{RUN_FOLDER}/weights.safetensors"
DAMAGED = f"{RUNS}/0-…/weights.safetensors: damaged (…); delete the folder and train this run again"
OTHERS = [
    *rows(
        "tiny.suite.json",
        SUITE,
        f"evaluate {RUN_FOLDER} --metrics rec_sse_test",
        f"…/{SUITE}: not a suite that this version can read (…); delete it",
        a_folder=f"…/{SUITE}: no such file, so that suite 'tiny' is not known; …",
    ),
    *rows(
        "weights.safetensors",
        WEIGHTS,
        f"verify {RUN_FOLDER} --metrics rec_sse_test",
        DAMAGED,
        a_folder=f"{RUNS}/0-…: its weights are not here; …",
    ),
    *rows(
        "weights.safetensors, evaluated",
        WEIGHTS,
        f"evaluate {RUN_FOLDER} --metrics rec_sse_test",
        DAMAGED,
        a_folder=f"{RUNS}/0-…: its weights are not here; …",
    ),
    *(
        Bad(
            "Files of runs and records",
            f"tiny.profile.jsonl: {name}",
            f"{PROFILES}:1: not a record (…); fix or delete that line",
            put(PROFILES, new),
            command,
        )
        for name, new in WRITTEN.items()
        if name in ("a bracket", "a list", "null", "a table of nothing", "bytes of zero")
        for command in (BOARD, RUN)
    ),
]


def checkpoint(shown: str, payload: bytes, says: str, whole: bool) -> Bad:
    """A checkpoint that a run goes on from; its row fails alone."""
    before = hashlib.sha256(payload).hexdigest().encode() + b"\n" if whole else b""

    def make(folder: Path) -> None:
        record = there(folder, RECORD)
        record.with_name("checkpoint.pt").write_bytes(before + payload)
        record.unlink()

    path = f"{RUNS}/0-…/checkpoint.pt"
    return Bad("Files of runs and records", f"checkpoint.pt: {shown}", f"ae seed 0: failed: {path}: {says}", make, f"{RUN} --no-profile", 1)


CHANGED = "damaged, its checksum does not match; delete it to train this run from the start"
CHECKPOINTS = [
    *(checkpoint(name, new, CHANGED, whole=False) for name, new in WRITTEN.items()),
    checkpoint(
        "a whole file that is no state", b"no state", "cannot go on from it (…); delete it to train this run from the start", whole=True
    ),
    checkpoint("an empty state", b"", "cannot go on from it (…); delete it to train this run from the start", whole=True),
]


def raw(dataset: str, folder: str, names: Sequence[str], says: str) -> list[Bad]:
    """The files of a dataset, damaged in each way of WRITTEN; the first of them is named."""
    return [
        Bad(
            "Files of datasets",
            f"{dataset}: {names[0]}: {name}",
            f"data/{folder}/{says}",
            all_of(*(put(f"data/{folder}/{file}", new) for file in names)),
            f"data {command} {dataset} --data-root data",
        )
        for name, new in WRITTEN.items()
        for command in (("pack",) if name == "empty" else ("verify",))
    ]


IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MAT = ("train_32x32.mat", "test_32x32.mat", "extra_32x32.mat")
RAW = [
    *raw("mnist", "MNIST/raw", IDX, f"{IDX[0]} is damaged…; replace it: …"),
    *raw("fashion_mnist", "FashionMNIST/raw", [f"{name}.gz" for name in IDX], f"{IDX[0]}.gz is damaged…; replace it: …"),
    *raw("svhn", "svhn", MAT, f"{MAT[0]}…; …"),
    *raw("dsprites", "dsprites", ["dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"], "…"),
    *raw("shapes3d", "shapes3d", ["3dshapes.h5"], "3dshapes.h5 is damaged…"),
    *raw("celeba64_140", "celeba", ["img_align_celeba.zip", "list_eval_partition.txt"], "…"),
]


def weights(metric: str, file: str, says: str) -> list[Bad]:
    """Weights of a feature network, damaged; the metrics on them are absent with the reason."""
    return [
        Bad(
            "Weights of feature networks",
            f"{file}: {name}",
            f"{metric} is absent from all 2 runs: {says}",
            put(f"data/weights/{file}", new),
            f"evaluate tiny.toml -o out --jobs 1 --metrics {metric} --data-root data",
            1,
        )
        for name, new in WRITTEN.items()
    ]


NETWORKS = [
    *weights(
        "fid_pz",
        "weights-inception-2015-12-05-6726825d.pth",
        "weights-inception-2015-12-05-6726825d.pth in the folder weights of the data root has sha256 …, expected 6726825d0af5f729",
    ),
    *weights("frechet_dinov2_pz", "vit_small_patch14_dinov2.lvd142m.safetensors", "…"),
    Bad(
        "Weights of feature networks",
        "without weights",
        "fid_pz is absent from all 2 runs: …is not in the folder weights…",
        arguments="evaluate tiny.toml -o out --jobs 1 --metrics fid_pz --data-root nowhere",
        code=1,
    ),
]
BAD = [*RECORDS, *OTHERS, *CHECKPOINTS, *RAW, *NETWORKS]
