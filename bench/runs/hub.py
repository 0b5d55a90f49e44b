"""Trained methods on a Hugging Face hub: a run's folder goes up with a page of its own, and comes down to where runs lie.

The client is huggingface_hub (extra `hub`); its own variables say where the hub is and who one is there: HF_ENDPOINT, HF_TOKEN.
Weights travel as safetensors alone, whose metadata name the method; no code does.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import UserError
from bench.files import write
from bench.records.store import CURVE, RECORD, Store, read_record
from bench.runs.card import read_card
from bench.runs.run import WEIGHTS
from bench.suites.reader import LABEL

PAGE = "README.md"
FILES = (WEIGHTS, RECORD, CURVE, "samples.png", "reconstructions.png")  # of a run's folder; the first two must be there
NEEDED = FILES[:2]
SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]{0,199}")  # with the values of a variant
KEY = re.compile(r"[0-9a-f]{16}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def client() -> ModuleType:
    """The package huggingface_hub; UserError where it is not installed."""
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("the package huggingface_hub is not installed; pip install 'latentbench[hub]'") from None
    return huggingface_hub


def checked_name(repository: str) -> str:
    """UserError for a name that no repository has."""
    if not REPOSITORY.fullmatch(repository):
        raise UserError(f"{repository!r} is no repository of a hub; write it as user/name")
    return repository


def push(folder: Path, repository: str, *, private: bool = False, endpoint: str | None = None) -> str:
    """Put a finished run into a repository of the hub, which is made if there is none; -> its address there.

    UserError for a folder that is no finished run's, and for what the hub refuses.
    """
    checked_name(repository)
    for name in NEEDED:
        if not (folder / name).is_file():
            raise UserError(f"{folder}: {name} is not there; only finished runs are pushed, with their weights")
    about, record = read_card(folder / WEIGHTS), read_record(folder)
    if about is None or record is None or record["status"] != "done":
        raise UserError(f"{folder}: its weights have no card, as those of versions before 0.3; train the run again")
    hub = client()
    files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    files[PAGE] = page(about, record, [name for name in files if name.endswith(".png")]).encode()
    try:
        api = hub.HfApi(endpoint=endpoint)
        api.create_repo(repository, private=private, exist_ok=True)
        additions = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
        title = f"{record['suite']}: {record['label']}, seed {record['seed']}"
        return str(api.create_commit(repository, additions, commit_message=title).repo_url)
    except Exception as error:  # the client's, httpx's and the hub's kinds
        raise UserError(f"cannot push to {repository}: {' '.join(str(error).split())[:300]}") from None


def pull(repository: str, out: Path, *, revision: str = "main", endpoint: str | None = None) -> Path:
    """Bring a run from a repository of the hub to out/runs; -> its folder there, for `evaluate`, `figures` and `api.load`.

    A folder that is there already must have the same weights. UserError for what is no run of latentbench, or has names that no run has.
    """
    checked_name(repository)
    hub = client()
    with tempfile.TemporaryDirectory() as temporary:
        there = {}
        for name in FILES:
            try:
                there[name] = Path(hub.hf_hub_download(repository, name, revision=revision, local_dir=temporary, endpoint=endpoint))
            except hub.errors.LocalEntryNotFoundError as error:  # the hub could not be asked: one of the next kind, too
                raise UserError(f"cannot pull {repository}: {' '.join(str(error).split())[:300]}") from None
            except hub.errors.EntryNotFoundError:
                if name in NEEDED:
                    raise UserError(f"{repository}: it has no {name}; it is no run of latentbench") from None
            except Exception as error:
                raise UserError(f"cannot pull {repository}: {' '.join(str(error).split())[:300]}") from None
        try:
            about, record = read_card(there[WEIGHTS]), read_record(Path(temporary))
        except UserError as error:
            raise UserError(f"{repository}: {str(error).replace(f'{temporary}/', '')}") from None
        if about is None or record is None:
            raise UserError(f"{repository}: {WEIGHTS} has no card; it is no run of latentbench")
        folder = place(out, record, repository)
        if (folder / WEIGHTS).is_file() and (folder / WEIGHTS).read_bytes() != there[WEIGHTS].read_bytes():
            raise UserError(f"{folder}: there is such a run already, with other weights; pull into another --out")
        for name, path in there.items():
            write(folder / name, path.read_bytes())
    return folder


def place(out: Path, record: Mapping[str, Any], repository: str) -> Path:
    """Where a run lies; UserError for names that lead elsewhere."""
    suite, label, key = record["suite"], record["label"], record.get("key", "")
    if not (SUITE.fullmatch(suite) and ".." not in suite and LABEL.fullmatch(label) and KEY.fullmatch(key)):
        raise UserError(f"{repository}: {suite!r}, {label!r}, {key!r} are no names of suite, row and key")
    return Store(out, suite).runs / label / f"{record['seed']}-{key}"


def page(about: Mapping[str, Any], record: Mapping[str, Any], pictures: list[str]) -> str:
    """The repository's page: what the method is, what it is of, what it is worth, how it is used."""
    config, recipe = about["config"], about["config"]["recipe"]
    facts = {
        "suite, row, seed": f"{about['suite']}, {about['label']}, {about['seed']}",
        "method": config["method"],
        **recipe,
        "network": f"{config['network']}, {config['latent_dim']} latents, {about['parameters']:,} parameters",
        "dataset": f"{config['dataset']}: {config['convention']}; sha256 {about['hashes']['data'][:16]}",
        "images": "×".join(map(str, about["shape"])),
        "weights": f"sha256 {about['hashes']['weights'][:16]}",
        "latentbench": about["latentbench"],
    }
    values = [f"| {name} | {value:.6g} | {record['metrics'][name].get('protocol', '')} |" for name, value in about["metrics"].items()]
    return "\n".join(
        [
            *("---", "library_name: latentbench", "tags:", "- autoencoder", f"- {config['method']}", "---", ""),
            *(f"# {about['label']} on {config['dataset']}", ""),
            *(f"* {name}: {fact}" for name, fact in facts.items()),
            *("", "| metric | value | protocol |", "|---|---|---|", *values, ""),
            *(f"![{name}]({name})" for name in pictures),
            *(
                "",
                "```python",
                "from bench import api",
                "",
                'trained = api.load("weights.safetensors")',
                "images = trained.sample(16)",
                "```",
                "",
            ),
        ]
    )
