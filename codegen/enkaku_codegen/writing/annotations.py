"""Changes to annotations, as syntax trees.

It knows Python's syntax and nothing of protocols.
"""

import ast

__all__ = ["or_default", "with_discriminator", "with_field"]


def with_discriminator(annotation: ast.expr, attribute: str | None) -> ast.expr:
    """Say by which attribute the classes of a union are told apart, if by one."""
    return annotation if attribute is None else with_field(annotation, discriminator=attribute)


def with_field(annotation: ast.expr, **arguments: str | bool) -> ast.expr:
    """Add arguments to an annotation's ``Field``, and that where there is none."""
    keywords = [ast.keyword(name, ast.Constant(value)) for name, value in arguments.items()]
    match annotation:
        case ast.BinOp(
            left=ast.Subscript(
                value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[_, ast.Call()])
            ) as inner,
            right=ast.Constant(None),
        ):
            # What is asked of the rest is asked of the whole: null passes it.
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
    """Let an annotation have the default as well: ``None``, or ``ABSENT`` whose type is ``Absent``."""
    if default == "ABSENT":
        if isinstance(annotation, ast.Name) and annotation.id == "object":
            return annotation
        # Beside what is annotated, and not in it: no constraint there is for it.
        return ast.BinOp(annotation, ast.BitOr(), ast.Name("Absent"))
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, call])):
            union = ast.BinOp(inner, ast.BitOr(), ast.Constant(None))
            return ast.Subscript(annotation.value, ast.Tuple([union, call]))
        case _:
            return ast.BinOp(annotation, ast.BitOr(), ast.Constant(None))
