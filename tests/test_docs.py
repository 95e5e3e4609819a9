"""The documentation site, built as the gate builds it, and what its pages state."""

import ast
import dataclasses
import fcntl
import importlib
import importlib.util
import inspect
import os
import pathlib
import re
import runpy
import subprocess
import sys
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

import nasfas_jax
from nasfas_jax import nets
from nasfas_jax.errors import InputError
from nasfas_jax.search import spaces, trials
from nasfas_jax.workflows import registry, searchers

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
#: Elements that a browser loads without being asked.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object|link)\b[^>]*", re.I
)
REMOTE = re.compile(
    r"\b(?:src|href|srcset|data)\s*=\s*[\"']?(?:https?:)?//[^\s\"'>]*", re.I
)


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id):
    """The built site, one for all workers of a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "site"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build(folder.with_name("site.partial")).rename(folder)
    return folder


def build(folder: pathlib.Path) -> pathlib.Path:
    """Builds the site; warnings are errors, and proxies lead nowhere."""
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={folder}"],
        cwd=ROOT,
        env=os.environ
        | {"NO_MKDOCS_2_WARNING": "1", "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def hooks():
    """The module docs/hooks.py."""
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def remote_assets(html: str) -> list[str]:
    """What a page loads from another host; links for the reader are not among them."""
    return [found[0] for tag in LOADED.findall(html) if (found := REMOTE.search(tag))]


def test_remote_assets_are_found():
    links = '<a href="https://example.org">a</a> <link rel="icon" href="assets/x.png">'
    assert remote_assets(links) == []
    for asset in (
        '<script async src="https://cdn.example/x.js"></script>',
        "<link href='//fonts.example/css' rel=stylesheet>",
        "<img alt='' src=http://example.org/x.png>",
    ):
        assert len(remote_assets(asset)) == 1


def test_the_site_loads_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        assert remote_assets(page.read_text(encoding="utf-8")) == [], page
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text), sheet


def test_formulas_need_no_script(site):
    for name in ("nas_fas.html", "notebooks/meta_gradients.html"):
        text = (site / name).read_text(encoding="utf-8")
        assert text.count("<math ") > 1 and "arithmatex" not in text


def test_everything_public_has_an_entry(site, hooks):
    """Public functions and classes of all packages but the command line's."""
    anchors = {
        anchor
        for page in (site / "api").glob("*.html")
        for anchor in re.findall(r'id="(nasfas_jax[^"]*)"', page.read_text("utf-8"))
    }
    missing = []
    for name in hooks.packages():
        package = ROOT / "nasfas_jax" / name
        paths = sorted(package.rglob("*.py")) or [package.with_suffix(".py")]
        for path in paths:
            parts = path.relative_to(ROOT).with_suffix("").parts
            if any(part.startswith("_") for part in parts[:-1]):
                continue
            if parts[-1].startswith("_") and parts[-1] != "__init__":
                continue
            if "peers" in parts:  # they import PyTorch, which is an extra
                continue
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            for member, value in vars(module).items():
                if member.startswith("_") or not (
                    inspect.isfunction(value) or inspect.isclass(value)
                ):
                    continue
                exported = member in getattr(module, "__all__", ())
                if value.__module__ != module.__name__ and not exported:
                    continue
                # Where it is defined, and the packages that export it.
                origin, here = value.__module__, module.__name__
                places = [origin, here, *(x.rpartition(".")[0] for x in (origin, here))]
                if not anchors & {f"{place}.{value.__name__}" for place in places}:
                    missing.append(f"{module.__name__}.{member}")
    assert missing == []


def test_commands_are_code(site):
    """An indented block below a list is a paragraph of it, not code."""
    for page in site.glob("*.html"):
        assert not re.search(r"<p>\s*nasfas \w+ --", page.read_text("utf-8")), page


def test_doctests_are_code(site):
    text = (site / "api" / "bilevel.html").read_text(encoding="utf-8")
    assert 'class="gp">&gt;&gt;&gt;' in text and "<blockquote>" not in text


def names_in_the_index(pattern: str) -> list[str]:
    found = re.findall(pattern, (DOCS / "equations.md").read_text(encoding="utf-8"))
    return sorted(set(found))


def test_every_function_of_the_equation_index_exists():
    names = names_in_the_index(r"`(nasfas_jax\.[\w.]+)`")
    assert len(names) > 20
    for name in names:
        assert callable(resolve(name)), name


def resolve(name: str):
    """The object of a dotted name."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        if importlib.util.find_spec(parts[0]) and is_module(module):
            value = importlib.import_module(module)
            for part in parts[length:]:
                value = getattr(value, part)
            return value
    raise LookupError(name)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_every_test_of_the_equation_index_exists():
    names = names_in_the_index(r"`(tests/[\w.]+::\w+)`")
    assert len(names) > 20
    for name in names:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = [x.name for x in tree.body if isinstance(x, ast.FunctionDef)]
        assert function in functions, name


def test_every_row_of_the_equation_index_names_a_function_and_a_test():
    rows = [
        row
        for row in (DOCS / "equations.md").read_text(encoding="utf-8").splitlines()
        if row.startswith("| ") and not row.startswith(("| in ", "| source"))
    ]
    assert len(rows) > 25
    for row in rows:
        assert "`nasfas_jax." in row and "`tests/" in row, row


def test_every_name_is_on_a_page():
    """Spaces, trials, methods, networks and the variants of sweeps."""
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    names = [*spaces.SPACES, *trials.TRIALS, *searchers.METHODS, *registry.NAMES]
    for config in ("ablations", "tables"):
        names += runpy.run_path(str(ROOT / "configs" / f"{config}.py"))["VARIANTS"]
    words = set(re.findall(r"[\w-]+", pages))
    assert not set(names) - words


@pytest.mark.parametrize("page", ["index", "extending"])
def test_python_of_the_pages_runs(page):
    blocks = re.findall(
        r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.S
    )
    assert blocks
    names = {"__name__": page}
    try:
        for block in blocks:
            exec(block, names)
    finally:
        spaces.SPACES.pop("two_inputs", None)
    if page == "extending":
        check_the_space_of_the_page(names)


def check_the_space_of_the_page(names):
    """The space of docs/extending.md was searched, derived, drawn and trained."""
    space, found = names["space"], names["found"]
    assert names["stored"]["space"] == {
        "name": "two_inputs",
        "channels": 2,
        "map_size": 8,
    }
    assert names["stored"]["cells"] == {"cell": list(found.cells[0])}
    described = nets.description_of(names["training"].net)
    assert described == {"network": "searched", "genotype": names["stored"]}
    assert set(found.cells[0]) <= {"skip", "three", "five"}
    assert names["picture"].alt == f"Cell: {', '.join(found.cells[0])}"
    assert int(names["state"].step) == 1 and np.isfinite(names["metrics"]["loss"])
    with pytest.raises(InputError, match=r"theta: .* 'two_inputs', channels, map_size"):
        spaces.with_options(space, theta=0.3)
    # Another loss instead of the space's own; the space itself is left as it was.
    search = dataclasses.replace(names["search"], loss=lambda x, y: 0 * x.sum())
    start = search.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    loss, _ = search.query_loss(
        start.params, start.alphas, start.batch_stats, {"query": names["batch"]}
    )
    assert loss == 0 and space.loss(jnp.ones((1, 4, 4)), jnp.zeros((1, 4, 4))) == 1


def test_the_table_of_packages_is_the_contract():
    """Every package once, in the order of the import contract."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[\w./]+`(?:, )?)+) \|", text, re.M)
    rows = [re.findall(r"`(\w+)(?:/|\.py)`", row) for row in rows]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (order,) = (
        contract["layers"]
        for contract in contracts["tool"]["importlinter"]["contracts"]
        if contract["name"] == "imports run down the table of packages"
    )
    layers = [re.findall(r"nasfas_jax\.(\w+)", layer) for layer in order]
    depth = {name: i for i, layer in enumerate(layers) for name in layer}
    named = [name for row in rows for name in row]
    modules = {path.stem for path in (ROOT / "nasfas_jax").glob("[a-z]*.py")}
    packages = {
        path.parent.name for path in (ROOT / "nasfas_jax").glob("*/__init__.py")
    }
    assert sorted(named) == sorted(modules | packages | {"configs"})
    assert sorted(depth) == sorted(modules | packages)
    named.remove("configs")  # files that commands read, which nothing imports
    assert [depth[name] for name in named] == sorted(depth.values())
    assert all(len({depth[name] for name in row}) == 1 for row in rows if row[1:])


BRITISH = re.compile(
    r"colour|centre|neighbour|behaviour|artefact|favour|\bgrey|metres?\b|licence"
    r"|(?:optim|normal|initial|organ|summar|recogn|real|minim|maxim)is(?:e|ation|ing)",
    re.I,
)
#: Titles of papers, and names of other libraries.
TITLES = (
    "spoofing detection using",
    "colour texture analysis",
    "optimistix.minimise",
)


def test_spelling_is_american():
    """In code, settings and pages; one word has one spelling."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]
    for folder in ("nasfas_jax", "configs", "notebooks"):
        files += (ROOT / folder).rglob("*.py")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if BRITISH.search(line) and not any(title in line for title in TITLES)
    ]
    assert not found


def test_docstrings_are_no_questions():
    """Noun phrases and verbs, not "What it holds" or "How it is made"."""
    openings = ("What ", "How ", "Where ", "Which ", "Who ", "Of ", "As ")
    found = []
    for path in sorted((ROOT / "nasfas_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
            text = ast.get_docstring(node) if isinstance(node, kinds) else None
            if text and text.startswith(openings):
                found.append(f"{path.name}: {text.splitlines()[0]}")
    assert not found


def test_the_citation_has_the_version_and_the_four_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == nasfas_jax.__version__
    years = [paper["year"] for paper in citation["references"]]
    assert years == [2020, 2020, 2020, 2022]
    assert all(paper["title"] and paper["authors"] for paper in citation["references"])


def test_continuous_integration_runs_the_gate_on_python_3_11():
    path = ROOT / ".github" / "workflows" / "ci.yml"
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["steps"][-1]["run"] == "bash .ci/run" and (ROOT / ".ci/run").exists()
    assert job["steps"][1]["with"]["python-version"] == "3.11"
