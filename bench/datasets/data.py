"""`python -m bench data list | fetch | verify | pack`: each a function from cards and the data root to text."""

from collections.abc import Iterable
from pathlib import Path

from bench.datasets import pack as packs
from bench.datasets.dataset import Source
from bench.datasets.raw import located
from bench.errors import UserError

HEADERS = ("name", "kind", "shape", "train", "test", "licence", "state", "where")
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
            *state(source, root),
        )
        for source in sources
    ]


def state(source: Source, root: Path) -> tuple[str, str]:
    """`built in`, `missing`, `incomplete`, `damaged`, `present` or `packed`, and the folder."""
    if not source.files:
        return "built in", "-"
    folder = (root / source.files[0]).parent
    paths = [path for file in source.files if (path := located(root, file))]
    packed = packs.find(root, source.name, source.convention, source.files)
    if len(paths) < len(source.files):
        return ("packed", str(packed[0])) if packed else ("incomplete" if paths else "missing", str(folder))
    sizes = packs.sizes(root, source.files)
    if source.verify and len(sizes) == len(source.files) and sum(sizes.values()) <= CHECKED:
        try:
            source.verify(root)
        except UserError:
            return "damaged", str(folder)
    return ("packed", str(packed[0])) if packed else ("present", str(folder))


def fetch(source: Source, root: Path) -> str:
    """Download what is missing or damaged; a sentence on what was done. Raises UserError with the way by hand."""
    if source.fetch is None:
        return f"{source.name}: nothing to fetch, it needs no files"
    folder = (root / source.files[0]).parent
    if source.verify:
        try:
            source.verify(root)
            return f"{source.name}: already in {folder}, checksums good"
        except UserError:
            pass  # missing or damaged: that is what fetching is for
    source.fetch(root)
    return f"{source.name}: fetched into {folder}, checksums good"


def verify(source: Source, root: Path) -> str:
    """Read raw files and pack whole, against their checksums; raises UserError for the first fault."""
    if not source.files:
        return f"{source.name}: built in, {counted(source, root)}"
    if source.verify is None:
        raise UserError(f"dataset {source.name} has files but no checksums to verify them with")
    packed = packs.find(root, source.name, source.convention, source.files)
    checked = []
    if packed is None or all(located(root, file) for file in source.files):
        source.verify(root)
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
    """Decode the raw files once to uint8, unless that was done; a sentence on where they lie."""
    source.load(root)
    packed = packs.find(root, source.name, source.convention, source.files)
    if packed:
        return f"{source.name}: packed in {packed[0]}"
    return f"{source.name}: loads without a pack of its own"
