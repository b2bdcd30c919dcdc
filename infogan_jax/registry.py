"""Frozen dataclasses to JSON and back: how a configuration travels with a checkpoint.

A registered class is stored as `{"kind": name, **fields}`. Decoding imports nothing
by name: a class that is not registered is an error that says what to import first.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T", bound=type)

_CLASSES: dict[str, type] = {}
_LEAVES = (bool, int, float, str, type(None))


def register(cls: T) -> T:
    """Makes a frozen dataclass storable by name: `@register` above `@dataclass`.

    The library's own classes are stored under their bare name, a user's class as
    `module:name`; a script's own by the script's name, under which it can be imported.

    Raises:
      TypeError: `cls` is not a frozen dataclass.
      ValueError: another class already has this name, or a field is named `kind` or is
        not given to the class when it is made: it could not be restored.
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise TypeError(
            f"{cls.__name__} must be a frozen dataclass to be registered: "
            "put @dataclass(frozen=True) below @register."
        )
    for field in dataclasses.fields(cls):
        if field.name == "kind" or not field.init:
            raise ValueError(
                f"{cls.__name__}.{field.name} could not be restored: `kind` names the "
                "class, and all other stored fields are given to it; rename it, or "
                "make it a property."
            )
    name = kind(cls)
    known = _CLASSES.get(name, cls)
    # A notebook cell that is run twice defines the same class anew, and so does a
    # script that is imported too: let them.
    if (_module(known), known.__qualname__) != (_module(cls), cls.__qualname__):
        raise ValueError(f"the name {name!r} is taken by {known}; rename {cls}.")
    _CLASSES[name] = cls
    return cls


def kind(cls: type) -> str:
    """The name under which `cls` is stored."""
    package, module = __name__.partition(".")[0], _module(cls)
    inside = module.partition(".")[0] == package
    return cls.__name__ if inside else f"{module}:{cls.__name__}"


def encode(value: Any) -> Any:
    """JSON-able form of registered dataclasses, tuples, numbers, strings and None.

    Raises:
      TypeError: something that JSON could not give back equal, such as an array.
    """
    if isinstance(value, np.generic):
        value = value.item()
    # No enumeration or named tuple: what is restored would be another type.
    if type(value) in _LEAVES:
        return value
    if type(value) is tuple:
        return [encode(item) for item in value]
    cls = _CLASSES.get(kind(type(value)))
    if cls is not type(value):
        raise TypeError(
            f"cannot store {value!r} of type {type(value).__name__}: a configuration "
            "holds numbers, strings, tuples and registered frozen dataclasses."
        )
    fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(cls)}
    return {"kind": kind(cls), **fields}


def decode(data: Any) -> Any:
    """What `encode` was given. A field that is absent takes its default.

    Raises:
      ValueError: an unknown kind or field, or a value that its class refuses.
    """
    if isinstance(data, list):
        return tuple(decode(item) for item in data)
    if not isinstance(data, dict):
        return data
    fields = dict(data)
    name = fields.pop("kind", None)
    if not isinstance(name, str) or name not in _CLASSES:
        module = name.partition(":")[0] if isinstance(name, str) and ":" in name else ""
        hint = f"known: {sorted(_CLASSES)}"
        if module:
            hint = f"import {module} first (python -m infogan_jax: --import {module})"
        if module == "__main__":
            hint = "it was defined in a notebook or a prompt: define it again first"
        raise ValueError(f"unknown kind {name!r} in a stored configuration; {hint}.")
    cls = _CLASSES[name]
    unknown = fields.keys() - {field.name for field in dataclasses.fields(cls)}
    if unknown:
        raise ValueError(
            f"{name} has no field {sorted(unknown)}: the configuration was stored by "
            "another version of this library, or edited by hand."
        )
    try:
        return cls(**{key: decode(item) for key, item in fields.items()})
    except (TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise ValueError(f"stored {name} cannot be rebuilt: {error}.") from error


def _module(cls):
    """The name by which the module of a class can be imported, if it can."""
    if cls.__module__ not in ("__main__", "__mp_main__"):  # Of a spawned process.
        return cls.__module__
    main = sys.modules[cls.__module__]
    if spec := getattr(main, "__spec__", None):  # python -m NAME
        return spec.name
    return Path(getattr(main, "__file__", "__main__")).stem
