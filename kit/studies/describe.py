"""What a thing is, as plain data: objects by class and values, code by what it does, libraries by name and version.

Two things with one description give the same numbers; any edit that could change them gives another. Code is taken from
the live function, not from its file, so that a module, a notebook's cell, an edited cell and `exec` are alike: its
bytecode without docstrings, comments and line numbers, its defaults, what it closes over, and each global
that it names with its value, and so on from there.
"""

import builtins
import copyreg
import functools
import hashlib
import json
import math
import sys
import types

import keras
import numpy as np
import pandas as pd

from ..datasets import Dataset
from . import bytecode, ledger

MACHINERY = (f"{bytecode.KIT}.training", f"{bytecode.KIT}.studies")  # what they keep changes while they run
NAMED = (
    types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
BOUND = (types.BuiltinMethodType, types.MethodWrapperType, types.MethodType)
SERVED = ("_model", "model", "params")  # a callback's, while it serves
COMPILED = ("train_function", "test_function", "predict_function")  # a net's, once it was used
HEAP = 1 << 9  # a flag of classes that were made while Python ran
FIXED = (type(None), int, float, str, bytes, tuple, frozenset, type, types.FunctionType, types.ModuleType)


class Undescribed(ValueError):
    """A part that cannot be described; the message names it and its type."""


def describe(thing):
    """What a thing is: lists, numbers and strings that are the same in each process, and hold no address.

    Raises Undescribed where a part cannot be described, such as a lock, an open file or a generator.
    """
    description = _Description()
    try:
        return description.part(thing)
    except RecursionError:
        raise Undescribed(f"{'.'.join(description.trail[:5]) or type(thing).__name__}: nested too deeply") from None


def digest(thing, length=16):
    """A hash of `describe(thing)`, `length` hexadecimal digits."""
    return _hash(describe(thing))[:length]


def _hash(description):
    return hashlib.sha256(json.dumps(description, separators=(",", ":")).encode()).hexdigest()


class _Description:
    """One walk through a thing. `seen` numbers what was met before, or lies around: cycles end there."""

    def __init__(self):
        self.seen, self.count, self.trail = {}, 0, []

    def part(self, thing):
        kind = type(thing)
        if thing is None or kind in (bool, str):
            return thing
        if kind is int:
            return thing if abs(thing) < 2**63 else ["int", hex(thing)]
        if kind is float:
            return thing if math.isfinite(thing) else ["float", repr(thing)]
        if kind in (bytes, bytearray):
            return [kind.__name__, hashlib.sha256(thing).hexdigest()]
        if kind is types.CodeType:
            return ["code", bytecode.of(thing).digest]
        if kind is types.CellType:
            return ["cell", *map(self.part, _held(thing))]
        if id(thing) in self.seen:
            return ["again", self.seen[id(thing)][0]]
        if isinstance(thing, types.ModuleType | type | types.FunctionType) and _library(thing):
            return _named(thing)
        self.count += 1
        self.seen[id(thing)] = self.count, thing
        lasting = isinstance(thing, types.FunctionType | type | keras.Variable) or _of_keras(kind)
        try:
            description = self.made(thing, kind)
        except (Undescribed, RecursionError):
            raise
        except Exception as error:  # what others wrote answers when it is asked what it is
            raise self.fault(thing, error) from None
        if not lasting:  # two equal values are as good as one value twice
            del self.seen[id(thing)]
        return description

    def made(self, thing, kind):
        if kind in (list, tuple) or (isinstance(thing, list) and _of_keras(kind)):
            return ["tuple" if kind is tuple else "list", *map(self.part, thing)]
        if kind in (dict, types.MappingProxyType) or (isinstance(thing, dict) and _of_keras(kind)):
            if thing.get("class_name") == "__lambda__":  # as Keras writes it, with line numbers
                return ["lambda"]
            return ["dict", *([self.part(name), self.part(value)] for name, value in thing.items())]
        if kind in (set, frozenset) or (isinstance(thing, set) and _of_keras(kind)):
            return ["set", *sorted(map(self.apart, thing))]
        if isinstance(thing, types.ModuleType):  # passed about as a whole: anything in it may be used
            return ["module", self.members((n, v) for n, v in vars(thing).items() if not n.startswith("__"))]
        if isinstance(thing, types.FunctionType):
            return self.function(thing)
        if isinstance(thing, type):
            members = ((n, v) for n, v in vars(thing).items() if n not in bytecode.SILENT)
            return ["class", thing.__name__, self.part(type(thing)), self.part(thing.__bases__), self.members(members)]
        if isinstance(thing, functools.partial):
            return ["partial", self.part(thing.func), self.part(thing.args), self.members(thing.keywords.items())]
        if isinstance(thing, BOUND) or kind.__name__ == "cython_function_or_method":
            return self.bound(thing)
        if isinstance(thing, NAMED):
            return [kind.__name__, self.part(thing.__objclass__), thing.__name__]
        if isinstance(thing, property):
            return ["property", *map(self.part, (thing.fget, thing.fset, thing.fdel))]
        if isinstance(thing, staticmethod | classmethod):
            return [kind.__name__, self.part(thing.__func__)]
        if isinstance(thing, functools.cached_property):
            return ["cached property", self.part(thing.func)]
        if isinstance(thing, Dataset):
            return ["data", ledger.fingerprint(thing)]
        if isinstance(thing, pd.DataFrame | pd.Series | pd.Index):
            hashed = pd.util.hash_pandas_object(thing).to_numpy()
            names = [list(thing.columns) if thing.ndim > 1 else thing.name, str(thing.dtypes), list(thing.shape)]
            return ["pandas", kind.__name__, self.part(names), self.array(hashed)]
        if isinstance(thing, keras.Variable) or keras.ops.is_tensor(thing):
            return ["tensor", self.array(keras.ops.convert_to_numpy(thing))]
        if hasattr(kind, "__array__") and _library(kind) and not isinstance(thing, np.ma.MaskedArray):
            return self.array(np.asarray(thing))
        if _of_keras(kind) and hasattr(thing, "__dict__"):
            return self.keras(thing, kind)
        place, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
        if isinstance(place, str) and isinstance(name, str) and not bytecode.own(place):
            if getattr(sys.modules.get(place), name, None) is thing:  # such as what `jax.jit` made
                return _named(thing)
        if _library(kind) and hasattr(thing, "__wrapped__"):  # such as functools.cache and jax.jit
            return ["wrapped", self.part(kind), self.part(thing.__wrapped__)]
        return self.instance(thing, kind)

    def apart(self, thing):
        """A hash of a thing that does not depend on what else its set holds, which has no order."""
        other = _Description()
        other.seen, other.count, other.trail = dict(self.seen), self.count, [*self.trail]
        return _hash(other.part(thing))

    def members(self, pairs):
        """Named parts, in the order of their names."""
        found = []
        for name, value in sorted(pairs, key=lambda pair: str(pair[0])):
            self.trail.append(str(name))
            found.append([str(name), self.part(value)])
            self.trail.pop()
        return found

    def fault(self, thing, error=None):
        kind = type(thing)
        because = f" ({str(error).splitlines()[0]})" if str(error or "") else ""
        name = ".".join(self.trail) or getattr(thing, "__name__", "this")
        return Undescribed(f"{name} cannot be described: its type is {kind.__module__}.{kind.__qualname__}{because}")

    def array(self, array):
        if array.dtype.hasobject:
            return ["array", list(array.shape), self.part(array.tolist())]
        hashed = hashlib.sha256(np.ascontiguousarray(array).view("uint8") if array.size else b"").hexdigest()
        return ["array", str(array.dtype), list(array.shape), hashed]

    def bound(self, thing):
        """A method of a value or module. `random.random` is told by its name, though it is bound to a hidden object."""
        owner = getattr(thing, "__self__", None)
        home = owner if isinstance(owner, types.ModuleType) else sys.modules.get(type(owner).__module__)
        if owner is None or (home and _library(home) and getattr(home, thing.__name__, None) == thing):
            name = home.__name__ if owner else thing.__module__
            return ["library", f"{name}.{thing.__name__}", bytecode.version(name)]
        return ["method", self.part(owner), self.part(getattr(thing, "__func__", thing.__name__))]

    def function(self, thing):
        code, space = bytecode.of(thing.__code__), thing.__globals__
        place = space.get("__name__") or ""
        cells = zip(thing.__code__.co_freevars, thing.__closure__ or ())
        shown = [code.digest, thing.__name__, self.part(thing.__defaults__)]
        for pairs in ((thing.__kwdefaults__ or {}).items(), cells, vars(thing).items()):
            shown.append(self.members(pairs))
        if not bytecode.own(place):  # a library's, made within one of its functions, or around one of ours
            return ["function", *shown, bytecode.version(place)]
        found = []
        for name, value in sorted(bytecode.reached(code, space).items()):
            before, depth = dict(self.seen), len(self.trail)
            try:
                if place.startswith(MACHINERY) and not isinstance(value, FIXED):
                    raise Undescribed
                found += self.members([(name, value)])
            except Undescribed:
                if place.partition(".")[0] != bytecode.KIT:
                    raise
                found.append([name])  # the kit's own machinery; the ledger hashes its files
                self.seen = before
                del self.trail[depth:]
        return ["function", *shown, found]

    def keras(self, thing, kind):
        """A Keras object by its config, and by what its attributes hold of Keras', of own code and of weights."""
        try:
            config = thing.get_config()
        except Exception:  # callbacks have none, and what is subclassed may have none
            config = None
        names = {"seed", "_fn_kwargs"}.union(
            *(code.names for base in kind.__mro__ if not _library(base) for code in _codes(base))
        )
        layer, loss, metric = (isinstance(thing, base) for base in (keras.Operation, keras.Loss, keras.Metric))
        held = {
            name: value
            for name, value in vars(thing).items()
            if not name.startswith("_self_")  # TensorFlow's list of the others
            if name in names or ((config is None or loss) and not layer) or _telling(value, metric)
        }
        for name in SERVED if isinstance(thing, keras.callbacks.Callback) else COMPILED:
            held.pop(name, None)
        return ["keras", self.part(kind), self.part(config), self.members(held.items())]

    def instance(self, thing, kind):
        """Any other object by how it would be made again."""
        reduce = copyreg.dispatch_table.get(kind)
        made = reduce(thing) if reduce else thing.__reduce_ex__(4)
        if isinstance(made, str):
            home = sys.modules.get(getattr(thing, "__module__", None) or kind.__module__)
            if not all(part.isidentifier() for part in made.split(".")):
                raise self.fault(thing)  # such as a function of one's own that NumPy has made a ufunc of
            return ["name", self.part(kind), getattr(home, "__name__", None), made]
        make, arguments, state, items, pairs = (*made, None, None, None)[:5]
        if isinstance(state, dict):
            state = {n: v for n, v in state.items() if not isinstance(getattr(kind, n, 0), functools.cached_property)}
            state = self.members(state.items())
        else:
            state = self.part(state)
        contents = [self.part(list(items or ())), self.part([list(pair) for pair in pairs or ()])]
        return ["object", self.part(kind), self.part(make), self.part(arguments), state, *contents]


def _held(cell):
    try:
        return [cell.cell_contents]
    except ValueError:  # it is empty as yet
        return []


def _codes(kind):
    """The code of a class's own methods."""
    for value in vars(kind).values():
        for function in (value, *(getattr(value, name, None) for name in ("fget", "fset", "fdel", "func", "__func__"))):
            if isinstance(function, types.FunctionType):
                yield bytecode.of(function.__code__)


def _telling(value, metric=False):
    """Whether an attribute of a Keras object is part of what it is: another, weights, own code and its objects."""
    kind = type(value)
    if isinstance(value, list | tuple | set):
        return any(_telling(part, metric) for part in value)
    if isinstance(value, dict):
        return any(_telling(part, metric) for part in value.values())
    if isinstance(value, keras.Variable):
        return not metric  # what a metric has counted is reset before it counts again
    if isinstance(value, type):
        return not _library(value)
    if isinstance(value, types.FunctionType | types.MethodType | functools.partial) or not _library(kind):
        return True
    return _of_keras(kind) and hasattr(value, "get_config")


def _of_keras(kind):
    return any(str(base.__module__).partition(".")[0] == "keras" for base in kind.__mro__)


def _named(thing):
    if isinstance(thing, types.ModuleType):
        return ["library", thing.__name__, bytecode.version(thing.__name__)]
    return ["library", f"{thing.__module__}.{thing.__qualname__}", bytecode.version(thing.__module__)]


def _library(thing):
    """Whether a module, a class or a function is neither the user's nor the kit's, and can be told by its name."""
    if isinstance(thing, types.ModuleType):
        return not bytecode.own(thing.__name__)
    if "<" in thing.__qualname__:
        return False  # several may have that name
    if isinstance(thing, type):
        made = thing.__module__ == "builtins" and getattr(builtins, thing.__name__, None) is not thing
        return not bytecode.own(thing.__module__) and not (made and thing.__flags__ & HEAP)
    return not bytecode.own(thing.__globals__.get("__name__")) and not bytecode.own(thing.__module__)
