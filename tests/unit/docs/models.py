"""What a pydantic model says of its keys, in the words of the reference pages."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WORDS: dict[Any, str] = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}


@dataclass(frozen=True)
class Key:
    """One key, as a reference page's row should say it; `bounds` is empty where the model's types have none."""

    name: str
    type: str
    default: str
    bounds: str


def sections(model: type[BaseModel]) -> Iterator[tuple[str, list[Key]]]:
    """Title of each section of the file and its keys, the top level first."""
    yield from _sections(model, "", "Top level")


def _sections(model: type[BaseModel], path: str, title: str) -> Iterator[tuple[str, list[Key]]]:
    own, nested = [], []
    for name, field in model.model_fields.items():
        one, many = _model_in(field.annotation)
        key = field.alias or name
        if one is None:
            own.append(_key(key, field))
        else:
            nested.append((f"{path}{key}", many, one))
    yield title, own
    for inner, many, one in nested:
        yield from _sections(one, f"{inner}.", f"`[[{inner}]]`" if many else f"`[{inner}]`")


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple else None
    return (inner, True) if isinstance(inner, type) and issubclass(inner, BaseModel) else (None, False)


def _key(name: str, field: FieldInfo) -> Key:
    limits = [*field.metadata, *_limits(field.annotation)]
    return Key(name, _type(field.annotation), _default(field), _bounds(limits))


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in inner if one is not type(None))
    if origin is dict:
        return f"table of {_type(inner[1])}"
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{json.dumps(one.value)}`" for one in annotation)
    return _WORDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "none" if field.default is None else f"`{json.dumps(field.default, default=str)}`"


def _limits(annotation: Any) -> list[Any]:
    """Limits of a type and of what is inside it, outermost first."""
    found: list[Any] = []
    if get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            found += extra.metadata if isinstance(extra, FieldInfo) else [extra]
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        for one in get_args(annotation):
            found += _limits(one)
    return found


def _bounds(limits: list[Any]) -> str:
    """Such as `from 1 to 8`, `above 0 below 1`, `up to 4096 items, 1 to 256 characters`."""
    words = []
    for limit in limits:
        if isinstance(limit, Ge):
            words.append(f"from {_number(limit.ge)}")
        elif isinstance(limit, Gt):
            words.append(f"above {_number(limit.gt)}")
        elif isinstance(limit, Le):
            words.append(f"to {_number(limit.le)}")
        elif isinstance(limit, Lt):
            words.append(f"below {_number(limit.lt)}")
    least = [limit.min_length for limit in limits if isinstance(limit, MinLen)]
    most = [limit.max_length for limit in limits if isinstance(limit, MaxLen)]
    lengths = []
    if len(most) > len(least):
        lengths.append(f"up to {most.pop(0)} items")
    lengths += [f"{low} to {high} characters" for low, high in zip(least, most, strict=True)]
    return ", ".join([" ".join(words), *lengths] if words else lengths)


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)
