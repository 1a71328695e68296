"""Detokenizer: replaces the tokens in the annotations of datamodel-code-generator, and rejects all other code."""

import ast
from collections.abc import Mapping
from functools import reduce
from typing import Final

from enkaku_codegen.errors import CodegenError
from enkaku_codegen.json_values import Json

from .annotations import copied
from .skeleton import Skeleton

__all__ = ["Detokenizer"]

# Pyright rejects an expression with more operators.
_MOST_OPERANDS: Final = 256


class Detokenizer(ast.NodeTransformer):
    """Replaces tokens by names and literals in an annotation; raises for any syntax or name that it does not expect."""

    _SYNTAX: Final = (
        ast.Call,
        ast.Constant,
        ast.Load,
        ast.Name,
        ast.Subscript,
        ast.Tuple,
        ast.USub,
        ast.UnaryOp,
        ast.keyword,
    )
    _NAMES: Final = frozenset(
        {"Annotated", "Field", "Literal", "bool", "dict", "float", "int", "list", "object", "str"}
        | {"tuple"}
    )

    # StringConstraints on the keys of maps become Field, as all other constraints.
    _RENAMED: Final = {"Any": "object", "StringConstraints": "Field"}

    def __init__(self, skeleton: Skeleton, aliases: Mapping[str, ast.expr]) -> None:
        self._names = skeleton.names
        self._literals = skeleton.literals
        self._aliases = aliases

    def expression(self, node: ast.expr) -> ast.expr:
        """Return an annotation with its tokens replaced."""
        restored = self.visit(node)
        if not isinstance(restored, ast.expr):
            raise _unexpected(node)
        return restored

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Replace the tokens within a node whose kind may be part of an annotation."""
        if not isinstance(node, self._SYNTAX):
            raise _unexpected(node)
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return the name of a type, or the annotation of the generator's own alias."""
        if node.id in self._names:
            return ast.Name(self._names[node.id])
        if node.id in self._aliases:
            return self.expression(copied(self._aliases[node.id]))
        if node.id in self._RENAMED:
            return ast.Name(self._RENAMED[node.id])
        if node.id not in self._NAMES:
            raise _unexpected(node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Return a union; as ``Union[...]`` if it is so long that ``|`` would nest too deeply for type checkers."""
        operands: list[ast.expr] = []
        rest: ast.expr = node
        while isinstance(rest, ast.BinOp) and isinstance(rest.op, ast.BitOr):
            operands.append(self.expression(rest.right))
            rest = rest.left
        operands.append(self.expression(rest))
        operands.reverse()
        if len(operands) > _MOST_OPERANDS:
            return ast.Subscript(ast.Name("Union"), ast.Tuple(operands), ast.Load())
        return reduce(lambda left, right: ast.BinOp(left, ast.BitOr(), right), operands)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Return a literal type with its values; drop the constraints of a tuple, whose length its items show."""
        match node:
            case ast.Subscript(
                value=ast.Name(id="Annotated"),
                slice=ast.Tuple(elts=[ast.Subscript(value=ast.Name(id="tuple")) as inner, _]),
            ):
                return self.generic_visit(inner)
            case ast.Subscript(value=ast.Name(id="Literal")):
                return self._literals_of(node)
            case _:
                return self.generic_visit(node)

    def _literals_of(self, node: ast.Subscript) -> ast.expr:
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        values: list[ast.expr] = []
        for part in parts:
            literals = self._literal(part)
            if not isinstance(literals, list):
                raise _unexpected(node)
            for value in literals:
                if isinstance(value, list | dict):
                    raise _unexpected(node)
                values.append(ast.Constant(value))
        return ast.Subscript(
            node.value, values[0] if len(values) == 1 else ast.Tuple(values), ast.Load()
        )

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Return a pattern."""
        if not isinstance(node.value, str):
            return node
        literal = self._literal(node)
        if isinstance(literal, list | dict):
            raise _unexpected(node)
        return ast.Constant(literal)

    def _literal(self, node: ast.expr) -> Json:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            raise _unexpected(node)
        return self._literals[int(node.value.removeprefix("literal"))]


def _unexpected(node: ast.AST) -> CodegenError:
    return CodegenError(f"the model generator wrote something unexpected: {ast.dump(node)}")
