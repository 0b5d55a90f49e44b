"""Options of `python -m bench measure` that cannot be, and pairs that are none."""

from collections.abc import Iterable

import numpy as np
from bad_measure import GOOD, PIXELS, BadMeasurement, Make, nothing, png, with_files

SETS = "--train: training images are for samples, a set of images or a run, that are measured --against others"
OPTIONS = [
    BadMeasurement(f"options: {arguments}", nothing, f"measure {arguments}", says)
    for arguments, says in (
        ("", "measure: give WHAT, or both --originals and --reconstructions"),
        ("--against good", "measure: give WHAT, or both --originals and --reconstructions"),
        ("--originals good", "measure: give WHAT, or both --originals and --reconstructions"),
        ("--reconstructions good", "measure: give WHAT, or both --originals and --reconstructions"),
        ("good --originals good --reconstructions good", "measure: give WHAT, or both --originals and --reconstructions"),
        (
            "--originals good --reconstructions good --against good",
            "measure: --originals are what --reconstructions are measured against; leave --against out",
        ),
        ("good", "good: say what it is measured against: --against FOLDER, dataset:NAME:test, statistics.npz ..."),
        ("gone --against good", "gone: no such file or folder; measured are …"),
        ("gone.npy --against good", "gone.npy: no such file"),
        ("gone.npz --against good", "gone.npz: no such file"),
        ("gone.npz:a --against good", "gone.npz: no such file"),
        ("gone.zip --against good", "gone.zip: no such file or folder; …"),
        ("gone.pt --against good", "gone.pt: no such file or folder; …"),
        ("dataset:digit:test --against good", "dataset:digit:test: unknown dataset 'digit…"),
        (
            "dataset:digits:tset --against good",
            "dataset:digits:tset: unknown split 'tset'; did you mean 'test'? known: test, train, validation",
        ),
        ("dataset:sine:test --against good", "dataset:sine:test: its values are signals, images are measured"),
        ("dataset:mnist:test --against good --data-root nowhere", "dataset mnist: 4 of 4 files missing in nowhere/MNIST/raw: …"),
        (
            f"good --against dataset:digits:test {PIXELS}",
            "good has images of 3×12×12 (channels, height, width), dataset:digits:test of 1×8×8; bring both to one with --size",
        ),
        ("good --against good --networks lite", "--networks: unknown network 'lite'; did you mean 'lite0'? known: …"),
        (
            "good --against good --networks inception-tf",
            "--networks inception-tf: weights-inception-2015-12-05-6726825d.pth is not in the folder weights of the data root",
        ),
        (
            "good --against good --networks classifier",
            "--networks classifier: classifier features are a dataset's own; measure against one: --against dataset:NAME:test",
        ),
        ("good --against good --networks ,", "--networks must name something, or be left out for all; it is ','"),
        (
            f"good --against good --metrics frechet_pixel {PIXELS}",
            "--metrics: unknown metric 'frechet_pixel'; did you mean 'frechet_pixels'? known: …",
        ),
        (f"good --against good --metrics rec_sse {PIXELS}", "--metrics: unknown metric 'rec_sse'; …"),
        ("good --against good --count 0", "--count must be at least 1, not 0"),
        ("good --against good --count many", "… 'many' is not a whole number; see: python -m bench --help"),
        ("good --against good --size 0", "--size must be at least 1, not 0"),
        ("good --against good --size -4", "--size must be at least 1, not -4"),
        ("good --against good --size 5000", "--size must be at most 4096, not 5000"),
        (
            "good --against good --filter cubic",
            "--filter: unknown value 'cubic'; did you mean 'bicubic'? known: bicubic, bilinear, box, lanczos, nearest",
        ),
        ("good --against good --flatten grey", "--flatten: unknown value 'grey'; known: black, white"),
        ("good --against good --range 0,1", "--range: unknown value '0,1'; known: symmetric, unit"),
        ("good --against good --threads 999", "--threads must be at most …, the cores of this machine, not 999"),
        ("good --against good --device gpu", "…gpu…"),
        ("good --against good --plugin gone.py", "plugin gone.py: no such file …"),
        ("good --against good --record good", "--record good: not a file of measurements (…); choose another"),
        ("good --against good --record factors.npy", "--record factors.npy: not a file of measurements (…); choose another"),
        (f"good --against good --record model.py {PIXELS}", "--record model.py: not a file of measurements (…); choose another"),
        (
            f"good --against good --save-statistics s.npz {PIXELS}",
            "--save-statistics: they are of one network; say which: --networks inception-tf",
        ),
        ("good --against good --explain often", "--explain often: a number with the digits that were reported is expected, such as 1.50"),
        ("good --against good --explain nan", "--explain nan: it is not finite"),
        ("good --explain 1.5", "--explain: give WHAT and --against, two sets of images"),
        ("good --against good --train good --explain 1.5", "--explain: give WHAT and --against, two sets of images"),
        ("good --train good", SETS),
        ("codes.npy --train good", SETS),
        ("model.py:same --against good --train good", SETS),
        ("--originals good --reconstructions good --train good", SETS),
        ("good --against good --train codes.npy", "--train codes.npy is codes, images are expected"),
        ("codes.npy --explain 1.5", "--explain: give WHAT and --against, two sets of images"),
        ("codes.npy --against good --explain 1.5", "explain: codes.npy is codes, images are expected"),
        (f"good --against good --metrics fidd --explain 1.5 {PIXELS}", "--metrics: unknown metric 'fidd'; …"),
        ("good --gainst good", "No such option: --gainst…; see: python -m bench --help"),
    )
]


def partner(names: Iterable[str]) -> Make:
    return with_files(*((name, png(GOOD[i % 5])) for i, name in enumerate(names)))


PAIR = f"measure --originals good --reconstructions bad {PIXELS}"
PAIRS = [
    BadMeasurement(f"pairs: {shown}", make, PAIR, says)
    for shown, make, says in (
        ("one is missing", partner(["000.png", "001.png", "002.png"]), "bad: 1 of 4 images of good have no partner, the first 003"),
        ("one too many", partner([f"{i:03d}.png" for i in range(5)]), "good: 1 of 5 images of bad have no partner, the first 004"),
        ("other names", partner("abcd"[i] + ".png" for i in range(4)), "bad: 4 of 4 images of good have no partner, the first 000"),
        ("in folders of its own", partner(f"x/{i:03d}.png" for i in range(4)), "bad: 4 of 4 images of good have no partner, the first 000"),
        (
            "one twice",
            partner(["000.png", "000.bmp", "001.png", "002.png", "003.png"]),
            "bad: 000 is there with two endings; pairs are by name without the ending",
        ),
        (
            "an array of another count",
            lambda folder: np.save(folder / "bad.npy", np.zeros((5, 12, 12, 3), np.uint8)),
            "good has 4 images, bad.npy 5; pairs are by order",
        ),
    )
]
PAIRS = [bad if "array" not in bad.shown else bad._replace(arguments=PAIR.replace(" bad", " bad.npy")) for bad in PAIRS]
