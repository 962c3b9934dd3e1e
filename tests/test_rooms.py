"""The house: imports go one way, one module writes files, and the command line greets without a back end."""

import ast
import math
import subprocess
import sys
from pathlib import Path

import pytest

from kit import reports, search, studies

KIT = Path(reports.__file__).parents[1]
MODULES = {path.relative_to(KIT.parent).with_suffix("").parts: path for path in sorted(KIT.rglob("*.py"))}
GROUND = {"checks", "files", "machine", "profile", "progress"}
# What each room may import beside itself.
ALLOWED = {
    **dict.fromkeys(GROUND, GROUND),
    **dict.fromkeys(("datasets", "models", "training", "plots"), GROUND),
    "studies": GROUND | {"datasets", "models", "training", "plots"},
    "search": GROUND | {"datasets", "models", "training", "plots", "studies"},
    "reports": GROUND | {"datasets", "models", "training", "plots", "studies", "search"},
    "__main__": GROUND | {"datasets", "models", "training", "plots", "studies", "search", "reports"},
    "__init__": set(),
}


def imported_rooms(parts, tree):
    """The rooms of kit that a module imports, at its top or within a function."""
    package = parts[:-1]  # of kit/a/b.py and of kit/a/__init__.py alike
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            names = [(*base, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        yield from (name[1] for name in names if name[0] == "kit" and len(name) > 1 and name[1] != "__version__")


@pytest.mark.parametrize("parts", MODULES, ids=".".join)
def test_imports_go_one_way(parts):
    room = parts[1]
    used = set(imported_rooms(parts, ast.parse(MODULES[parts].read_text())))
    assert used <= ALLOWED[room] | {room}, f"{'.'.join(parts)} imports {sorted(used - ALLOWED[room] - {room})}"


def writes(node):
    """Whether a call writes, moves or names a file."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in {"write_text", "write_bytes", "NamedTemporaryFile", "mkstemp", "move"}:
        return True
    if name == "rename":  # a table's takes names alone
        return bool(node.args)
    if name == "replace" and isinstance(node.func, ast.Attribute):  # a string's takes two arguments
        owner = getattr(node.func.value, "id", "")
        return owner == "os" or (len(node.args) == 1 and owner != "dataclasses")
    if name == "open":
        modes = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
        return any(isinstance(mode, str) and len(mode) < 4 and set(mode) & set("wax+") for mode in modes)
    return False


@pytest.mark.parametrize("parts", MODULES, ids=".".join)
def test_one_module_writes_files(parts):
    found = [node.lineno for node in ast.walk(ast.parse(MODULES[parts].read_text())) if writes(node)]
    assert parts == ("kit", "files") or not found, f"{'.'.join(parts)} writes in the lines {found}"
    assert parts != ("kit", "files") or found  # or the test sees nothing


@pytest.mark.parametrize("parts", MODULES, ids=".".join)
def test_a_module_can_be_held_in_the_head(parts):
    assert len(MODULES[parts].read_text().splitlines()) <= 300


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "--help"]], ids=" ".join)
def test_the_command_line_greets_without_a_back_end(arguments):
    heavy = ("tensorflow", "jax", "torch", "keras", "sklearn", "pandas", "matplotlib", "numpy")
    code = (
        "import sys\nfrom kit.__main__ import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n") and done.stderr == ""


@pytest.mark.parametrize("name", reports.names())
def test_the_list_says_what_the_reports_hold(name):
    _, size, title = reports.INDEX[name]
    one = reports.get(name)
    assert (one.name, one.title) == (name, title)
    if isinstance(one, search.Search):
        count = one.settings.trials or math.prod(len(values) for values in one.space.values())
        assert size == f"{count} trials"
    else:
        assert isinstance(one, studies.Study) and size == f"{len(one.experiments)} rows"
