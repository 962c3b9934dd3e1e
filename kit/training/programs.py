"""The store of programs: nets that are alike but for weights, seeds and rate are trained by one compiled epoch.

Compiling takes longer than many a fit. So a program is made for a *twin*, a net built from the config of the first that
needed it, and never runs on a user's variables: `compiled` carries their values into the twin and out again. A twin is
used only if it is described in all as its net is.

A net is shared so if every part of it is of Keras or of the kit and has a config. A function or class of the user's
own may be written anew under its old name, so such a net keeps its program itself, as Keras does: until it is compiled
again, its `trainable` flags change, or it gets another optimizer, other variables or another batch size.
"""

import collections
import contextlib
import functools
import itertools
import json
import os
import sys
import threading
import types
from typing import NamedTuple

import keras

from . import compiled, hooks

BYTES, COUNT = 256 * 2**20, 8  # of the variables of all twins together; of programs
OURS = {"keras", "kit"}
KNOWN = OURS | sys.stdlib_module_names | {"numpy", "tensorflow", "jax", "jaxlib", "ml_dtypes", "optree"}
OWN = "_kit_program"  # where a net keeps a program of its own
# What fits leave in a net, and the nets that are built upon it.
PASSED_OVER = {OWN, "train_function", "test_function", "predict_function", "history", "_outbound_nodes"}
# How attributes begin that differ from net to net.
NOT_DESCRIBED = (
    "name", "_name", "path", "_path", "seed", "_init_seed", "_initial_seed", "stop_", "_self_", "_trainable_var",
    "_exclude",
)  # fmt: skip
PLAIN = bool, int, float, str, type(None)
_store, _guard, _inherited, _fits = collections.OrderedDict(), threading.Lock(), [], itertools.count(1)


class NotShared(Exception):
    """What keeps a net from a program that others use."""


class _Entry(NamedTuple):
    program: tuple
    bytes: int
    busy: threading.Lock


def clear_programs():
    """Forget all programs that later fits might share; those that a fit uses now go when it ends."""
    with _guard:
        _store.clear()
    hooks.forget_kernels()


@contextlib.contextmanager
def program_for(model, data, batch_size, epochs):
    """The `(train, test, engine)` of `compiled` for a net, while one fit uses it; `data` as `compiled` has it.

    A second fit of the same kind at the same time gets a program of its own: where a callback of the first calls it,
    waiting would have no end.
    """
    examples = len(data[0]) * epochs
    settings = _settings(model, data, batch_size, examples)
    kind = (hooks.compiling_of(model), model.optimizer, list(map(id, _variables(model))), _flags(model), settings)
    made_for, program = vars(model).pop(OWN, (None, None))
    entry, said = None, ", program of this net from an earlier fit"
    if made_for != kind:
        make = functools.partial(getattr(compiled, keras.backend.backend()), batch_size=batch_size, examples=examples)
        try:
            entry, said = _shared(model, [array[:batch_size] for array in data], settings, make)
            program = entry.program
        except Exception:  # whatever keeps a net from being described or built again, it can be trained
            said, program = ", program of this net", make(model)
    if not entry:
        object.__setattr__(model, OWN, (kind, program))
    train, test, engine = program
    try:
        yield train, test, lambda: engine() + said
    finally:
        if entry:
            entry.busy.release()
        if next(_fits) % 8 == 0:
            hooks.forget_kernels()


def _shared(model, batch, settings, make):
    """(entry, what is said of it), the entry taken for this fit; an exception where there is none for it."""
    size = hooks.bytes_of(_variables(model))
    if size > BYTES or compiled.gives_more_than_metrics(model):
        raise NotShared
    key = _key(model, settings)
    with _guard:
        if key in _store:
            _store.move_to_end(key)
            if not _store[key].busy.acquire(blocking=False):
                raise NotShared
            return _store[key], ", program shared with an earlier fit"
    twin = _twin(model, batch)
    if _key(twin, settings) != key:
        raise NotShared
    entry = _Entry(make(twin), size, threading.Lock())
    entry.busy.acquire()
    with _guard:
        _store[key] = entry
        while len(_store) > COUNT or sum(kept.bytes for kept in _store.values()) > BYTES:
            _store.popitem(last=False)
            hooks.forget_kernels()
    return entry, ""


def _twin(model, batch):
    """A net like this with variables of its own; nothing is drawn from the user's seeds."""
    config = _config(model)
    with hooks.stream(0):
        twin = keras.saving.deserialize_keras_object(config["net"])
        for mine, theirs in zip(hooks.parts_of(twin), hooks.parts_of(model)):
            mine.trainable = theirs.trainable
        twin.compile(**keras.saving.deserialize_keras_object(config["compile"]), auto_scale_loss=False)
        hooks.say_of_jit_compile(twin, hooks.said_of_jit_compile(model))
        compiled.build(twin, batch)
    return twin


def _settings(model, data, batch_size, examples):
    """What a program depends on beside the net."""
    config = keras.config
    said = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name
    arrays = [(tuple(array.shape[1:]), str(array.dtype), str(array.device)) for array in data]
    xla = compiled.uses_xla(model, examples)  # which wants to know the number of examples
    return [said, arrays, batch_size, hooks.said_of_jit_compile(model), xla, len(data[0]) if xla else None]


def _variables(model):
    return [variable for group in compiled.state_of(model) for variable in group]


def _flags(model):
    return [part.trainable for part in hooks.parts_of(model)]


def _key(model, settings):
    """All that a program depends on but the values of variables, as text."""
    parts, places = _parts(model), {}
    variables = [
        (group, v.name.rstrip("_0123456789").split("_")[-1], tuple(v.shape), v.dtype, v.trainable,
         places.setdefault(id(v), len(places)))
        for group, variables in enumerate(compiled.state_of(model)) for v in variables
    ]  # fmt: skip
    return json.dumps([_canonical(_config(model)), parts, variables, _flags(model), settings])


def _config(model):
    with hooks.tensorflow_left_out():
        net, optimizer = map(keras.saving.serialize_keras_object, (model, model.optimizer))
    return {"compile": net.pop("compile_config") | {"optimizer": optimizer}, "net": net}


def _canonical(config, numbers=()):
    """A config with layers numbered in order, without other names, seeds and a rate that is a variable."""
    if isinstance(config, (list, tuple)):
        if len(config) == 3 and isinstance(config[0], str) and config[0] in numbers:  # a tensor: layer, call, output
            return [numbers[config[0]], *config[1:]]
        return [_canonical(part, numbers) for part in config]
    if not isinstance(config, dict) or config.get("class_name") == "DTypePolicy":
        return config
    if isinstance(config.get("layers"), list):
        numbers = {layer["config"]["name"]: f"layer {i}" for i, layer in enumerate(config["layers"])}
    rate = isinstance(config.get("learning_rate"), float)
    left_out = {"name", "seed"} | ({"learning_rate"} if rate else set())
    return {name: _canonical(part, numbers) for name, part in config.items() if name not in left_out}


def _parts(model):
    """Of each part of a net that has a config, its class and plain attributes; NotShared for a part of the user's own.

    The attributes, since a config may lack some: that of `keras.losses.Huber` has no delta. NotShared too for what
    neither holds: tensors, what is adapted to data, variables left out of weight decay.
    """
    found, seen, waiting = [], {}, [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, (keras.Variable, *PLAIN)):
            continue
        seen[id(part)] = part  # kept, so that no other gets its id
        room = (part if isinstance(part, (type, types.FunctionType)) else type(part)).__module__.split(".")[0]
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, (list, tuple, set, frozenset, collections.deque)):
            waiting += part
        elif isinstance(part, types.MethodType):
            waiting += part.__self__, part.__func__
        elif isinstance(part, type):
            if room not in KNOWN:
                raise NotShared(part)
        elif isinstance(part, types.FunctionType):
            written = getattr(sys.modules[part.__module__], part.__name__, None) is part
            if room != "keras" and not (room == "kit" and written):
                raise NotShared(part)
            waiting += [cell.cell_contents for cell in part.__closure__ or ()]
            found.append(part.__module__ + part.__qualname__)
        elif room in OURS:
            if hasattr(part, "adapt") or hasattr(part, "_exclude_from_weight_decay"):
                raise NotShared(part)
            if not isinstance(part, keras.regularizers.Regularizer):  # which hold numbers of their config as tensors
                waiting += [value for name, value in vars(part).items() if name not in PASSED_OVER]
            if hasattr(part, "get_config") and not isinstance(part, keras.Model):
                words = NOT_DESCRIBED + ("_",) * isinstance(part, keras.Layer)  # whose configs tell the private ones
                kept = [(n, repr(v)) for n, v in vars(part).items() if not n.startswith(words) and _is_plain(v)]
                found.append(f"{type(part)} {sorted(kept)}")
        elif room not in KNOWN or callable(part) or keras.ops.is_tensor(part):
            raise NotShared(part)
    return sorted(set(found))


def _is_plain(value):
    if isinstance(value, dict):
        return all(isinstance(name, str) for name in value) and _is_plain(list(value.values()))
    return all(map(_is_plain, value)) if isinstance(value, (list, tuple)) else isinstance(value, PLAIN)


def _after_fork():
    """A child begins with nothing; what the parent had is not destroyed there, where its threads are missing."""
    global _store, _guard
    _inherited.append(_store)
    _store, _guard = collections.OrderedDict(), threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
