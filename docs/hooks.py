"""MkDocs hooks: notebook pages, API pages with links to them, formulas as MathML."""

import ast
import html
import pathlib
import re

import jupytext
from latex2mathml import converter
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nasfas_jax"
#: Not part of the Python interface: the command line.
COMMANDS = ("commands", "main")


def on_config(config):
    """Appends the notebooks and the API reference to the navigation."""
    config.nav.append({"Notebooks": [f"notebooks/{x.stem}.md" for x in notebooks()]})
    pages = [{name: f"api/{name}.md"} for name in packages()]
    config.nav.append({"API reference": pages})
    return config


def on_files(files, config):
    """Adds the generated pages."""
    for notebook in notebooks():
        text = jupytext.writes(jupytext.read(notebook), "md")
        # The page needs no front matter; the header is for Jupyter.
        text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
        files.append(
            File.generated(config, f"notebooks/{notebook.stem}.md", content=text)
        )
    for name in packages():
        files.append(File.generated(config, f"api/{name}.md", content=api_page(name)))
    return files


def on_page_markdown(markdown, **_):
    """Links the names of functions in code style to the API reference."""

    def link(match):
        module, _, name = match[1].rpartition(".")
        path = PACKAGE.joinpath(*module.split(".")[1:], name)
        # A function that hides its module is filed below it.
        target = f"{match[1]}.{name}" if hides(path) else match[1]
        return f"[`{match[1].removeprefix('nasfas_jax.')}`][{target}]"

    skipped = "|".join(COMMANDS)
    return re.sub(rf"(?<!`|\[)`(nasfas_jax\.(?!{skipped})[\w.]+)`(?!`)", link, markdown)


def on_page_content(content, **_):
    """Replaces the formulas that arithmatex marks by MathML, which needs no script."""

    def formula(match):
        display = "block" if match["bracket"] == "[" else "inline"
        return converter.convert(html.unescape(match["tex"]).strip(), display=display)

    return re.sub(
        r'<(?P<tag>span|div) class="arithmatex">\\(?P<bracket>[(\[])(?P<tex>.*?)'
        r"\\[)\]]</(?P=tag)>",
        formula,
        content,
        flags=re.DOTALL,
    )


def notebooks() -> list[pathlib.Path]:
    """Paths of the notebooks in jupytext's percent format."""
    return sorted((ROOT / "notebooks").glob("*.py"))


def packages() -> list[str]:
    """Names of the packages and modules that have a page each."""
    found = sorted(
        x.stem for x in PACKAGE.iterdir() if x.suffix == ".py" or has_init(x)
    )
    return [x for x in found if not x.startswith("_") and x not in COMMANDS]


def has_init(path: pathlib.Path) -> bool:
    """Whether a path is a package."""
    return (path / "__init__.py").exists()


def api_page(name: str) -> str:
    """Text of a page: what a package exports, then the rest of its public modules."""
    path = PACKAGE / name
    paths = [path, *sorted(path.rglob("*"))] if has_init(path) else [path]
    blocks = [f"# {name}"]
    for path in paths:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(("nasfas_jax", *parts))
        if path.stem == "__init__" or any(part.startswith("_") for part in parts):
            continue
        if has_init(path):
            exported, hiding = exports(path, module)
            blocks.append(directive(module, exported))
            # A function of its module's name, which hides the module.
            for name in hiding:
                short = f"{module}.{name}"
                blocks.append(directive(f"{short}.{name}", heading=short))
        elif path.with_suffix(".py").is_file():
            names = public_names(path.with_suffix(".py"))
            if has_init(path.parent):
                exported, hiding = exports(path.parent, module.rpartition(".")[0])
                names = [x for x in names if x not in exported and x not in hiding]
            if names:
                blocks.append(directive(module, names))
    return "\n\n".join(blocks) + "\n"


def directive(path: str, members: list[str] | None = None, heading: str = "") -> str:
    """A mkdocstrings block for an object, with these members, under this heading."""
    lines = [f"::: {path}", "    options:"]
    if members is not None:
        lines.append(f"      members: {members or 'false'}")
    if heading:
        lines.append(f"      heading: {heading}")
    return "\n".join(lines)


def exports(package: pathlib.Path, module: str) -> tuple[list[str], list[str]]:
    """A package's public names besides its modules; those that hide a module apart."""
    path = package / "__init__.py"
    modules = [
        alias.name
        for node in tree(path).body
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    ]
    names = dict.fromkeys([*public_names(path), *declared(path)])
    names = [name for name in names if name not in modules]
    hiding = [name for name in names if hides(package / name)]
    return [name for name in names if name not in hiding], hiding


def hides(path: pathlib.Path) -> bool:
    """Whether a package exports from this module a function of the module's name."""
    file = path.with_suffix(".py")
    return (
        file.is_file()
        and path.name in public_names(file)
        and path.name in declared(path.parent / "__init__.py")
    )


def declared(path: pathlib.Path) -> list[str]:
    """A module's ``__all__``; empty where it has none."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and target_of(node) == "__all__":
            return ast.literal_eval(node.value)
    return []


def public_names(path: pathlib.Path) -> list[str]:
    """Names without underscore that a module defines, in their order."""
    names = []
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names.append(target_of(node))
    return [x for x in names if x and not x.startswith("_")]


def target_of(node: ast.Assign | ast.AnnAssign) -> str:
    """The name that a statement assigns; empty for anything but one name."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


def tree(path: pathlib.Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))
