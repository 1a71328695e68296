"""Python types of a plan, written by datamodel-code-generator; the only module that uses it.

It gets a skeleton of the plan: tokens stand for all names, literals and strings of the protocol. They are
replaced in the syntax tree of its output. So no text of a protocol can become code, and no name is changed.
"""

import ast
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from datamodel_code_generator import GenerateConfig, generate
from datamodel_code_generator.enums import DataModelType, InputFileType
from datamodel_code_generator.format import PythonVersion
from datamodel_code_generator.parser import LiteralType

from enkaku_codegen.errors import CodegenError
from enkaku_codegen.planning.plan import (
    AliasPlan,
    ObjectPlan,
    Plan,
    name_in_code,
    names_in,
    reaches_itself,
)
from enkaku_codegen.proving.value_sets import only_constant, takes_null
from enkaku_codegen.reading.definition import SlotName
from enkaku_codegen.reading.lint import HIDDEN

from .annotations import copied, or_default, with_discriminator, with_field
from .detokenize import Detokenizer
from .discriminators import discriminator
from .escaping import Text
from .skeleton import CARRIER, Skeleton

__all__ = ["Alias", "Field", "Model", "Types", "make_types"]


_LARGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute of a model for the template: ``NAME: ANNOTATION = DEFAULT``.

    Attributes:
        default: The value if it is absent, or that of a required constant as an expression; None if it is required
            and no constant.
    """

    name: str
    annotation: str
    default: str | None
    text: Text


@dataclass(frozen=True, slots=True)
class Model:
    """A class for the template."""

    name: str
    fields: tuple[Field, ...]
    closed: bool
    text: Text
    kind: Literal["model"] = "model"


@dataclass(frozen=True, slots=True)
class Alias:
    """A type alias for the template.

    Attributes:
        late: Whether its annotation is written as a string: it is part of itself, without a class between, or is
            large; or it is None, which is not a type where an alias is used as a value. Type checkers get a TypeAlias
            with the same string: pyright does not follow a TypeAliasType through another alias back to itself.
    """

    name: str
    annotation: str
    late: bool
    text: Text
    kind: Literal["alias"] = "alias"


@dataclass(frozen=True, slots=True)
class Types:
    """All types of a package.

    Attributes:
        named: In the order of definition: an alias comes after its parts.
        slots: The annotations of the slots, by the procedure's constant.
        errors: The annotation of the data of each error that has some, by the error's class.
        values: The same types as expressions, with the mark of secrets, by ``(constant, slot)`` and ``(error, "data")``.
    """

    named: tuple[Model | Alias, ...]
    slots: Mapping[str, Mapping[SlotName, str]]
    errors: Mapping[str, str]
    values: Mapping[tuple[str, str], str]


def make_types(plan: Plan) -> Types:
    """Return the Python types of a plan.

    Raises:
        CodegenError: datamodel-code-generator wrote something unexpected.
    """
    skeleton = Skeleton(plan)
    written = _Written(_generate(skeleton.document()), skeleton, plan)
    slots: dict[str, Mapping[SlotName, str]] = {
        each.constant: {slot: written.carried(each.constant, slot) for slot in each.slots}
        for each in plan.both_ways
    }
    errors = {
        each.name: written.carried(each.name, "data")
        for each in plan.errors
        if each.data is not None
    }
    classes = {
        name_in_code(name) for name, each in plan.known.items() if isinstance(each, ObjectPlan)
    }
    values: dict[tuple[str, str], str] = {}
    for procedure in plan.both_ways:
        for slot, annotation in slots[procedure.constant].items():
            secret = slot in procedure.secrets
            values[procedure.constant, slot] = _at_run_time(annotation, classes, secret=secret)
    for each in plan.errors:
        if each.name in errors:
            annotation = errors[each.name]
            values[each.name, "data"] = _at_run_time(annotation, classes, secret=each.secret)
    return Types(_named(plan, written), slots, errors, values)


def _at_run_time(annotation: str, classes: Collection[str], *, secret: bool) -> str:
    """Return the type of a slot as an expression: None would mean that there is no type."""
    if secret and annotation not in classes:
        # pydantic warns of repr=False where there is no field. The fields of a class have it.
        return f"Annotated[{annotation}, Field(json_schema_extra={{{HIDDEN!r}: True}})]"
    return "NoneType" if annotation == "None" else annotation


def _named(plan: Plan, written: "_Written") -> tuple[Model | Alias, ...]:
    parts = {each.name: names_in(each.schema) for each in plan.types if isinstance(each, AliasPlan)}
    by_reference = reaches_itself(parts) | _large(parts)
    named: dict[str, Model | Alias] = {}
    for each in plan.types:
        if isinstance(each, ObjectPlan):
            fields = tuple(written.fields(each))
            named[each.name] = Model(each.name, fields, each.closed, Text(each.text))
        else:
            annotation = written.alias(each)
            late = each.name in by_reference or annotation == "None"
            named[each.name] = Alias(each.name, annotation, late, Text(each.text))
    return tuple(_ordered(named, parts))


def _large(parts: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the aliases that would be too large with their parts written out, as pydantic does.

    An alias that has the one before it twice doubles in size.
    """
    sizes: dict[str, int] = {}
    large: set[str] = set()

    def size(name: str) -> int:
        if name not in sizes:
            sizes[name] = 1  # for a part of itself, and for a class
            whole = 1 + sum(size(part) for part in parts.get(name, ()))
            if whole > _LARGEST:
                large.add(name)
            else:
                sizes[name] = whole
        return sizes[name]

    for name in parts:
        size(name)
    return large


def _ordered(
    named: Mapping[str, Model | Alias], parts: Mapping[str, Sequence[str]]
) -> Iterable[Model | Alias]:
    """Yield the types in their order, but each alias after its parts.

    Annotations in classes and in late aliases are evaluated later; those of other aliases where they are.
    """
    done: set[str] = set()

    def emit(name: str) -> Iterator[Model | Alias]:
        if name in named and name not in done:
            done.add(name)
            each = named[name]
            if each.kind == "alias" and not each.late:
                for part in parts[name]:
                    yield from emit(part)
            yield each

    for name in named:
        yield from emit(name)


class _Written:
    """The annotations that datamodel-code-generator wrote, with tokens replaced."""

    def __init__(self, source: str, skeleton: Skeleton, plan: Plan) -> None:
        self._skeleton = skeleton
        self._types = plan.known
        self._annotations: dict[str, ast.expr] = {}
        aliases: dict[str, ast.expr] = {}
        for statement in ast.parse(source).body:
            match statement:
                case ast.ClassDef(name=name) if name == CARRIER:
                    for each in statement.body:
                        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                            self._annotations[each.target.id] = each.annotation
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[_, value])):
                    # An alias that it adds for a type with constraints within another.
                    aliases[name] = value
                case _:
                    pass  # imports and calls of model_rebuild, which the templates write
        for token, field in skeleton.hoisted.items():
            aliases[token] = self._written(field)
        self._detokenizer = Detokenizer(skeleton, aliases)

    def carried(self, *key: str) -> str:
        """Return the annotation of an alias, or of a slot or error by its key."""
        return ast.unparse(self._annotation(key[0] if len(key) == 1 else (key[0], key[1])))

    def alias(self, plan: AliasPlan) -> str:
        """Return the annotation of an alias."""
        annotation = self._annotation(plan.name)
        return ast.unparse(with_discriminator(annotation, discriminator(plan.schema, self._types)))

    def fields(self, plan: ObjectPlan) -> Iterator[Field]:
        """Yield the fields of a class."""
        for index, each in enumerate(plan.fields):
            annotation = self._annotation((plan.name, index))
            annotation = with_discriminator(annotation, discriminator(each.schema, self._types))
            default = None
            if each.default:
                default = repr(each.default[0])
            elif each.required:
                for value in only_constant(each.schema, self._types):
                    default = f"Field(default={value!r}, frozen=True)"
            else:
                default = "ABSENT" if takes_null(each.schema, self._types) else "None"
                annotation = or_default(annotation, default)
            if each.deprecated:
                annotation = with_field(annotation, deprecated=True)
            if each.secret:
                annotation = with_field(annotation, repr=False)
            if each.key != each.attribute:
                annotation = with_field(annotation, alias=each.key)
            yield Field(each.attribute, ast.unparse(annotation), default, Text(each.text))

    def _annotation(self, key: str | tuple[str, str | int]) -> ast.expr:
        return self._detokenizer.expression(self._written(self._skeleton.carried[key]))

    def _written(self, token: str) -> ast.expr:
        """Return an annotation of its own, which may be changed."""
        if token in self._skeleton.names or token in self._skeleton.hoisted:
            return ast.Name(token)
        annotation = self._annotations.get(token)
        if annotation is None:
            raise CodegenError(f"the model generator did not write {CARRIER}.{token}")
        return copied(annotation)


def _generate(document: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = generate(document, config=_CONFIG)
    if not isinstance(source, str):
        raise CodegenError("the model generator wrote no module")
    return source


# Every option that affects types or reads other files, so that a changed default does not matter.
_CONFIG: Final = GenerateConfig(
    input_file_type=InputFileType.JsonSchema,
    output_model_type=DataModelType.PydanticV2BaseModel,
    target_python_version=PythonVersion.PY_311,
    base_class="enkaku.Model",
    formatters=[],
    disable_timestamp=True,
    # names
    snake_case_field=False,
    use_title_as_name=False,
    no_alias=True,
    parent_scoped_naming=False,
    collapse_root_models=False,
    reuse_model=False,
    skip_root_model=True,
    keep_model_order=True,
    # annotations
    use_annotated=True,
    field_constraints=True,
    use_type_alias=True,
    use_union_operator=True,
    use_standard_collections=True,
    use_generic_container_types=False,
    use_object_type=True,
    use_tuple_for_fixed_items=True,
    use_unique_items_as_set=False,
    use_decimal_for_multiple_of=False,
    use_non_positive_negative_number_constrained_types=False,
    strict_types=None,
    strict_nullable=False,
    enum_field_as_literal=LiteralType.All,
    # presence and values
    force_optional_for_required_fields=False,
    apply_default_values_for_required_fields=False,
    use_one_literal_as_default=False,
    use_default_kwarg=False,
    # texts
    use_schema_description=False,
    use_field_description=False,
    use_attribute_docstrings=False,
    field_include_all_keys=False,
    # the outside
    allow_remote_refs=False,
    allow_private_network=False,
    settings_path=None,
)
