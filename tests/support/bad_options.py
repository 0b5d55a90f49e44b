"""Options and environment variables that cannot be, of every command."""

from pathlib import Path

from bad_input import RUN, SEVEN, Bad, edited

ON = "-s tiny.toml -o out"
RUN_FOLDER = "out/runs/tiny/ae/0-nothing"


def run(options: str, says: str) -> Bad:
    """`python -m bench run` with more options."""
    return Bad("Options of run", options, says, arguments=f"{RUN} {options}")


def command(arguments: str, says: str, code: int = 2) -> Bad:
    """Another command."""
    return Bad("Other commands", arguments, says, arguments=arguments, code=code)


def variable(name: str, value: str, says: str, arguments: str = RUN) -> Bad:
    """An environment variable."""
    shown = f"{name}={value}" + ("" if arguments == RUN else f" … {arguments.split(' -')[0]}")
    return Bad("Environment variables", shown, says, arguments=arguments, environment={name: value})


def override(text: str, says: str) -> Bad:
    """A value of --set; what is said begins with the file and the option."""
    shown = text if len(text) < 100 else f"{text[:60]}…"
    return Bad("Options of run", f"--set {shown!r}", f"tiny.toml --set {shown}: {says}", arguments=f'{RUN} --set "{text}"')


def a_file(folder: Path) -> None:
    (folder / "mine.txt").write_text("mine")


def none_there(folder: Path) -> None:
    (folder / "out" / "runs" / "tiny" / "ae").rename(folder / "away")


WHOLE = "is not a whole number; see: python -m bench --help"
SHARES = "must be shares of the budget between 0 and 1, such as 0.1,0.5, not"
OPTIONS = [
    run("--methods aee", "tiny.toml: unknown method 'aee'; did you mean 'ae'? known: ae, wae_gan"),
    run("--methods ae,,x", "tiny.toml: unknown method 'x'; known: ae, wae_gan"),
    run("--methods ''", "--methods must name something, or be left out for all; it is ''"),
    run("--methods ,,", "--methods must name something, or be left out for all; it is ',,'"),
    run("--device tpu", "--device must be cpu or cuda, not 'tpu'"),
    run("--device ''", "--device must be cpu or cuda, not ''"),
    run("--device cuda:1", "--device must be cpu or cuda, not 'cuda:1'…"),
    run("--device CPU", "--device must be cpu or cuda, not 'CPU'…"),
    run("--seeds 0", "--seeds must be at least 1, not 0"),
    run("--seeds -3", "--seeds must be at least 1, not -3"),
    run("--seeds 1000000000", "…seeds must be at most 1000, not 1000000000"),
    run("--seeds three", f"Invalid value for '--seeds': 'three' {WHOLE}"),
    run("--seeds 1.5", f"Invalid value for '--seeds': '1.5' {WHOLE}"),
    run("--seeds ''", f"Invalid value for '--seeds': '' {WHOLE}"),
    run("--measure-at 2", f"--measure-at {SHARES} 2.0"),
    run("--measure-at 0", f"--measure-at {SHARES} 0.0"),
    run("--measure-at 0.5,1", f"--measure-at {SHARES} 1.0"),
    run("--measure-at nan", f"--measure-at {SHARES} nan"),
    run("--measure-at half", f"--measure-at {SHARES} 'half'"),
    run("--measure-at ''", "--measure-at must name something, or be left out for all; it is ''"),
    run("--measure-at 0.5 --measure rec_sse", "tiny.toml: --measure: unknown metric 'rec_sse'; did you mean 'rec_sse_test'…"),
    run("--measure rec_sse_test", "--measure says what is measured at the shares of --measure-at, which are not given"),
    run("--jobs 0", "--jobs must be at least 1, not 0"),
    run("--jobs -1", "--jobs must be at least 1, not -1"),
    run("--jobs many", f"Invalid value for '--jobs': 'many' {WHOLE}"),
    run("--threads 0", "--threads must be at least 1, not 0"),
    run("--threads 1000000", "--threads must be at most …, the cores of this machine, not 1000000"),
    run("--threads 1e3", f"Invalid value for '--threads': '1e3' {WHOLE}"),
    run("--save-every -1", "Invalid value for '--save-every': '-1' is not a number of at least 0; see: python -m bench --help"),
    run("--save-every nan", "Invalid value for '--save-every': 'nan' is not a number of at least 0; see: python -m bench --help"),
    run("--save-every often", "Invalid value for '--save-every': 'often' is not a number of at least 0…"),
    run("--sed 3", "No such option: --sed …--seeds…"),
    run("--methods", "Option '--methods' requires an argument…"),
    run("tiny.toml", "Got unexpected extra argument… (tiny.toml)…"),
    run("--smoke=yes", "Option '--smoke' does not take a value…"),
    run("--out ''", "Invalid value for '--out' / '-o': it is empty…"),
    run("--data-root ''", "Invalid value for '--data-root'…: it is empty…"),
    Bad(
        "Options of run",
        "--out mine.txt, which is a file",
        "cannot write mine.txt/…: a part of that path is a file, where a folder is needed; choose another --out",
        a_file,
        "run -s tiny.toml -o mine.txt --jobs 1",
    ),
    Bad(
        "Options of run",
        "--out mine.txt/below, where mine.txt is a file",
        "cannot write mine.txt/below/…: a part of that path is a file, …",
        a_file,
        "run -s tiny.toml -o mine.txt/below --jobs 1",
    ),
    run("--name a/b --set seeds=2", "--name a/b: a suite's name becomes a file name, …; choose another"),
    run("--name digits --set seeds=2", "--name digits: latentbench has a suite 'digits', their results would mix; choose another"),
    override("latent_dim", "write it as key=value, for instance methods.vcae.weight=0.5"),
    override("=1", "write it as key=value, for instance methods.vcae.weight=0.5"),
    override("", "write it as key=value, for instance methods.vcae.weight=0.5"),
    override("methods.=1", "write it as key=value, for instance methods.vcae.weight=0.5"),
    override("question.x=1", "question is a value, it has no key 'x'"),
    override("methods.nosuch.weight=1", "unknown method 'nosuch'; known: ae, wae_gan"),
    override("methods.ae.weight=1", "unknown key 'methods.ae.weight'; known: …"),
    override("methods=5", "methods must be tables, [methods.NAME]"),
    override("latent_dim=", "latent_dim must be a whole number, not ''"),
    override("latent_dim=eight", "latent_dim must be a whole number, not 'eight'"),
    override("latnt_dim=3", "unknown key 'latnt_dim'; did you mean 'latent_dim'? known: …"),
    override("budget.stpes=4", "unknown key 'budget.stpes'; did you mean 'budget.steps'? known: …"),
    override("methods.wae_gan.weight=1" + 5000 * "0", "methods.wae_gan.weight must be a number, not '1000…"),
    override("x=" + 20_000 * "[" + 20_000 * "]", "unknown key 'x'; known: …"),
]
ONE_FORM = "export: give exactly one of --csv, --json, --latex, --parquet;"
TINY = "out/leaderboards/runs/tiny.jsonl"
EXPORTS = [
    command("export", "Missing argument 'SUITE'…"),
    command("export tiny.toml --from out", f"{ONE_FORM} none of them was given"),
    command("export tiny.toml --csv --json --from out", f"{ONE_FORM} --csv and --json was given"),
    command("export tiny.toml --parquet --from out", "--parquet needs a file, which is not text: --out FILE"),
    command("export digts --csv", "unknown suite 'digts'; did you mean 'digits'? known: …"),
    command(
        "export tiny.toml --csv --from elsewhere",
        "elsewhere/leaderboards/runs/tiny.jsonl: no records of suite tiny; train its runs with: python -m bench run --suite tiny.toml",
    ),
    command(
        "export tiny.toml --csv --from out --metrics rec_see_test",
        "--metrics: unknown metric 'rec_see_test'; did you mean 'rec_sse_test'? known: …",
    ),
    command("export tiny.toml --csv --from out --metrics ''", "--metrics must name something, or be left out for all; it is ''"),
    command(
        f"export tiny.toml --latex --from out --metrics {','.join(SEVEN)}",
        "--metrics: a LaTeX table has room for 6 columns, not 7",
    ),
    command("export tiny.toml --csv --from out --out ''", "Invalid value for '--out' / '-o': it is empty…"),
    command("export tiny.toml --csv --from out --out out", "cannot write out: Is a directory; …"),
    command("export tiny.toml --csv --from out --out plugin.py/x.csv", "cannot write plugin.py/x.csv: a part of that path is a file, …"),
    command("compare tiny.toml/ae", "Missing argument 'B'…"),
    command("compare tiny.toml/ae tiny.toml/aee --from out", f"{TINY}: unknown row 'aee'; did you mean 'ae'? known: ae, wae_gan"),
    command("compare digts/ae tiny.toml/ae --from out", "unknown suite 'digts'; did you mean 'digits'? known: …"),
    command("compare digits/ae tiny.toml/ae --from out", "out/leaderboards/runs/digits.jsonl: unknown row 'ae'; known: none"),
    command("compare ae wae_gan --from out", "compare: 'ae' is neither a file of records nor a row; write SUITE/ROW, FILE/ROW or FILE"),
    command("compare lost.jsonl tiny.toml/ae --from out", "compare: 'lost.jsonl' is neither a file of records nor a row; …"),
    command("compare lost.jsonl/ae tiny.toml/ae --from out", "lost.jsonl: no such file"),
    command(
        f"compare {TINY} tiny.toml/ae --from out",
        f"compare: {TINY} and tiny.toml/ae share no row; name a row of each: SUITE/ROW or FILE/ROW",
    ),
    command(
        "compare tiny.toml/ae tiny.toml/wae_gan --from out --metrics rec_see_test",
        "--metrics: unknown metric 'rec_see_test'; did you mean 'rec_sse_test'? known: …",
    ),
    command("merge --out merged.jsonl", "Missing argument 'FILES...'…"),
    command(f"merge {TINY}", "Missing option '--out' / '-o'…"),
    command("merge lost.jsonl --out merged.jsonl", "lost.jsonl: no such file"),
    command(f"merge {TINY} plugin.py --out merged.jsonl", "plugin.py:1: not a record (…); fix or delete that line"),
    command(
        f"merge {TINY} --out tiny.toml", "tiny.toml: there is such a file already, which is none of those to merge; name it among them, …"
    ),
]
FOUND = "search = { weight = [0.1, 1.0] }\nselect = { metric = 'rec_sse_validation' }"
SEARCH = "search -s tiny.toml -o out --jobs 1"


def search(line: str, says: str, arguments: str = f"{SEARCH} --name tuned") -> Bad:
    """`python -m bench search` over a row with that line."""
    shown = " ".join([f"search, with `{' '.join(line.split())}`" if line != FOUND else "search", arguments.removeprefix(SEARCH)])
    return Bad("Other commands", shown, says, edited(line, "methods.wae_gan"), arguments)


HOW = "docs/suites.md, Searches, has how to write one"


def a_suite_of_one_s_own(folder: Path) -> None:
    edited(FOUND, "methods.wae_gan")(folder)
    (folder / "out" / "tuned.toml").write_text("mine = 1\n")


SEARCHES = [
    command(f"{SEARCH}", "Missing option '--name'…"),
    command(f"{SEARCH} --name tuned", f"tiny.toml: no row has a search; {HOW}"),
    search(FOUND, f"tiny.toml: methods.ae has no search; {HOW}", f"{SEARCH} --name tuned --methods ae"),
    search(FOUND, "tiny.toml: unknown method 'wae_gna'; did you mean 'wae_gan'? known: …", f"{SEARCH} --name tuned --methods wae_gna"),
    search(FOUND, "--name digits: latentbench has a suite 'digits', …; choose another", f"{SEARCH} --name digits"),
    search(FOUND, "--trials must be at least 1, not 0", f"{SEARCH} --name tuned --trials 0"),
    search(FOUND, "--trials must be at most 1,000, not 1,001", f"{SEARCH} --name tuned --trials 1001"),
    search(FOUND, "--at-once must be at least 1, not 0", f"{SEARCH} --name tuned --at-once 0"),
    search(FOUND.replace("weight", "weigth"), "tiny.toml: unknown key 'methods.wae_gan weigth=….weigth'; did you mean …"),
    search(FOUND.replace("0.1, 1.0", "-1.0"), "tiny.toml: methods.wae_gan weight=-1: weight must be 0 or larger, not -1…"),
    search(
        "search = { weight = { low = -1.0, high = 1.0 } }\nselect = { metric = 'rec_sse_validation' }",
        "tiny.toml: methods.wae_gan weight=-1: weight must be 0 or larger, not -1…",
    ),
    search(FOUND.replace("_validation", "_test"), "tiny.toml: methods.wae_gan.select.metric: 'rec_sse_test' is of test images, …"),
    Bad(
        "Other commands",
        "search, where out/tuned.toml is a file of one's own",
        "out/tuned.toml: not what a search of tiny.toml over these rows has written; choose another --name, or delete it",
        a_suite_of_one_s_own,
        f"{SEARCH} --name tuned",
    ),
]
COMMANDS = [
    command("rnu", "No such command 'rnu'…"),
    command("--verbose", "No such option: --verbose…"),
    command("evaluate", "Missing argument 'RUN|SUITE'…"),
    command("evaluate digts -o out", "unknown suite 'digts'; did you mean 'digits'? known: …"),
    command(
        "evaluate digits -o out", "out/runs/digits: no finished run of suite digits; train them with: python -m bench run --suite digits"
    ),
    command(
        "evaluate out -o out",
        "out: not the folder of a run, which is <out>/runs/<suite>/<label>/<seed>-<key>; or give a suite's name, or its .toml file",
    ),
    command(f"evaluate {RUN_FOLDER}", f"{RUN_FOLDER}: unknown run 'ae/0-nothing'; known: ae/0-…, wae_gan/0-…"),
    command(
        "evaluate out/runs/tniy/ae/0-nothing",
        "…out/leaderboards/runs/tniy.suite.json: no such file, so that suite 'tniy' is not known; name its suite file instead of the run",
    ),
    command(
        "evaluate tiny.toml -o elsewhere",
        "elsewhere/runs/tiny: no finished run of suite tiny; train them with: python -m bench run --suite tiny.toml",
    ),
    command("evaluate tiny.toml -o out --metrics mgi", "--metrics: unknown metric 'mgi'; did you mean 'mig'? known: …"),
    command("evaluate tiny.toml -o out --metrics ''", "--metrics must name something, or be left out for all; it is ''"),
    command("evaluate tiny.toml -o out --metrics ,", "--metrics must name something, or be left out for all; it is ','"),
    command("evaluate tiny.toml -o out --device tpu", "--device must be cpu or cuda, not 'tpu'"),
    command("evaluate tiny.toml -o out --device ''", "--device must be cpu or cuda, not ''"),
    command("evaluate tiny.toml -o out --threads 0", "--threads must be at least 1, not 0"),
    command("evaluate tiny.toml -o out --jobs 0", "--jobs must be at least 1, not 0"),
    command("evaluate tiny.toml -o out --set latent_dim=0", "tiny.toml --set latent_dim=0: latent_dim must be at least 1, not 0"),
    command(
        "verify tiny.toml -o elsewhere",
        "elsewhere/runs/tiny: no finished run of suite tiny; train them with: python -m bench run --suite tiny.toml",
    ),
    command(
        "verify tiny.toml -o out --tolerance -1",
        "Invalid value for '--tolerance': '-1' is not a number of at least 0; see: python -m bench --help",
    ),
    command(
        "verify tiny.toml -o out --tolerance nan",
        "Invalid value for '--tolerance': 'nan' is not a number of at least 0; see: python -m bench --help",
    ),
    command("verify tiny.toml -o out --tolerance little", "Invalid value for '--tolerance': 'little' is not a number of at least 0…"),
    command("verify tiny.toml -o out --metrics mgi", "--metrics: unknown metric 'mgi'; did you mean 'mig'? known: …"),
    command("verify tiny.toml -o out --device gpu", "--device must be cpu or cuda, not 'gpu'"),
    command("list", "Missing argument …"),
    command("list method", "unknown list 'method'; did you mean 'methods'? known: datasets, …"),
    command("list ''", "unknown list ''; known: datasets, …"),
    command("list networks --for 64", "--for must be channels x height x width, as 3x64x64 or 1x28x28, not '64'"),
    command("list networks --for 0x8x8", "--for must be channels x height x width, as 3x64x64 or 1x28x28, not '0x8x8'"),
    command("list methods --for 3x64x64", "--for is of networks, not of methods: python -m bench list networks --for 3x64x64"),
    command("data verify folder:nowhere", "dataset folder:nowhere: nowhere: no such folder; …"),
    command("profile -s tiny.toml", "Missing option '--method' / '-m'…"),
    command("profile -s tiny.toml -m aee -o out", "tiny.toml: unknown method 'aee'; did you mean 'ae'? known: ae, wae_gan"),
    command("profile -s tiny.toml -m '' -o out", "tiny.toml: unknown method ''; known: ae, wae_gan"),
    command("profile -s tiny.toml -m ae -o out --device tpu", "--device must be cpu or cuda, not 'tpu'"),
    command("profile -s tiny.toml -m ae -o out --threads 0", "--threads must be at least 1, not 0"),
    command("leaderboard", "Missing option '--suite' / '-s'…"),
    command("leaderboard -s digts -o out", "unknown suite 'digts'; did you mean 'digits'? known: …"),
    command(
        "leaderboard -s digits -o out",
        "out/leaderboards/runs/digits.jsonl: no records of suite digits; train its runs with: python -m bench run --suite digits -o out",
    ),
    command(
        "leaderboard -s tiny.toml -o elsewhere",
        "elsewhere/leaderboards/runs/tiny.jsonl: no records of suite tiny; train its runs with: …",
    ),
    command("leaderboard -s digits -o out --check", "out/leaderboards/runs/digits.jsonl: no records of suite digits; …"),
    command(
        "curves -s digits -o out",
        "no run of digits in out/runs has left a training curve; train it first: python -m bench run --suite digits",
    ),
    command(
        "curves -s tiny.toml -o elsewhere",
        "no run of tiny in elsewhere/runs has left a training curve; train it first: python -m bench run --suite tiny.toml",
    ),
    command("status -o elsewhere", "elsewhere/runs: no suite has been run here; another folder: --out"),
    command("status digts -o out", "unknown suite 'digts'; did you mean 'digits'? known: …"),
    command("data fetsh mnist", "No such command 'fetsh'. Did you mean 'fetch'?…"),
    command("data verify mnits", "unknown dataset 'mnits'; did you mean 'mnist'? known: …"),
    command(
        "data verify mnist --data-root nowhere",
        "dataset mnist: 4 of 4 files missing in nowhere/MNIST/raw: …; download with `… --data-root nowhere`, …",
    ),
    command("data pack mnist --data-root nowhere", "dataset mnist: 4 of 4 files missing in nowhere/MNIST/raw: …"),
    command("data fetch ''", "unknown dataset ''; known: …"),
    Bad(
        "Other commands",
        "data fetch mnist --data-root mine.txt, which is a file",
        "cannot fetch mnist: mine.txt is not a writable folder; choose another with --data-root",
        a_file,
        "data fetch mnist --data-root mine.txt",
    ),
    command("features fetch pixels", "only inception-tf and timm:<model> have weights to fetch, not 'pixels'; …"),
    command("features fetch timm:resnet10000", "timm … has no weights of 'resnet10000' on its hub; …"),
    command("features train faces", "dataset faces has no labels…"),
    command("features train digts", "unknown dataset 'digts'; did you mean 'digits'? known: …"),
    command("records migrate tniy -o out", "out/leaderboards/runs: no records of a suite 'tniy'; there are tiny"),
    command("records migrate lost.jsonl", "lost.jsonl: no such file"),
    command("records migrate tiny.toml", "…tiny.toml…"),
    *EXPORTS,
    *SEARCHES,
    command("tiers-check --columns 0", "--columns must be at least 1, not 0"),
    command("tiers-check --seed -1", "--seed must be at least 0, not -1"),
    command("tiers-check --columns 1 --page nowhere.md", "--page nowhere.md: no page with the lines …, between which the table goes"),
    command("speed --device tpu -o out", "--device must be cpu or cuda, not 'tpu'"),
    command("speed --threads 0 -o out", "--threads must be at least 1, not 0"),
    command(
        "gpu-check --device cpu -o out", "gpu-check measures CUDA devices; --device cpu is for --quick, which tests the command itself"
    ),
    command("gpu-check --device tpu -o out", "--device must be cpu or cuda, not 'tpu'"),
    command(
        "gpu-check --device cpu --quick --part 'kernel time' -o out",
        "--part: unknown part 'kernel time'; did you mean 'kernel times'? known: agreement, correctness, kernel times, profiles, "
        "seeds at once, training times, utilisation",
    ),
    command(
        "gpu-check --estimate --part agreement -o out",
        "gpu-check: --part is for the checks, which --compile-only and --estimate leave out",
    ),
]
VARIABLES = [
    variable("LATENTBENCH_KERNELS", "foo", "LATENTBENCH_KERNELS must be one of broadcast, tiled, compiled, triton, not 'foo'"),
    variable(
        "LATENTBENCH_KERNELS",
        "tile",
        "LATENTBENCH_KERNELS must be one of broadcast, tiled, compiled, triton, not 'tile'; did you mean 'tiled'?",
    ),
    variable("LATENTBENCH_KERNELS", "triton", "LATENTBENCH_KERNELS=triton…; use …"),
    variable("LATENTBENCH_KERNELS", "foo", "LATENTBENCH_KERNELS must be one of …, not 'foo'", "evaluate tiny.toml -o out --jobs 1"),
    variable("LATENTBENCH_KERNELS", "foo", "LATENTBENCH_KERNELS must be one of …, not 'foo'", "verify tiny.toml -o out --jobs 1"),
    variable("LATENTBENCH_KERNELS", "foo", "LATENTBENCH_KERNELS must be one of …, not 'foo'", "profile -s tiny.toml -m ae -o out"),
    variable(
        "LATENTBENCH_DATA", "nowhere", "dataset mnist: 4 of 4 files missing in nowhere/MNIST/raw: …", "run -s mnist-cpu -o out --jobs 1"
    ),
    variable("LATENTBENCH_DATA", "tiny.toml", "dataset mnist: 4 of 4 files missing in tiny.toml/MNIST/raw: …", "data verify mnist"),
]
BAD = [*OPTIONS, *COMMANDS, *VARIABLES]
