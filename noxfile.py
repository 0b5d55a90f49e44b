"""Sessions: `bench` trains and measures, `tests`, `clusters` and `kernels` test, `lint` checks style and types, `wheelhouse`
collects wheels for machines without a registry.

Each session has an environment of its own. uv fills it, hard-linked from one cache, so the second costs about a second;
nox that came without uv first puts uv into the session. `nox --no-venv` installs nothing and uses the interpreter that
runs nox.
"""

import os
import re
import shutil
import sys

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]
os.environ.setdefault("UV_SYSTEM_CERTS", "1")  # trust the certificates that the machine trusts, as pip does

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# two torch processes with two threads each on two cores take 37 times as long as with one thread each
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
ALL_CORES = {"OMP_NUM_THREADS": str(CPUS)}  # said, since the tests' own default is one


def install(session: nox.Session, what: str) -> None:
    """Install the project, editable, with those extras."""
    if session.venv_backend == "none":
        return
    if session.venv_backend == "uv":
        session.install("-e", what)
    else:
        session.install("-q", "uv")
        session.run_install("uv", "pip", "install", "-e", what, silent=True)


def python(session: nox.Session, *args: str, **env: str) -> None:
    """Run the session's Python; on Ctrl-C it has a minute to write its checkpoint before it is killed."""
    interpreter = "python"
    if session.venv_backend == "none":
        interpreter = sys.executable
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    session.run(interpreter, *args, env=env, interrupt_timeout=60, terminate_timeout=10)


@nox.session
def bench(session: nox.Session) -> None:
    """Train and measure a suite: `nox -s bench -- --suite mnist-cpu`; without arguments the suite `digits`."""
    install(session, ".")
    try:
        python(session, "-m", "bench", "run", *session.posargs)
    except CommandFailed as failure:  # nox would make every failure a 1; the harness's exit codes say more
        sys.exit(getattr(failure, "return_code", None) or 1)


@nox.session
def tests(session: nox.Session) -> None:
    """What needs no GPU, no internet and little time; `nox -s tests -- -m slow` runs what is slow."""
    install(session, ".[test,browser]" if shutil.which("chromium") else ".[test]")
    shared_out = ("-n", str(min(CPUS, 8)), "--dist", "worksteal")  # a module's tests stay together: what they share is made once
    python(session, "-m", "pytest", *shared_out, "--benchmark-disable", *session.posargs, **ONE_THREAD)


@nox.session
def clusters(session: nox.Session) -> None:
    """Cells on a Ray cluster and on a Slurm of this machine, as docs/cluster.md has them."""
    install(session, ".[test,ray,slurm]")
    python(session, "-m", "pytest", "-m", "ray or slurm", "tests/bench/engines", *session.posargs, **ONE_THREAD)


@nox.session
def kernels(session: nox.Session) -> None:
    """Time every regulariser kernel beside its peers, on all cores, and write leaderboards/kernels.md; arguments go to pytest."""
    install(session, ".[test,peers]")
    found = os.path.join(session.create_tmp(), "kernels.json")
    python(
        session,
        "-m",
        "pytest",
        "tests/benchmarks/test_kernels.py",
        "--benchmark-only",
        "-q",
        f"--benchmark-json={found}",
        *session.posargs,
        **ALL_CORES,
    )
    python(session, "-m", "bench.speed.kernel_page", found)


@nox.session
def wheelhouse(session: nox.Session) -> None:
    """Wheels for a machine that has torch and no registry, into wheelhouse/; arguments go to pip: `-- --python-version 3.12`.

    There: `pip install --no-index --find-links wheelhouse latentbench`.
    """
    install(session, ".")
    session.install("pip")
    versions = session.run("python", "-m", "pip", "freeze", "--all", "--exclude-editable", silent=True) or ""
    needed = [line for line in versions.split() if not re.match(r"torch(vision)?=|nvidia|cuda|triton|pip=", line)]
    only_wheels = ("--no-deps", "--only-binary=:all:", "--dest", "wheelhouse")
    session.run("python", "-m", "pip", "download", *only_wheels, *session.posargs, *needed)
    session.run("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "wheelhouse", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    install(session, ".[dev]")
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")
    python(session, "-m", "mypy")
