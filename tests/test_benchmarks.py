"""The scripts behind the claims of speed and accuracy."""

import ast
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


def defined(path):
    """The names at the top of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_takes_from_its_neighbours_is_there(script):
    neighbours = {path.stem: path for path in SCRIPTS}
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in neighbours:
            missing = {alias.name for alias in node.names} - defined(neighbours[node.module])
            assert not missing, f"{script.name} imports {missing} from {node.module}"
