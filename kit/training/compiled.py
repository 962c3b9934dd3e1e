"""An epoch as one compiled program: the images lie on the device and a compiled loop feeds Keras' own train_step.

`model.fit` pays for Python, the data pipeline and the callbacks at every batch; for a small net that is most of
the time. Here Python is entered twice an epoch. What a step computes is Keras' own code, so losses, metrics,
optimizers, regularizers and layers need nothing from us.

A back end's function returns `(train, test, engine)`: `train(data, order)` runs one epoch over the examples in the
order of the indices, `test(data, batch_size)` evaluates, `engine()` says how. `data` is a tuple of tensors: x, or x and
y, or x, y and sample weights. Results are left in the model's metrics; what the last step gave is returned too.
"""

import contextlib

import keras

from . import hooks

# What XLA compiles well on a CPU. Its convolutions are 3 to 5 times slower there than oneDNN's (TensorFlow) and
# single-threaded within a loop (JAX), so a net with any other layer takes the safe way.
DENSE_LAYERS = (
    keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Rescaling,
    keras.layers.Dense, keras.layers.Dropout, keras.layers.BatchNormalization, keras.layers.LayerNormalization,
    keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.Softmax,
    keras.layers.Add, keras.layers.Concatenate,
)  # fmt: skip
# Examples, over all epochs, from which on XLA saves a dense net more than its compiling costs: 3 to 20 microseconds an
# example against a second, as `benchmarks/epoch.py` and `first.py` measure them.
XLA_PAYS_FROM = 100_000


def layers_of(model):
    """All layers of a net, those of nested nets included."""
    for layer in model.layers:
        yield from layers_of(layer) if isinstance(layer, keras.Model) else (layer,)


def is_dense(model):
    """Whether the net, nested ones included, has none but the layers that XLA compiles well on a CPU."""
    return all(type(layer) in DENSE_LAYERS for layer in layers_of(model))


def gives_more_than_metrics(model):
    """Whether a step may return something beside the metrics, which the history then holds of an epoch's last batch."""
    own = ("train_step", "test_step", "compute_metrics")
    return any(getattr(type(model), name) is not getattr(keras.Model, name) for name in own)


def tensorflow(model, batch_size, examples):
    """The epoch as a `tf.function`, with XLA where it was asked for, Keras chose it (a GPU), or it pays on a CPU."""
    import tensorflow as tf

    on_cpu = not tf.config.list_physical_devices("GPU")
    said = hooks.said_of_jit_compile(model)
    pays = on_cpu and is_dense(model) and examples >= XLA_PAYS_FROM
    xla = model.jit_compile or (said == "auto" and pays)
    drops = any(isinstance(layer, keras.layers.Dropout) for layer in layers_of(model))
    refused = ""  # what is said where XLA could not compile
    keeps = gives_more_than_metrics(model)

    def program(step, batch_size):
        @tf.autograph.experimental.do_not_convert
        def take_step(data, batch):
            with hooks.threefry_dropout() if xla and on_cpu and drops else contextlib.nullcontext():
                return step(keras.utils.pack_x_y_sample_weight(*(tf.gather(array, batch) for array in data)))

        @tf.function(jit_compile=xla)
        def epoch(order, *data):
            examples = order.shape[0]
            # XLA wants batches of one size; without it the partial batch at the end needs no program of its own.
            looped = examples // batch_size if xla else -(-examples // batch_size)
            if keeps and looped * batch_size >= examples:
                looped -= 1
            if looped > 0:  # XLA reads the body of a loop that is never entered
                for i in tf.range(looped):
                    start = i * batch_size
                    batch = tf.slice(order, [start], [batch_size]) if xla else order[start : start + batch_size]
                    take_step(data, batch)
            rest = order[looped * batch_size :]
            return take_step(data, rest) if rest.shape[0] else {}

        # Not called as it is: TensorFlow would warn, after five nets, that each is traced anew.
        return lambda *arguments: epoch.get_concrete_function(*arguments)(*arguments)

    programs = {}

    def run(step, order, data, batch_size=batch_size):
        nonlocal xla, refused
        key, first = (step.__name__, batch_size), False
        if key not in programs:
            programs[key], first = program(step, batch_size), True
        try:
            logs = programs[key](order, *data)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            if not (first and xla and said == "auto"):
                raise
            xla, refused = False, ", which XLA cannot compile"  # nothing has run yet: once more without
            programs[key] = program(step, batch_size)
            logs = programs[key](order, *data)
        return logs

    def train(data, order):
        return run(model.train_step, tf.constant(order), data)

    def test(data, batch_size):
        return run(model.test_step, tf.range(data[0].shape[0]), data, batch_size)

    return train, test, lambda: "compiled epoch, TensorFlow" + (" with XLA" if xla else refused)


def jax(model, batch_size, examples):
    """The epoch as a `jax.lax.scan`; on a CPU, for nets with convolutions, one compiled step at a time."""
    import jax

    scan = is_dense(model) or jax.default_backend() != "cpu"
    keeps = gives_more_than_metrics(model)
    train_state = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables if model.optimizer else [],
        model.metrics_variables,
    )
    test_state = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)

    def compiled(step_function, variables):
        @jax.jit
        def step(state, data, batch):
            return step_function(state, keras.utils.pack_x_y_sample_weight(*(array[batch] for array in data)))

        @jax.jit
        def scanned(state, data, batches):
            return jax.lax.scan(lambda state, batch: (step(state, data, batch)[1], None), state, batches)[0]

        def epoch(data, order, batch_size):
            state, logs = tuple([v.value for v in group] for group in variables), {}
            looped = len(order) // batch_size
            if keeps and looped * batch_size >= len(order):
                looped -= 1
            batches = order[: looped * batch_size].reshape(-1, batch_size)
            if scan and looped:
                state = scanned(state, data, batches)
            elif looped:
                for batch in batches:
                    state = step(state, data, batch)[1]
            if looped * batch_size < len(order):
                logs, state = step(state, data, order[looped * batch_size :])
            for group, values in zip(variables, state):
                for variable, value in zip(group, values):
                    variable.assign(value)
            return logs

        return epoch

    train_epoch, test_epoch = compiled(model.train_step, train_state), compiled(model.test_step, test_state)

    def train(data, order):
        return train_epoch(data, order, batch_size)

    def test(data, batch_size):
        return test_epoch(data, jax.numpy.arange(len(data[0])), batch_size)

    return train, test, lambda: "compiled epoch, JAX" if scan else "compiled steps, JAX"
