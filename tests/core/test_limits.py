"""The limits: each has its reason beside it, and one place."""

import ast
from collections import Counter
from itertools import pairwise
from pathlib import Path

from eventyard.core import limits

MODULES = sorted(path for path in Path(limits.__file__).parent.glob("*.py") if path.name != "__init__.py")


def statements(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


def named(path: Path) -> list[str]:
    assigned = [statement for statement in statements(path) if isinstance(statement, ast.Assign)]
    return [target.id for statement in assigned for target in statement.targets if isinstance(target, ast.Name)]


def test_every_limit_is_followed_by_its_reason_or_by_another_of_the_same_reason() -> None:
    for path in MODULES:
        for statement, following in pairwise([*statements(path), ast.Pass()]):
            if isinstance(statement, ast.Assign):
                assert isinstance(following, ast.Expr | ast.Assign), f"{path.name}: {ast.unparse(statement)}"


def test_every_limit_stands_in_one_module_and_is_read_from_the_package() -> None:
    names = Counter(name for path in MODULES for name in named(path))
    assert names
    assert [name for name, places in names.items() if places > 1] == []
    assert [name for name in names if not hasattr(limits, name)] == []
