"""All places where the kit reaches into Keras: seeds of a row's own, global seeds, dropout, `compile`, parts of nets.

Keras draws the seeds that it is not given from Python's `random`, which everything in a process shares, and has no
other way to hand them over; nor does it keep what was said of `jit_compile`, or let dropout choose its generator.
"""

import contextlib
import contextvars
import functools
import inspect
import random
import sys
import threading
from types import SimpleNamespace

import keras
import numpy as np
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.random import seed_generator
from keras.src.utils import module_utils
from keras.src.utils.summary_utils import weight_memory_size as bytes_of  # noqa: F401

_STREAM = contextvars.ContextVar("stream", default=None)
_GLOBAL = threading.RLock()
_THREEFRY = contextvars.ContextVar("threefry", default=False)
# What Keras keeps of a thread: the counts that name layers, the generator of what is drawn without a seed.
_OF_THE_THREAD = ("object_name_uids", "global_seed_generator", "global_random_seed")
# Whether this Keras asks Python's `random`, through this name, for seeds.
SEEDS_CAN_BE_LED = getattr(seed_generator, "python_random", None) is random


def _randint(low, high):
    return (_STREAM.get() or random).randint(low, high)


@contextlib.contextmanager
def stream(seed):
    """Where all seeds that Keras is not given come from `seed`, in this thread and whatever else the process draws.

    Layers are numbered from one, so that the same net has the same names. Nothing is left behind. Where a Keras does
    not allow it (`SEEDS_CAN_BE_LED`), the global state is set, so that such a net wants a process of its own.
    """
    if not SEEDS_CAN_BE_LED:
        with globally(seed):
            yield
        return
    seed_generator.python_random = SimpleNamespace(randint=_randint)  # does what `random` does where there is no stream
    token = _STREAM.set(random.Random(seed))
    try:
        with _thread_of_its_own():
            yield
    finally:
        _STREAM.reset(token)


@contextlib.contextmanager
def _thread_of_its_own():
    kept = {name: global_state.get_global_attribute(name) for name in _OF_THE_THREAD}
    try:
        for name in kept:
            global_state.set_global_attribute(name, None)
        yield
    finally:
        for name, value in kept.items():
            global_state.set_global_attribute(name, value)


@contextlib.contextmanager
def globally(seed):
    """Python's, NumPy's, Keras' and the back end's global random state set by `seed`, and put back afterwards.

    For `model.fit`, which shuffles by it; so one at a time, where threads fit. None leaves everything as it is.
    """
    if seed is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_GLOBAL)
        stack.enter_context(_thread_of_its_own())
        kept = random.getstate(), np.random.get_state()
        if keras.backend.backend() == "torch":
            import torch

            stack.enter_context(torch.random.fork_rng())
        stack.enter_context(_tensorflow_seed_kept())
        try:
            keras.utils.set_random_seed(seed)
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


@contextlib.contextmanager
def _tensorflow_seed_kept():
    """TensorFlow has a way to set its global seed, and none to ask for it."""
    try:
        from tensorflow.python.eager.context import context
    except ImportError:  # JAX alone
        yield
        return
    state = vars(context())
    kept = {name: state[name] for name in ("_seed", "_rng") if name in state}
    try:
        yield
    finally:
        state.update(kept)


def _note(method, said):
    """Let a method of Keras' models note in the model what `said(bound arguments)` gives."""
    # Where it is defined: a method of keras.Model itself Keras would take for the user's own.
    owner = next(parent for parent in keras.Model.__mro__ if method in vars(parent))
    original = vars(owner)[method]
    signature = inspect.signature(original)

    @functools.wraps(original)
    def noting(self, *arguments, **options):
        original(self, *arguments, **options)
        say_of_jit_compile(self, said(signature.bind(self, *arguments, **options).arguments))

    setattr(owner, method, noting)


def say_of_jit_compile(model, said):
    """Let `said_of_jit_compile` give this."""
    object.__setattr__(model, "_jit_compile_said", said)


_note("compile", lambda given: given.get("jit_compile", "auto"))
_note("compile_from_config", lambda given: "auto")  # a saved model has what Keras chose where nothing was said


def said_of_jit_compile(model):
    """What `compile` was given, True, False or "auto"; "auto" too for a model that was compiled before this import."""
    return getattr(model, "_jit_compile_said", "auto")


def parts_of(model):
    """The net and all layers in it, those within layers included."""
    return model._flatten_layers()


@contextlib.contextmanager
def tensorflow_left_out():
    """While nets are described on another back end: Keras would import TensorFlow for it, which takes seconds."""
    if "tensorflow" not in sys.modules:
        module_utils.tensorflow._available = False
    try:
        yield
    finally:
        if module_utils.tensorflow.module is None:
            module_utils.tensorflow._available = None


def forget_kernels():
    """Let TensorFlow drop what it keeps of each variable and program that ever was, as `clear_session` does."""
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.eager.context import context

        context().clear_kernel_cache()


def compiling_of(model):
    """An object that is another after each `compile`."""
    return getattr(model, "_compile_config", None)


@contextlib.contextmanager
def threefry_dropout():
    """While XLA traces for a CPU in this thread, let Keras' dropout on TensorFlow draw with Threefry.

    The generator that TensorFlow picks by itself takes fourteen times as long there, and Keras leaves it no choice.
    """
    if not hasattr(backend.random.dropout, "threefry"):
        backend.random.dropout = _choosing(backend.random.dropout)
    token = _THREEFRY.set(True)
    try:
        yield
    finally:
        _THREEFRY.reset(token)


def _choosing(usual):
    import tensorflow as tf

    @functools.wraps(usual)
    def dropout(inputs, rate, noise_shape=None, seed=None):
        if not _THREEFRY.get():
            return usual(inputs, rate, noise_shape, seed)
        draw = backend.random.draw_seed(seed)
        draw = tf.cast(tf.math.floormod(tf.cast(draw, "int64"), tf.int32.max - 1), "int32")
        shape = tf.shape(inputs)
        if noise_shape is not None:
            shape = [shape[i] if size is None else size for i, size in enumerate(noise_shape)]
        return tf.nn.experimental.stateless_dropout(inputs, rate, draw, rng_alg="threefry", noise_shape=shape)

    dropout.threefry = True
    return dropout
