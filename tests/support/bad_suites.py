"""Suite files that are none, and keys that cannot be."""

from pathlib import Path

from bad_input import RUN, SECTIONS, Bad, key, suite, toml, values

WHOLE, NUMBER, TEXT, TRUTH = "a whole number", "a number", "a text", "true or false"
ROW, GAN = "methods.ae", "methods.wae_gan"
GOOD = toml(SECTIONS)
BUDGET = "a table with one of steps, epochs, images, seconds"
ONE = "exactly one of steps, epochs, images, seconds; got"
SCHEDULE = "methods.wae_gan.weight"


def file(shown: str, says: str, content: str | bytes, name: str = "tiny.toml") -> Bad:
    """A suite file of that content; what is said begins with its name."""
    return Bad("Suite files", shown, f"{name}: {says}", suite(content, name), RUN.replace("tiny.toml", f'"{name}"'))


def folder_instead(folder: Path) -> None:
    (folder / "tiny.toml").unlink()
    (folder / "tiny.toml").mkdir()


def link_to_itself(folder: Path) -> None:
    (folder / "tiny.toml").unlink()
    (folder / "tiny.toml").symlink_to("tiny.toml")


FILES = [
    Bad(
        "Suite files",
        "-s nowhere.toml",
        "nowhere.toml: no such suite file; known suites: celeba, …",
        arguments="run -s nowhere.toml -o out",
    ),
    Bad("Suite files", "-s digts", "unknown suite 'digts'; did you mean 'digits'? known: celeba, …", arguments="run -s digts -o out"),
    Bad("Suite files", "-s ''", "unknown suite ''; known: celeba, …; or give the path of a .toml file", arguments="run -s '' -o out"),
    Bad("Suite files", "tiny.toml is a folder", "tiny.toml: a folder, not a suite file; name the .toml file in it", folder_instead),
    Bad("Suite files", "tiny.toml is a link to itself", "tiny.toml: no such suite file; known suites: …", link_to_itself),
    file("an empty file", "missing key 'dataset' (a text)", ""),
    file(
        "a byte order mark",
        "it begins with a byte order mark, which TOML does not have; save it as UTF-8 without one",
        b"\xef\xbb\xbf" + GOOD.encode(),
    ),
    file("UTF-16", "cannot be read: byte 1 is not UTF-8; save it as UTF-8", GOOD.encode("utf-16")),
    file("Latin-1", "cannot be read: byte 3 is not UTF-8; save it as UTF-8", "# é\n".encode("latin-1") + GOOD.encode()),
    file("bytes of zero", "not a TOML file: …", bytes(40)),
    file("a page of HTML", "not a TOML file: …", "<html>\n"),
    file("a value that is missing", "not a TOML file: Invalid value (at line 1, column 12)", "question = \n" + GOOD),
    file("a string that does not end", "not a TOML file: …", GOOD + '\nx = "a\n'),
    file("a key twice", "not a TOML file: Cannot overwrite a value (at line …)", "latent_dim = 2\n" + GOOD),
    file("a table twice", "not a TOML file: Cannot declare ('budget',) twice (at line …)", GOOD + "\n[budget]\nsteps = 3\n"),
    file(
        "a list in 20,000 brackets",
        "not a TOML file that can be read: it has lists in lists in lists without end",
        "x = " + 20_000 * "[" + 20_000 * "]",
    ),
    file("a number of 5,000 digits", "not a TOML file: Exceeds the limit …", f"latent_dim = {5000 * '1'}\n"),
    file(
        "called README.toml",
        "leaderboards/README is no suite's, and the page of this one would take its place; rename the file",
        GOOD,
        "README.toml",
    ),
    file(
        "called my suite.toml",
        "a suite's name becomes a file name, it has up to 100 letters, digits, _ and -, …; rename the file",
        GOOD,
        "my suite.toml",
    ),
    file(
        "called -s.toml",
        "a suite's name becomes a file name, it has up to 100 letters, digits, _ and -, …; rename the file",
        GOOD,
        "./-s.toml",
    ),
    file("called digits.toml", "latentbench has a suite 'digits', their results would mix; rename the file", GOOD, "digits.toml"),
]
FILES += [
    file(
        "a name of 200 letters",
        "a suite's name becomes a file name, it has up to 100 letters, …; rename the file",
        GOOD,
        f"{200 * 'a'}.toml",
    ),
    file("called speed.toml", "leaderboards/speed is no suite's, …; rename the file", GOOD, "speed.toml"),
    file(
        "a row's name of 300 letters", "methods.'aaaa…: a name has up to 100 letters, …", f"{GOOD}\n[methods.{300 * 'a'}]\nmethod = 'ae'\n"
    ),
]
MISSING = [
    *(
        key(name, f"missing key '{name}' ({what})")
        for name, what in (("dataset", TEXT), ("network", TEXT), ("latent_dim", WHOLE), ("batch_size", WHOLE))
    ),
    file("without [budget]", f"missing key 'budget' ({BUDGET})", toml({k: v for k, v in SECTIONS.items() if k != "budget"})),
    file(
        "without [methods.NAME]",
        "methods: a suite needs at least one [methods.NAME]",
        toml({k: v for k, v in SECTIONS.items() if "meth" not in k}),
    ),
]
TOP = [
    key('datset = "digits"', "unknown key 'datset'; did you mean 'dataset'? known: batch_size, …"),
    key("gpu = true", "unknown key 'gpu'; known: batch_size, …"),
    key("name = 'x'", "unknown key 'name'; known: batch_size, …"),
    *(bad for name in ("question", "hardware", "expected_time") for bad in values(name, TEXT, "3", '["a"]', "true")),
    *values("dataset", TEXT, "3", '["digits"]'),
    key('dataset = "digit"', "unknown dataset 'digit'; did you mean 'digits'? known: celeba…"),
    key('dataset = ""', "unknown dataset ''; known: celeba…"),
    key(
        'dataset = "my/folder"',
        "unknown dataset 'my/folder'; known: celeba…; a folder of images is folder:my/folder: docs/your-images.md",
    ),
    *values("network", TEXT, "3", '["mlp"]'),
    key('network = "mpl"', "unknown network 'mpl'; did you mean 'mlp'? known: …"),
    key('network = "small_conv"', "methods.ae: …small_conv… takes 1×28×28 images (C×H×W), not 1×8×8"),
    *(bad for name in ("latent_dim", "batch_size", "seeds") for bad in values(name, WHOLE, '"8"', "2.5", "true", "[8]", "{ a = 1 }")),
    *(bad for name in ("latent_dim", "batch_size", "seeds") for bad in values(name, "at least 1", "0", "-1")),
    key("seeds = 1000000000", "seeds must be at most 1000, not 1000000000"),
    key("latent_dim = 1000000000000", "methods.ae: cannot be built: RuntimeError: …"),
    key("batch_size = 1", "methods.ae: batch_size must be at least 2, not 1"),
    key("batch_size = 1438", "methods.ae: batch_size 1438 is more than the 1437 training images of digits"),
    *values("held_out", "one of 'test', 'validation'", '"tests"', '"train"', "3", '["test"]'),
    *values("precision", "one of 'float32', 'tf32', 'bf16'", '"fp16"', "32", "true"),
    key('precision = "tf32"', "precision 'tf32' is arithmetic of CUDA devices; on cpu it is 'float32' or 'bf16'"),
    *values("equal_capacity", NUMBER, '"equal"', "true", "[0.1]"),
    *values("equal_capacity", "at least 0", "-0.1"),
    key("equal_capacity = nan", "equal_capacity must be finite, not nan"),
    key(
        "equal_capacity = 0.001",
        "equal_capacity: trained parameters differ by more than 0.001 of the smallest count: ae: …; wae_gan: …",
    ),
    *values("metrics", "a list of texts", '"mig"', "3"),
    key("metrics = [3]", "metrics[0] must be a text, not 3"),
    key("metrics = []", "metrics must name at least one metric, not []; leave the key out for all of them"),
    key('metrics = ["rec_see_test"]', "unknown metric 'rec_see_test'; did you mean 'rec_sse_test'? known: …"),
    key('metrics = ["rec_sse_validation"]', "unknown metric 'rec_sse_validation'; …"),
    *values("plugins", "a list of texts", '"plugin.py"', "3"),
    key("plugins = [3]", "plugins[0] must be a text, not 3"),
]
TRAINING = [
    *(
        key(f"budget = {value}", f"budget must be {BUDGET}, not {shown}")
        for value, shown in (("5", "5"), ('"4 steps"', "'4 steps'"), ("[4]", "[4]"))
    ),
    key("stpes = 4", "unknown key 'budget.stpes'; did you mean 'budget.steps'? known: …", "budget"),
    key("epochs = 2", f"budget: {ONE} steps and epochs", "budget"),
    key("steps", f"budget: {ONE} none of them", "budget"),
    *values("steps", WHOLE, '"4"', "1.5", "true", "[4]", section="budget"),
    *values("steps", "positive and finite", "0", "-4", section="budget"),
]
TRAINING += [
    key(f"budget = {{ {name} = {value} }}", f"budget.{name} must be {must}, not {shown}")
    for name, value, must, shown in (
        ("epochs", '"2"', NUMBER, "'2'"),
        ("epochs", "true", NUMBER, "True"),
        ("epochs", "0", "positive and finite", "0.0"),
        ("epochs", "-1.5", "positive and finite", "-1.5"),
        ("epochs", "nan", "finite", "nan"),
        ("epochs", "inf", "finite", "inf"),
        ("images", "2.5", WHOLE, "2.5"),
        ("images", "0", "positive and finite", "0"),
        ("seconds", '"1 h"', NUMBER, "'1 h'"),
        ("seconds", "1e400", "finite", "inf"),
        ("seconds", "-0.1", "positive and finite", "-0.1"),
    )
]
OPTIMIZER = [
    key("optimizer = 5", "optimizer must be a table, not 5"),
    key("lrr = 0.1", "unknown key 'optimizer.lrr'; did you mean 'optimizer.lr'? known: …", "optimizer"),
    *values("lr", NUMBER, '"0.1"', "true", "[0.1]", section="optimizer"),
    *values("lr", "finite", "nan", "inf", section="optimizer"),
    key("lr = 0", "optimizer.lr must be > 0, not 0.0", "optimizer"),
    key("lr = -1", "optimizer.lr must be > 0, not -1.0", "optimizer"),
    key(f"lr = 1{400 * '0'}", "optimizer.lr is too large", "optimizer"),
    *values("betas", "a list [a number, a number]", "0.9", "[0.9]", "[0.9, 0.99, 0.999]", section="optimizer"),
    key('betas = [0.9, "x"]', "optimizer.betas[1] must be a number, not 'x'", "optimizer"),
    key("betas = [0.9, 1.0]", "optimizer.betas must be two numbers in [0, 1), not (0.9, 1.0)", "optimizer"),
    key("betas = [-0.1, 0.9]", "optimizer.betas must be two numbers in [0, 1), not (-0.1, 0.9)", "optimizer"),
    *values("decay", NUMBER, '"x"', section="optimizer"),
    key("decay = 0", "optimizer.decay must be > 0, not 0.0", "optimizer"),
    key("milestones = [1]", "optimizer.milestones[0] must be a list [a number, a number], not 1", "optimizer"),
    key("milestones = [[1]]", "optimizer.milestones[0] must be a list [a number, a number], not [1]", "optimizer"),
    key('milestones = [[1, "x"]]', "optimizer.milestones[0][1] must be a number, not 'x'", "optimizer"),
    key("milestones = [[9, 0.5], [3, 0.1]]", "optimizer.milestones must be pairs [epoch, factor > 0], by rising epoch, not …", "optimizer"),
    key("milestones = [[1, 0]]", "optimizer.milestones must be pairs [epoch, factor > 0], by rising epoch, not …", "optimizer"),
    key("milestones = [[-1, 0.5]]", "optimizer.milestones must be pairs [epoch, factor > 0], by rising epoch, not …", "optimizer"),
]
ROWS = [
    file(
        "methods = 5",
        "methods must be tables, [methods.NAME]",
        "methods = 5\n" + toml({k: v for k, v in SECTIONS.items() if "meth" not in k}),
    ),
    file(
        "methods.ae = 5",
        "methods.ae must be a table, not 5",
        "methods.ae = 5\n" + toml({k: v for k, v in SECTIONS.items() if "meth" not in k}),
    ),
    *(
        file(
            f"[methods.'{name}']", f"methods.{name!r}: a name has up to 100 letters, digits and _ + -, …", GOOD + f"\n[methods.'{name}']\n"
        )
        for name in ("a.b", "a/b", "../ae", "", "ä", "-ae", "a b", "a|b")
    ),
    key('method = "vaee_gauss"', "methods.ae: unknown method 'vaee_gauss'; did you mean 'vae_gauss'? known: …", ROW),
    key('method = ""', "methods.ae: unknown method ''; known: …", ROW),
    *values("method", TEXT, "3", section=ROW),
    key('network = "mpl"', "unknown network 'mpl'; did you mean 'mlp'? known: …", ROW),
    *(bad for name in ("latent_dim", "batch_size") for bad in values(name, WHOLE, '"x"', "1.5", section=ROW)),
    *(bad for name in ("latent_dim", "batch_size") for bad in values(name, "at least 1", "0", "-1", section=ROW)),
    key("budget = 5", f"methods.ae.budget must be {BUDGET}, not 5", ROW),
    key("budget = { steps = 0 }", "methods.ae.budget.steps must be positive and finite, not 0", ROW),
    key("budget = { steps = 4, epochs = 2 }", f"methods.ae.budget: {ONE} steps and epochs", ROW),
    key("optimizer = 5", "methods.ae.optimizer must be a table, not 5", ROW),
    key("optimizer = { lr = -1 }", "methods.ae.optimizer.lr must be > 0, not -1.0", ROW),
    key("seeds = 3", "unknown key 'methods.ae.seeds'; known: …", ROW),
    key('preset = "papr"', "methods.ae.preset: unknown preset 'papr'; known: none", ROW),
    *values("preset", TEXT, "3", '["paper"]', section=ROW),
    key("presets = 3", "presets must be tables, [presets.NAME]"),
    key("presets.paper = 3", "presets.paper must be a table, not 3"),
    file(
        "a preset that is nearly named",
        "methods.ae.preset: unknown preset 'papr'; did you mean 'paper'? known: paper",
        GOOD.replace("[methods.ae]", '[methods.ae]\npreset = "papr"') + "\n[presets.paper]\nlatent_dim = 3\n",
    ),
]
VALUES = [
    key("weigth = 1", "unknown key 'methods.wae_gan.weigth'; did you mean 'methods.wae_gan.weight'? known: …", GAN),
    *values("weight", NUMBER, '"much"', "true", "[1]", section=GAN),
    *values("weight", "finite", "nan", "inf", "-inf", section=GAN),
    key("weight = -1", "methods.wae_gan: weight must be 0 or larger, not -1…", GAN),
    key(f"weight = 1{400 * '0'}", "methods.wae_gan.weight is too large", GAN),
    *values("width", WHOLE, "1.5", '"8"', "true", section=GAN),
    key("width = -5", "methods.wae_gan: cannot be built: RuntimeError: Trying to create tensor with negative dimension…", GAN),
    *values("pz_trick", TRUTH, "1", '"yes"', section=GAN),
    key("weight = { from = 0 }", f"{SCHEDULE}: …", GAN),
    key('weight = { from = 0, to = 1, over = "30" }', f"{SCHEDULE}: …", GAN),
    key('weight = { from = 0, to = 1, over = "30 days" }', f"{SCHEDULE}: …", GAN),
    key('weight = { from = 0, to = 1, over = "0 steps" }', f"{SCHEDULE}: …", GAN),
    key("weight = { from = 0, to = 1, over = 30 }", f"{SCHEDULE}: …", GAN),
    key('weight = { from = "a", to = 1, over = "3 steps" }', f"{SCHEDULE}: …", GAN),
    key('weight = { from = 0, to = nan, over = "3 steps" }', "methods.wae_gan.weight.to must be finite, not nan", GAN),
    key('weight = { from = 0, to = 1, over = "3 steps", shape = "square" }', f"{SCHEDULE}: …", GAN),
    key('weight = { from = 0, to = 1, over = "3 steps", upto = 3 }', f"{SCHEDULE}: …", GAN),
    *values("density", "a table", "5", '"maf"', section=ROW),
    key("density = {}", "missing key 'methods.ae.density.model' (a text)", ROW),
    key("density = { model = 3 }", "methods.ae.density.model must be a text, not 3", ROW),
    key('density = { model = "muf" }', "methods.ae.density: unknown density 'muf'; did you mean 'maf'? known: …", ROW),
    key(
        'density = { model = "maf", transfroms = 3 }',
        "unknown key 'methods.ae.density.transfroms'; did you mean 'methods.ae.density.transforms'? known: …",
        ROW,
    ),
    key('density = { model = "maf", transforms = "3" }', "methods.ae.density.transforms must be a whole number, not '3'", ROW),
    key('density = { model = "maf", budget = {} }', f"methods.ae.density.budget: {ONE} none of them", ROW),
    key('density = { model = "maf" }', "methods.ae.density: …budget…", ROW),
    key('density = { model = "mixture", components = 0 }', "methods.ae.density: …", ROW),
]
GRID = "must be a table of keys with lists of values, such as { weight = [0.1, 1.0] }"
WORDS = "a value names a row, so it is a number, true, false, or a text or list of letters, digits and _ + . -"
SPACE = "must be a table of keys with ranges or lists of values, such as { weight = { low = 0.1, high = 10.0, log = true }, …"
RULE = 'select = { metric = "rec_sse_validation" }'


def searched(line: str, says: str) -> Bad:
    """A `search` with a rule."""
    return key(f"{line}\n{RULE}", says, GAN)


SWEEPS = [
    key("sweep = {}", f"sweep {GRID}, not {{}}"),
    key("sweep = [0.1, 1.0]", f"sweep {GRID}, not [0.1, 1.0]"),
    key("sweep = { weight = [] }", "methods.wae_gan.sweep.weight must have at least one value, not []", GAN),
    key("sweep = { weight = 0.1 }", "methods.wae_gan.sweep.weight must be a list of values, not 0.1; one value needs no grid", GAN),
    key("sweep = { weight = [1, 1.0] }", "methods.wae_gan.sweep.weight: the value 1 stands there twice", GAN),
    key('sweep = { network = ["mlp", "a/b"] }', f"methods.ae.sweep.network: {WORDS}, not 'a/b'", ROW),
    key("sweep = { latent_dim = [{ a = 1 }] }", f"methods.ae.sweep.latent_dim: {WORDS}, not {{'a': 1}}", ROW),
    key(
        "sweep = { weigth = [1.0, 2.0] }",
        "unknown key 'methods.wae_gan weigth=1.weigth'; did you mean 'methods.wae_gan weigth=1.weight'? known: …",
        GAN,
    ),
    key("sweep = { weight = [1.0, -2.0] }", "methods.wae_gan weight=-2: weight must be 0 or larger, not -2…", GAN),
    key("sweep = { width = [8, 16] }", "methods.wae_gan.width is 8 there and swept over; leave one of the two out", GAN),
    key("sweep = { latent_dim = [2, 0] }", "methods.ae latent_dim=0.latent_dim must be at least 1, not 0", ROW),
    file(
        "a grid of 1,001 rows",
        "methods.ae.sweep makes 1,001 rows; a grid has at most 1,000",
        GOOD.replace("[methods.ae]", f"[methods.ae]\nsweep = {{ latent_dim = {[*range(1, 1002)]} }}"),
    ),
    key("sweep = [{ latent_dim = 2 }, { batch_size = 50 }]", "methods.ae.sweep[1] has the keys batch_size; the first has latent_dim", ROW),
    key("sweep = [{ latent_dim = 2 }, { latent_dim = 2 }]", "methods.ae.sweep[1] has the values of methods.ae.sweep[0]", ROW),
    key('sweep = [{ a = 1, b = 2 }, { b = 2, a = "1" }]', "methods.ae.sweep[1] has the values of methods.ae.sweep[0]", ROW),
    key("sweep = [{ latent_dim = 2 }, {}]", "methods.ae.sweep[1] must have at least one value, not {}", ROW),
    key("sweep = [{ latent_dim = 2 }, 3]", f"methods.ae.sweep {GRID}, not [{{'latent_dim': 2}}, 3]", ROW),
    key("sweep = []", f"methods.ae.sweep {GRID}, not []", ROW),
    key('sweep = [{ network = "a/b" }]', f"methods.ae.sweep[0].network: {WORDS}, not 'a/b'", ROW),
    searched("search = {}", f"methods.wae_gan.search {SPACE}, not {{}}"),
    searched("search = 3", f"methods.wae_gan.search {SPACE}, not 3"),
    searched("search = { weight = 1.0 }", "methods.wae_gan.search.weight must be a range, { low = …, or a list of values, not 1.0"),
    searched("search = { weight = { low = 2.0, high = 1.0 } }", "methods.wae_gan.search.weight: low must be below high, not 2 and 1"),
    searched(
        "search = { weight = { low = 0.0, high = 1.0, log = true } }",
        "methods.wae_gan.search.weight: low must be above 0 where log is true, not 0",
    ),
    searched("search = { weight = { low = 1.0 } }", "missing key 'methods.wae_gan.search.weight.high' (a number)"),
    searched(
        "search = { weight = { low = 1.0, hihg = 2.0 } }",
        "unknown key 'methods.wae_gan.search.weight.hihg'; did you mean 'methods.wae_gan.search.weight.high'? known: …",
    ),
    searched('search = { weight = { low = "a", high = 2.0 } }', "methods.wae_gan.search.weight.low must be a number, not 'a'"),
    searched("search = { weight = [] }", "methods.wae_gan.search.weight must have at least one value, not []"),
    searched('search = { "a b" = [1, 2] }', "methods.wae_gan.search.'a b': a key names rows with its values, …"),
    key(
        "search = { weight = [1.0, 2.0] }",
        'methods.wae_gan.search needs the rule that chooses one of its trials, such as select = { metric = "fid_pz" }',
        GAN,
    ),
    searched(
        "search = { weight = [1.0, 2.0] }\nsweep = { weight = [1.0] }",
        "methods.wae_gan has a sweep and a search; a row has one of the two",
    ),
    key('select = { metric = "active_units" }', "methods.ae.select chooses among the rows of a grid, and there is no sweep", ROW),
    key("select = 3", "select must be a table, not 3"),
    key("select = {}", "missing key 'select.metric' (a text)"),
    key('select = { metric = "active_units", nearer = 3 }', "unknown key 'select.nearer'; did you mean 'select.nearest'? known: …"),
    key('select = { metric = "active_units", nearest = "dim" }', "select.nearest must be a number or 'latent_dim', not 'dim'"),
    key('select = { metric = "active_units", nearest = [3] }', "select.nearest must be a number or 'latent_dim', not [3]"),
    *(
        key(f"sweep = {{ latent_dim = [2, 4] }}\nselect = {{ metric = {metric} }}", f"methods.ae.select{says}", ROW)
        for metric, says in (
            ('"rec_sse_tests"', ".metric: unknown metric 'rec_sse_tests'; did you mean 'rec_sse_…'? known: …"),
            (
                '"rec_sse_test"',
                ".metric: 'rec_sse_test' is of test images, by which nothing may be chosen; "
                "of the validation images it is 'rec_sse_validation'",
            ),
            ('"active_units"', ": active_units has no best value; say what it is to come near, as in nearest = 16.0"),
        )
    ),
]
BAD = [*FILES, *MISSING, *TOP, *TRAINING, *OPTIMIZER, *ROWS, *VALUES, *SWEEPS]
