"""The base of generated models: what every object of a protocol has in common.

Above it: generated code. Below it: pydantic. It knows nothing of calls.
"""

from pydantic import BaseModel, ConfigDict

__all__ = ["Model"]


class Model(BaseModel):
    """An object of a protocol: immutable, strict, with the JSON names as aliases.

    The constructor takes the Python names (``total_samples=``); the JSON names (``totalSamples``) are what
    crosses the wire, and only they are accepted there. Objects are open, as in JSON Schema, unless a
    generated class forbids further members.
    """

    model_config = ConfigDict(
        allow_inf_nan=False,
        # A class costs a millisecond to build: a program that uses ten of five hundred pays for ten.
        defer_build=True,
        extra="allow",
        frozen=True,
        protected_namespaces=(),
        # What a handler hands over is checked again when it is sent, whatever was done to it since.
        revalidate_instances="always",
        ser_json_inf_nan="constants",
        serialize_by_alias=True,
        strict=True,
        validate_by_alias=True,
        validate_by_name=True,
    )
