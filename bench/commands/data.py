"""`python -m bench data list | fetch | verify | pack`: each a function from cards and the data root to text."""

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bench.datasets.dataset import Source
from bench.datasets.storage import pack as packs
from bench.datasets.storage.packaged import PACKAGES, take
from bench.datasets.storage.raw import located
from bench.errors import UserError

HEADERS = ("name", "kind", "shape", "train", "test", "licence", "download", "unpacked", "state", "checksums", "where")
LOCAL = 3  # the last columns, which say what is on this machine
CHECKED = 64 * 2**20  # bytes; smaller sets are read whole, against their checksums, when they are listed


def rows(sources: Iterable[Source], root: Path) -> list[tuple[str, ...]]:
    """One row under HEADERS for each dataset; damaged files are a state, not an error."""
    return [
        (
            source.name,
            source.kind,
            "x".join(map(str, source.shape)),
            f"{source.counts['train']:,}",
            f"{source.counts['test']:,}",
            source.licence,
            megabytes(source.raw_bytes),
            megabytes(math.prod(source.shape) * sum(source.counts.values())),
            *state(source, root),
        )
        for source in sources
    ]


def megabytes(count: int) -> str:
    """`1,446 MB`; a dash for nothing."""
    return f"{count / 1e6:,.0f} MB" if count >= 5e5 else f"{count / 1e6:.1g} MB" if count else "-"


def state(source: Source, root: Path) -> tuple[str, str, str]:
    """What is there, what is known of its checksums, and the folder.

    `built in`, `missing`, `incomplete`, `damaged`, `present` or `packed`; `good` of files that are as they were when they were
    last compared with their checksums, `wrong`, `not compared` or a dash.
    """
    if not source.files:
        return "built in", "-", "-"
    folder = (root / source.files[0]).parent
    absent = [Path(file).name for file in source.files if not located(root, file)]
    packed = packs.find(root, source.name, source.convention, source.files)
    checksums = "-" if absent else compared(source, root)
    if packed and checksums != "wrong":
        return "packed", checksums, str(packed[0])
    if absent:
        partly = len(absent) < len(source.files)
        return ("incomplete", "-", f"{folder} lacks {', '.join(absent)}") if partly else ("missing", "-", str(folder))
    return "damaged" if checksums == "wrong" else "present", checksums, str(folder)


def compared(source: Source, root: Path) -> str:
    """What is known of the checksums of raw files that are all there."""
    if source.verify is None:
        return "-"
    if not large(source, root):
        try:
            source.verify(root)
        except UserError:
            return "wrong"
        return "good"
    return "good" if remembered(source, root) == stamps(source, root) else "not compared"


def large(source: Source, root: Path) -> bool:
    """Whether the raw files are too large to be read for a list; an unpacked folder is."""
    sizes = packs.sizes(root, source.files)
    return len(sizes) < len(source.files) or sum(sizes.values()) > CHECKED


def stamps(source: Source, root: Path) -> dict[str, list[int]]:
    """Size and time of change, in ns, of the raw files that are there: when these are the same, so is the file."""
    return {file: [size, (root / file).stat().st_mtime_ns] for file, size in packs.sizes(root, source.files).items()}


def memory(source: Source, root: Path) -> Path:
    """The file that says which raw files were found good."""
    return (root / source.files[0]).parent / f".{source.name}.verified.json"


def remembered(source: Source, root: Path) -> object:
    """The stamps of the files that were last found good; None if there are none."""
    try:
        return json.loads(memory(source, root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def remember(source: Source, root: Path) -> None:
    """The raw files are good as they are now; a data root that cannot be written remembers nothing."""
    if not large(source, root):
        return
    with suppress(OSError):
        memory(source, root).write_text(json.dumps(stamps(source, root)), encoding="utf-8")


def fetch(source: Source, root: Path) -> str:
    """Copy what a package of the system has, else download what is missing or damaged; a sentence on what was done.

    Raises UserError with the way by hand.
    """
    if source.fetch is None:
        return f"{source.name}: nothing to fetch, it needs no files"
    folder = (root / source.files[0]).parent
    if source.verify:
        try:
            source.verify(root)
            remember(source, root)
            return f"{source.name}: already in {folder}, checksums good"
        except UserError:
            pass  # missing or damaged: that is what fetching is for
        if place := take(source.name, root, source.files, source.verify):
            remember(source, root)
            return f"{source.name}: copied into {folder} from {place}, checksums good"
    try:
        source.fetch(root)
    except UserError as error:
        if source.name not in PACKAGES:
            raise
        raise UserError(f"{error}; or install {PACKAGES[source.name].name} and fetch again") from None
    remember(source, root)
    return f"{source.name}: fetched into {folder}, checksums good"


def verify(source: Source, root: Path) -> str:
    """Read raw files and pack whole, against their checksums; raises UserError for the first mismatch."""
    if not source.files:
        return f"{source.name}: {'of your own' if source.content else 'built in'}, {counted(source, root)}"
    if source.verify is None:
        raise UserError(f"dataset {source.name} has files but no checksums to verify them with")
    packed = packs.find(root, source.name, source.convention, source.files)
    checked = []
    if packed is None or all(located(root, file) for file in source.files):
        source.verify(root)
        remember(source, root)
        checked.append("raw files")
    if packed:
        packs.verify(packed[0], root)
        checked.append(f"pack {packed[0]}")
    return f"{source.name}: {' and '.join(checked)} good"


def counted(source: Source, root: Path) -> str:
    """Counts and hash of a set that needs no files, checked against its card."""
    dataset = source.load(root)
    found = {"train": len(dataset.train), "test": len(dataset.test)}
    if found != source.counts or dataset.train.shape[1:] != source.shape:
        given = f"{found} images of {dataset.train.shape[1:]}"
        raise UserError(f"{source.name}: {given}, its card says {source.counts} of {source.shape}")
    return f"{found['train']:,} + {found['test']:,} images, sha256 {dataset.sha256()[:16]}"


def pack(source: Source, root: Path) -> str:
    """Decode the raw files, or draw the images, once to uint8, unless that was done; a sentence on where they lie."""
    source.load(root)
    packed = packs.find(root, source.name, source.convention, source.files)
    if packed:
        return f"{source.name}: packed in {packed[0]}"
    return f"{source.name}: loads without a pack of its own"
