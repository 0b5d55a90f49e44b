"""`python -m bench features list | fetch | train`: the feature networks and their files of weights."""

import hashlib
from pathlib import Path

import torch

from bench.datasets.storage import raw
from bench.errors import UserError
from bench.evaluation.feature_classifier import train_classifier
from bench.evaluation.feature_networks import TIMM
from bench.files import write
from bench.registry import Catalogue
from metrics.features import inception, lite0
from metrics.features.backbone import DINOV2
from metrics.features.classifier import SHIPPED, dump, file_of
from metrics.features.network import verified
from metrics.metric import Unavailable

HEADERS = ("network", "weights", "state")
WEIGHTS = "weights"  # a folder of the data root
SEED = 0


def rows(catalogue: Catalogue, root: Path) -> list[tuple[str, ...]]:
    """One row under HEADERS for each network, classifiers by dataset."""
    weights = root / WEIGHTS
    found: list[tuple[str, ...]] = [("pixels", "-", "needs none"), ("pca", "-", "needs none")]
    for dataset in sorted({*SHIPPED, *(name for name in catalogue.datasets if (weights / f"classifier-{name}.safetensors").is_file())}):
        path, expected = file_of(dataset, weights)
        found.append((f"classifier:{dataset}", path.name, state(path, expected)))
    found.append((inception.NAME, inception.FILE, state(weights / inception.FILE, inception.SHA256)))
    found.append((lite0.NAME, lite0.FILE, state_of_lite0(weights)))
    models = {DINOV2, *(path.stem for path in weights.glob("*.safetensors") if not path.name.startswith("classifier-"))}
    return found + [(f"{TIMM}{model}", f"{model}.safetensors", state(weights / f"{model}.safetensors", None)) for model in sorted(models)]


def state(path: Path, expected: str | None) -> str:
    """`present, sha256 ...`, or why not."""
    try:
        return f"present, sha256 {verified(path, expected)[:16]}"
    except Unavailable as reason:
        return str(reason)


def state_of_lite0(weights: Path) -> str:
    """The same of the network whose weights a package brings."""
    try:
        return state(lite0.located(weights), lite0.SHA256)
    except Unavailable as reason:
        return str(reason)


def fetch(name: str, root: Path, url: str = inception.URL, expected: str = inception.SHA256) -> str:
    """Download weights into the data root, verified; a sentence on what was done. UserError with the way by hand."""
    if name.startswith(TIMM):
        return fetch_backbone(name.removeprefix(TIMM), root)
    if name == lite0.NAME:
        raise UserError(f"{name} is fetched by installing the package {lite0.DISTRIBUTION}, which the extra `features` does")
    if name != inception.NAME:
        raise UserError(f"only {inception.NAME} and {TIMM}<model> have weights to fetch, not {name!r}; see: python -m bench features list")
    path = root / WEIGHTS / inception.FILE

    def arrive(temporary: Path) -> None:
        (temporary / WEIGHTS).mkdir()
        target = temporary / WEIGHTS / inception.FILE
        torch.hub.download_url_to_file(url, str(target), progress=False)
        verified(target, expected)

    if state(path, expected).startswith("present"):
        return f"{name}: already in {path.parent}, checksum good"
    raw.download(name, root, WEIGHTS, url, arrive)
    return f"{name}: fetched into {path.parent}, checksum good"


def fetch_backbone(model: str, root: Path) -> str:
    """The weights of a model of timm's from its hub."""
    import timm

    card = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    source = card.hf_hub_id if card else None
    if not source:
        raise UserError(f"timm {timm.__version__} has no weights of {model!r} on its hub; its models: timm.list_models(pretrained=True)")

    def arrive(temporary: Path) -> None:
        from huggingface_hub import hf_hub_download  # comes with timm

        (temporary / WEIGHTS).mkdir()
        hf_hub_download(source, "model.safetensors", local_dir=temporary)
        (temporary / "model.safetensors").rename(temporary / WEIGHTS / f"{model}.safetensors")

    raw.download(f"{TIMM}{model}", root, WEIGHTS, f"model.safetensors of the hub's {source} (renamed {model}.safetensors)", arrive)
    return f"{TIMM}{model}: fetched into {root / WEIGHTS}"


def train(catalogue: Catalogue, name: str, root: Path, out: Path | None) -> str:
    """Train a dataset's classifier on its own training labels and write its weights; a sentence with their hash."""
    source = catalogue.get("dataset", name)
    if source.content:
        raise UserError(f"{name}: the classifier of a folder has no name of its own; distances on pca and pixels need none")
    torch.set_num_threads(1)
    net, facts = train_classifier(name, source.load(root), SEED)
    content, path = dump(net, facts), (root / WEIGHTS / f"classifier-{name}.safetensors" if out is None else out)
    write(path, content)
    words = f"accuracy {100 * facts['test_accuracy']:.2f} % on test images, {len(content) / 1e3:,.0f} kB"
    return f"classifier:{name}: {words}, sha256 {hashlib.sha256(content).hexdigest()}; in {path}"
