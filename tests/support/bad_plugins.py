"""Plugins that are none, and what their methods, networks, datasets and metrics must not do."""

from pathlib import Path

from bad_input import RUN, Bad, edited

LISTS = "METHODS, NETWORKS, DENSITIES, DATASETS, METRICS, METRICS_ON_REQUEST"
HEAD = """
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.datasets.dataset import Dataset, Source
from metrics.metric import Metric
from models.vae import ae, vae_gauss
"""


def plugin(text: str):
    """plugin.py with that content."""
    return lambda folder: (folder / "plugin.py").write_text(text, encoding="utf-8")


def both(text: str, line: str, section: str = ""):
    """plugin.py with that content and tiny.toml with that line."""

    def make(folder: Path) -> None:
        plugin(text)(folder)
        edited(line, section)(folder)

    return make


def wrong(shown: str, text: str, says: str) -> Bad:
    """A plugin that cannot be read."""
    return Bad("Plugins", f"plugin.py: {shown}", says, plugin(text))


def method(shown: str, says: str, code: int = 2) -> Bad:
    """A method of plugin.py, as the body of its function, in the row ae."""
    text = f'{HEAD}\ndef mine(dim, *, size: int = 3, bare=1.0):\n    "One of these."\n    {shown}\n\nMETHODS = [mine]\n'
    return Bad(
        "Methods and networks of a plugin", shown, f"tiny.toml: methods.ae: {says}", both(text, 'method = "mine"', "methods.ae"), code=code
    )


def value(shown: str, argument: str, says: str) -> Bad:
    """A value for a method of plugin.py with that argument."""
    text = f'{HEAD}\ndef mine(dim, *, {argument}):\n    "One of these."\n    return ae(dim)\n\nMETHODS = [mine]\n'
    line = f'ae = {{ method = "mine", {shown} }}' if shown else 'ae = { method = "mine" }'
    return Bad(
        "Methods and networks of a plugin", f"def mine(dim, *, {argument}) and {line}", f"tiny.toml: {says}", both(text, line, "methods")
    )


def network(shown: str, says: str) -> Bad:
    """A network of plugin.py, as the body of its function."""
    text = f'{HEAD}\ndef mine(shape, dim, outputs):\n    "One of these."\n    {shown}\n\nNETWORKS = [mine]\n'
    return Bad("Methods and networks of a plugin", f"network: {shown}", f"tiny.toml: methods.ae: {says}", both(text, 'network = "mine"'))


def dataset(load: str, says: str, card: str = "") -> Bad:
    """A dataset of plugin.py, as the body of its load()."""
    fields = {"name": '"mine"', "shape": "(1, 8, 8)", "counts": '{"train": 200, "test": 50}', "kind": '"generated"'}
    fields |= dict(pair.split("=") for pair in card.split("; ") if pair)
    rest = 'convention="made up", licence="none", url="none", load=load'
    text = (
        f"{HEAD}\ndef images(n, kind=np.uint8, side=8):\n    return np.zeros((n, 1, side, side), kind)\n\ndef load(root):\n    {load}\n\n"
    )
    text += f"DATASETS = [Source({', '.join(f'{k}={v}' for k, v in fields.items())}, {rest})]\n"
    return Bad("Datasets of a plugin", f"load(): {load} {card}".strip(), says, both(text, 'dataset = "mine"'))


def metric(function: str, says: str, needs: str = '("test.codes",)', code: int = 1) -> Bad:
    """A metric of plugin.py, as the function of its views; it is the only one asked for."""
    text = f'{HEAD}\ndef raises(*_):\n    raise ValueError("no\\nnumber")\n\n'
    text += f'METRICS = [Metric("mine", {function}, {needs}, "a protocol", "this test")]\n'
    shown = function if code == 1 else f"needs = {needs}"
    return Bad(
        "Metrics of a plugin",
        shown,
        says,
        both(text, 'metrics = ["mine"]'),
        "evaluate tiny.toml -o out --metrics mine --jobs 1" if code == 1 else RUN,
        code,
    )


def a_folder(folder: Path) -> None:
    (folder / "plugin.py").unlink()
    (folder / "plugin.py").mkdir()


FILES = [
    Bad(
        "Plugins",
        'plugins = ["absent.py"]',
        "plugin absent.py: no such file (plugins are looked for beside the suite file)",
        edited('plugins = ["absent.py"]'),
    ),
    Bad("Plugins", 'plugins = ["tiny.toml"]', "plugin tiny.toml: not a Python file…", edited('plugins = ["tiny.toml"]')),
    Bad("Plugins", 'plugins = ["out"]', "plugin out: a folder, not a Python file; name the .py file in it", edited('plugins = ["out"]')),
    Bad("Plugins", 'plugins = [""]', "plugin .: a folder, not a Python file; name the .py file in it", edited('plugins = [""]')),
    Bad("Plugins", "plugin.py is a folder", "plugin plugin.py: a folder, not a Python file; name the .py file in it", a_folder),
    wrong(
        "it imports what is not there",
        "import nowhere_to_be_found",
        "plugin plugin.py: ModuleNotFoundError: No module named 'nowhere_to_be_found' (plugin.py, line 1)",
    ),
    wrong("it raises", "x = 1\nraise ValueError('a\\nb')", "plugin plugin.py: ValueError: a b (plugin.py, line 2)"),
    wrong("it ends the program", "import sys\nsys.exit()", "plugin plugin.py: SystemExit: … (plugin.py, line 2)"),
    wrong("it is no Python", "def f(:", "plugin plugin.py: SyntaxError: …"),
    wrong("it has bytes of zero", "x = 1\0", "plugin plugin.py: SyntaxError: …"),
    wrong("it recurses for ever", "def f():\n    f()\nf()", "plugin plugin.py: RecursionError: …"),
    wrong("it is empty", "", f"plugin plugin.py: it has none of the lists {LISTS}"),
    wrong("its lists are empty", "METHODS = []", f"plugin plugin.py: it has none of the lists {LISTS}"),
    wrong("METHOD = [len]", "METHOD = [len]", f"plugin plugin.py: it has none of the lists {LISTS}"),
    wrong("METHODS = 5", "METHODS = 5", "plugin plugin.py: METHODS must be a list, not 5"),
    wrong("METHODS = {'a': len}", "METHODS = {'a': len}", "plugin plugin.py: METHODS must be a list, not {…"),
    wrong("METHODS = [5]", "METHODS = [5]", "plugin plugin.py: METHODS holds functions, not 5"),
    wrong(
        "METRICS = [len]",
        "METRICS = [len]",
        "plugin plugin.py: METRICS holds instances of metrics.metric.Metric, not <built-in function len>",
    ),
    wrong(
        "DATASETS = ['mnist']",
        "DATASETS = ['mnist']",
        "plugin plugin.py: DATASETS holds instances of bench.datasets.dataset.Source, not 'mnist'",
    ),
    wrong(
        "a name that exists",
        "from models.vae import ae\nMETHODS = [ae]",
        "plugin plugin.py: METHODS: 'ae' exists already; give yours another name",
    ),
]
METHODS = [
    value("", "weight: float", "missing key 'methods.ae.weight': mine has no default for it"),
    value("weight = 2.0", "weight=1.0", "methods.ae.weight: annotate it in mine as int, float, str, bool, Literal or tuple"),
    value("weight = 2.0", "weight: list = []", "methods.ae.weight…"),
    method("return None", "mine returned None, not a recipe (models.method.Recipe)"),
    method("return 5", "mine returned 5, not a recipe (models.method.Recipe)"),
    method("return ae", "mine returned <function ae …, not a recipe (models.method.Recipe)"),
    method("raise ValueError(f'size must be even, not {size}')", "size must be even, not 3"),
    method("return dim.shape", "cannot be built: AttributeError: 'int' object has no attribute 'shape' (plugin.py, line 15)"),
    method("return vae_gaus(dim)", "cannot be built: NameError: name 'vae_gaus' is not defined (plugin.py, line 15)"),
    method("return replace(ae(dim), regularisers=((1.0, None),))", "…"),
    method("return replace(ae(dim), regularisers=5)", "…"),
    method("raise SystemExit", "cannot be built: SystemExit: … (plugin.py, line 15)"),
    network("return None", "…"),
    network("return torch.nn.Identity()", "…"),
    network("raise ValueError('mine takes squares')", "mine takes squares"),
    network("return torch.nn.Linear(0, -1)", "cannot be built: RuntimeError: …"),
]
DATASETS = [
    dataset("return [1, 2]", "dataset mine: load() must return a bench.datasets.dataset.Dataset, not list"),
    dataset("return None", "dataset mine: load() must return a bench.datasets.dataset.Dataset, not NoneType"),
    dataset("return images(200), images(50)", "dataset mine: load() must return a bench.datasets.dataset.Dataset, not tuple"),
    dataset(
        "return Dataset(images(199), images(50))",
        "dataset mine: its training images have the shape (199, 1, 8, 8), its card says (200, 1, 8, 8)",
    ),
    dataset(
        "return Dataset(images(200), images(49))", "dataset mine: its test images have the shape (49, 1, 8, 8), its card says (50, 1, 8, 8)"
    ),
    dataset(
        "return Dataset(images(200, side=9), images(50, side=9))",
        "dataset mine: its training images have the shape (200, 1, 9, 9), its card says (200, 1, 8, 8)",
    ),
    dataset(
        "return Dataset(images(200, float), images(50, float))",
        "dataset mine: its training images are float64 of 255 levels, its card says unit values, which are uint8 of 255",
    ),
    dataset("return Dataset(images(200).tolist(), images(50))", "dataset mine…"),
    dataset("return np.load(root / 'absent.npy')", "dataset mine cannot be read: FileNotFoundError: …"),
    dataset("raise SystemExit", "dataset mine cannot be read: SystemExit: …"),
    dataset(
        "return Dataset(images(200), images(1))",
        "tiny.toml: dataset mine: test images must be at least 2, not 1",
        'counts={"train": 200, "test": 1}',
    ),
    dataset(
        "return Dataset(images(200), images(50))",
        "plugin plugin.py: ValueError: dataset mine: counts must say how many images …, not {'train': 200} (dataset.py, line …)",
        'counts={"train": 200}',
    ),
    dataset(
        "return Dataset(images(200), images(50))",
        "plugin plugin.py: ValueError: dataset mine: shape must be (channels, height, width), not (8, 8) (dataset.py, line …)",
        "shape=(8, 8)",
    ),
    dataset(
        "return Dataset(images(200), images(50))",
        "plugin plugin.py: ValueError: dataset mine: values must be one of unit, real, not 'units' (dataset.py, line …)",
        'values="units"',
    ),
]
METRICS = [
    metric("raises", "mine is absent from all 2 runs: mine failed: ValueError: no number (plugin.py, line …)"),
    metric("lambda codes: 'much'", "mine is absent from all 2 runs: mine returned 'much' (str), not a number"),
    metric("lambda codes: codes.z", "mine is absent from all 2 runs: mine returned an array of shape (360, 2) (Tensor), not a number"),
    metric("lambda codes: None", "mine is absent from all 2 runs: mine returned None (NoneType), not a number"),
    metric("lambda codes: True", "mine is absent from all 2 runs: mine returned True (bool), not a number"),
    metric("lambda codes: math.nan", "mine is absent from all 2 runs: mine returned nan, not a finite number"),
    metric("lambda codes: math.inf", "mine is absent from all 2 runs: mine returned inf, not a finite number"),
    metric("lambda: 1.0", "mine is absent from all 2 runs: mine failed: TypeError: …"),
    metric(
        "len",
        "tiny.toml: metric mine needs a view that does not exist: unknown view 'test.code'; did you mean 'test.codes'? known: …",
        '("test.code",)',
        2,
    ),
    metric(
        "len",
        "tiny.toml: metric mine needs a view that does not exist: unknown view 'samples.features.resnet'; …",
        '("samples.features.resnet",)',
        2,
    ),
    metric(
        "len",
        "plugin plugin.py: ValueError: metric mine: needs and details must be tuples of names of views, not a text (metric.py, line …)",
        '"test.codes"',
        2,
    ),
]
BAD = [*FILES, *METHODS, *DATASETS, *METRICS]
