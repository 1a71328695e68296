"""Transformations of Python type annotations, as syntax trees."""

import ast
from typing import cast

__all__ = ["copied", "or_default", "with_discriminator", "with_field"]


def copied(annotation: ast.expr) -> ast.expr:
    """Return a copy of an annotation, without the positions in its source; much faster than ``copy.deepcopy``."""
    return cast(ast.expr, _copied(annotation))


def _copied(part: object) -> object:
    if isinstance(part, list):
        return [_copied(each) for each in cast(list[object], part)]
    if isinstance(part, ast.BinOp):
        return _copied_union(part)
    if isinstance(part, ast.AST):
        return type(part)(**{name: _copied(each) for name, each in ast.iter_fields(part)})
    return part


def _copied_union(union: ast.BinOp) -> ast.expr:
    """Return a copy of a union, which may have more operands than Python may have calls within each other."""
    rights: list[ast.expr] = []
    rest: ast.expr = union
    while isinstance(rest, ast.BinOp):
        rights.append(rest.right)
        rest = rest.left
    made = copied(rest)
    for right in reversed(rights):
        made = ast.BinOp(made, ast.BitOr(), copied(right))
    return made


def with_discriminator(annotation: ast.expr, attribute: str | None) -> ast.expr:
    """Return the annotation of a union with its discriminator; None adds nothing."""
    return annotation if attribute is None else with_field(annotation, discriminator=attribute)


def with_field(annotation: ast.expr, **arguments: str | bool) -> ast.expr:
    """Return the annotation with arguments added to its ``Field``, which is created if missing."""
    keywords = [ast.keyword(name, ast.Constant(value)) for name, value in arguments.items()]
    match annotation:
        case ast.BinOp(
            left=ast.Subscript(
                value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[_, ast.Call()])
            ) as inner,
            right=ast.Constant(None),
        ):
            # The constraints of the rest may apply to the whole, since null passes them.
            return with_field(or_default(inner, "None"), **arguments)
        case ast.Subscript(
            value=ast.Name(id="Annotated"),
            slice=ast.Tuple(elts=[_, ast.Call(func=ast.Name(id="Field")) as call]),
        ):
            call.keywords[:0] = keywords
            return annotation
        case _:
            call = ast.Call(ast.Name("Field"), [], keywords)
            return ast.Subscript(ast.Name("Annotated"), ast.Tuple([annotation, call]))


def or_default(annotation: ast.expr, default: str) -> ast.expr:
    """Return the annotation of a union with the default: ``None``, or ``ABSENT`` whose type is ``Absent``."""
    if default == "ABSENT":
        if isinstance(annotation, ast.Name) and annotation.id == "object":
            return annotation
        # Outside of Annotated: its constraints would apply to ABSENT, too.
        return ast.BinOp(annotation, ast.BitOr(), ast.Name("Absent"))
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, call])):
            union = ast.BinOp(inner, ast.BitOr(), ast.Constant(None))
            return ast.Subscript(annotation.value, ast.Tuple([union, call]))
        case _:
            return ast.BinOp(annotation, ast.BitOr(), ast.Constant(None))
