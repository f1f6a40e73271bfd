"""Imports point down only and files form no circles, as the design has it; read from the source, lazy ones included."""

import ast
from pathlib import Path

import genera

SOURCE = Path(genera.__file__).parent
LAYERS = (
    ("errors", "files", "numerals", "typed", "console", "plugins", "version"),
    ("data",),
    ("navigation",),
    ("worlds",),
    ("blocks",),
    ("measures",),
    ("engine",),
    ("methods",),
    ("uses",),
    ("evaluation",),
    ("report",),
    ("run",),
    ("cli", "studio", "testing", "__main__"),
)
"""Parts of the package from the bottom up; a part imports itself, parts of its own layer and what is below."""

KNOWN: dict[str, str] = {}
"""Imports against the arrows that remain: importing module → imported one. Empty is right."""
KNOWN_CIRCLES: tuple[frozenset[str], ...] = ()
"""Circles that remain. Empty is right."""


def imports() -> dict[str, set[str]]:
    """Module → modules of genera that it imports anywhere in its source, blocks under TYPE_CHECKING left out.

    `from genera.data import registry` imports the module genera.data.registry; `from genera import worlds` the package.
    """
    files = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}
    return {module: imported(ast.parse(path.read_text()), module, set(files)) for module, path in files.items()}


def name_of(path: Path) -> str:
    parts = ("genera", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str, modules: set[str]) -> set[str]:
    names: set[str] = set()
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively; write the full name"
            names |= {
                name if (name := f"{node.module}.{alias.name}") in modules else node.module or ""
                for alias in node.names
            }
        nodes.extend(ast.iter_child_nodes(node))
    return {name for name in names if name.split(".")[0] == "genera"} - {module}


def layer_of(module: str) -> int:
    part = module.split(".")[1] if "." in module else module
    heights = [height for height, parts in enumerate(LAYERS) if part in parts]
    assert heights, f"{module} is of no layer; give genera.{part} its place in LAYERS"
    return heights[0]


def circles(edges: dict[str, set[str]]) -> list[frozenset[str]]:
    """Sets of modules that reach each other (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(edges.get(module, ())):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            component = set(stack[stack.index(module) :])
            del stack[stack.index(module) :]
            if len(component) > 1:
                found.append(frozenset(component))

    for module in sorted(edges):
        if module not in index:
            visit(module)
    return found


def upward(edges: dict[str, set[str]]) -> list[str]:
    """ "a imports b" for every import of a higher layer. The package itself (its version) may be imported by all."""
    return [
        f"{module} imports {other}"
        for module, others in edges.items()
        for other in sorted(others)
        if "genera" not in (module, other) and layer_of(other) > layer_of(module)
    ]


def test_imports_point_down():
    known = {f"{module} imports {other}" for module, other in KNOWN.items()}
    against = set(upward(imports()))
    assert not against - known, "imports against the arrows: " + "; ".join(sorted(against - known))
    assert not known - against, f"no longer there, take them out of KNOWN: {known - against}"


def test_files_form_no_circles():
    round_about = circles(imports())
    news = [" ↔ ".join(sorted(circle)) for circle in round_about if circle not in KNOWN_CIRCLES]
    assert not news, f"files that import each other in a circle: {news}"


def test_no_method_imports_another():
    against = []
    for module, others in imports().items():
        if module.startswith("genera.methods."):
            method = module.split(".")[2]
            against += [
                f"{module} imports {other}"
                for other in sorted(others)
                if other.startswith("genera.methods.") and other.split(".")[2] not in (method, "families")
            ]
    assert not against, "methods that import other methods: " + "; ".join(against)


def test_the_package_itself_is_imported_for_its_version_alone():
    """`genera/__init__` stands above all; what is below takes `__version__` of it and nothing else."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "genera":
                taken = {alias.name for alias in node.names if not (SOURCE / alias.name).is_dir()}
                taken = {name for name in taken if not (SOURCE / f"{name}.py").is_file()}
                assert taken <= {"__version__"}, f"{path} imports {taken} from the package itself"


def test_the_reading_of_imports_sees_lazy_ones_and_not_those_for_types():
    code = """
from typing import TYPE_CHECKING
import genera.data.splits
if TYPE_CHECKING:
    from genera.cli import main
def late():
    from genera.worlds import grammar
    from genera.data.splits import SPLITS
"""
    known = {"genera.worlds.grammar", "genera.data.splits"}
    assert imported(ast.parse(code), "genera.x", known) == known


def test_circles_and_upward_imports_are_found():
    edges = {"genera.data.a": {"genera.data.b"}, "genera.data.b": {"genera.data.c"}, "genera.data.c": {"genera.data.a"}}
    assert circles(edges | {"genera.data.d": {"genera.data.a"}}) == [frozenset(edges)]
    assert upward({"genera.data.a": {"genera.worlds.grammar", "genera.errors"}}) == [
        "genera.data.a imports genera.worlds.grammar"
    ]
