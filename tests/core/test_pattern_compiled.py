"""Which modules of the matcher may be compiled, and that they are where this is asked for: `make compiled`."""

import ast
import importlib
import os
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
SOURCES = [ROOT / each.removeprefix("/") for each in HOOK["include"]]

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


@every_source
def test_a_module_under_test_is_compiled_where_that_is_asked_for_and_only_there(source: Path) -> None:
    found = importlib.import_module(f"eventyard.core.pattern.{source.stem}").__file__ or ""
    is_compiled = found.endswith(tuple(EXTENSION_SUFFIXES))
    assert is_compiled is (os.environ.get("EVENTYARD_TESTS_COMPILED") == "1"), found


@every_source
def test_no_class_of_such_a_module_says_more_than_its_bases(source: Path) -> None:
    """mypyc drops `frozen=True` and its like without a word: a struct would be mutable and have no hash."""
    classes = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes if node.keywords or any("Struct" in ast.unparse(base) for base in node.bases)] == []


def test_nothing_is_compiled_unless_somebody_asks() -> None:
    assert HOOK["enable-by-default"] is False
