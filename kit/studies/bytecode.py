"""What a code object does, whatever its docstrings, comments and line numbers; and whose code is whose."""

import contextlib
import dis
import functools
import hashlib
import importlib
import json
import os
import sys
import sysconfig
import types
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

KIT = __name__.partition(".")[0]
LIBRARIES = {"site-packages", "dist-packages"}
STANDARD = (Path(os.__file__).parent, Path(sysconfig.get_path("platstdlib")))
# Names that a class has without what it does.
SILENT = {
    "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__", "__conditional_annotations__",
    "__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__", "__match_args__",
    "__module__", "__qualname__", "__slotnames__", "__static_attributes__", "__weakref__", "_abc_impl",
}  # fmt: skip
FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200  # *args, **kwargs, generators and coroutines
JUMPS = {*dis.hasjrel, *dis.hasjabs}
QUIET = {"EXTENDED_ARG", "NOP", "RESUME"}  # steps that do nothing but keep a line number, or a part of the next


class Code(NamedTuple):
    digest: str
    names: frozenset  # all names: globals, attributes, what is imported
    globals: frozenset
    whole: frozenset  # globals that are used otherwise than by an attribute of theirs
    imports: frozenset  # (dots, module, names)


@functools.lru_cache(maxsize=10_000)
def of(code):
    """What a code object does, with those within it; and the names through which it reaches further."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in QUIET]
    shown, names, used, whole, imports = [], set(), set(), set(), set()
    for index, step in enumerate(steps):
        value = code.co_consts[step.arg] if step.opname == "KW_NAMES" else step.argval
        if step.opcode in dis.hasname:
            names.add(value)
        if step.opcode in JUMPS:
            value = step.arg
        elif isinstance(value, types.CodeType):
            inner = of(value)
            for mine, its in zip((names, used, whole, imports), inner[1:]):
                mine.update(its)
            value = [inner.digest]
        elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            used.add(value)
            if index + 1 == len(steps) or steps[index + 1].opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                whole.add(value)
        elif step.opname == "IMPORT_NAME":
            imports.add((steps[index - 2].argval, value, steps[index - 1].argval or ()))
        shown.append([step.opname, _constant(value)])
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + 2]
    signature = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & FLAGS]
    shown = json.dumps([code.co_name, arguments, signature, shown, code.co_exceptiontable.hex()])
    return Code(hashlib.sha256(shown.encode()).hexdigest(), *map(frozenset, (names, used, whole, imports)))


def _constant(value):
    """A constant, or a list that stands for code, with its type."""
    if isinstance(value, tuple | list | frozenset):
        parts = [_constant(part) for part in value]
        return [type(value).__name__, *(sorted(parts, key=str) if isinstance(value, frozenset) else parts)]
    return [type(value).__name__, repr(value)]


def reached(code, space):
    """The values of a code's globals and imports by name; of own modules those of their attributes that it names."""
    left = [(name, space[name]) for name in sorted(code.globals) if name in space]
    package = space.get("__package__") or (space.get("__name__") or "").rpartition(".")[0]
    for dots, name, names in sorted(code.imports):
        with contextlib.suppress(Exception):  # where it cannot be imported now, it cannot be when the code runs
            name = util.resolve_name("." * dots + name, package)
            if not own(name):
                left.append((name, f"{name} {version(name)}"))  # it need not be imported for that
                continue
            module = importlib.import_module(name)
            left += [(name.partition(".")[0], sys.modules[name.partition(".")[0]]), (name, module)]
            for part in names:
                if not hasattr(module, part):
                    importlib.import_module(f"{name}.{part}")
    found, met = {}, set()
    while left:
        name, value = left.pop(0)
        if not isinstance(value, types.ModuleType) or not own(value.__name__) or name in code.whole:
            found[name] = value
        elif id(value) not in met:
            met.add(id(value))
            attributes = [(part, _attribute(value, part)) for part in sorted(code.names) if not part.startswith("__")]
            left += [(f"{name}.{part}", held) for part, held in attributes if held is not _MISSING]
    return found


_MISSING = object()


def _attribute(module, name):
    try:
        return getattr(module, name, _MISSING)
    except Exception:  # a module may make its attributes when they are named
        return _MISSING


@functools.cache
def own(name):
    """Whether a module is the user's or the kit's."""
    top = (name or "__main__").partition(".")[0]
    if top in (KIT, "__main__"):
        return True
    if top in sys.builtin_module_names:
        return False
    module = sys.modules.get(top)
    if module is None:
        spec = util.find_spec(top)
        places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
    else:
        places = [getattr(module, "__file__", None) or "", *(getattr(module, "__path__", None) or ())]
    if not any(places):
        return top not in sys.stdlib_module_names
    paths = [Path(place) for place in places if place]
    beside = any(any(folder.glob(f"{top}-*.dist-info")) for path in paths for folder in path.parents[:2])
    return not beside and not any(
        LIBRARIES & set(path.parts) or any(map(path.is_relative_to, STANDARD)) for path in paths
    )


def version(name):
    """Of the library that a module belongs to; of the standard library Python's."""
    top = (name or "builtins").partition(".")[0]
    version = getattr(sys.modules.get(top), "__version__", None)
    return str(version) if version and top not in sys.stdlib_module_names else _installed(top)


@functools.cache
def _installed(top):
    if top in sys.stdlib_module_names:
        return f"Python {sys.version_info.major}.{sys.version_info.minor}"
    names = metadata.packages_distributions().get(top, ())
    return ", ".join(sorted({metadata.version(name) for name in names}))
