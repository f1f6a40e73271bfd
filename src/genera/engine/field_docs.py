"""Docstrings of config fields, for help and lists. No torch."""

import ast
import inspect
import textwrap


def field_docs(config: type) -> dict[str, str]:
    """field → the docstring below it in the source, for the class and its bases; line breaks become spaces."""
    docs: dict[str, str] = {}
    for kind in reversed(config.__mro__[:-1]):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        except (OSError, TypeError):  # made at run time, without source
            continue
        assert isinstance(tree, ast.ClassDef)
        for line, below in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                match below:
                    case ast.Expr(ast.Constant(str(text))):
                        docs[line.target.id] = " ".join(text.split())
    return docs
