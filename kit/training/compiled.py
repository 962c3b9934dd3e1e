"""An epoch as one compiled program: the images lie on the device and a compiled loop feeds Keras' own train_step.

`model.fit` pays for Python, the data pipeline and the callbacks at every batch; for a small net that is most of
the time. Here Python is entered twice an epoch. What a step computes is Keras' own code, so losses, metrics,
optimizers, regularizers and layers need nothing from us.

A back end's function makes the program of a net and returns `(train, test, engine)`: `train(model, data, order)` runs
one epoch over the examples in the order of the indices, `test(model, data, batch_size)` evaluates, `engine()` says how.
`data` is a tuple of tensors: x, or x and y, or x, y and sample weights. `model` is the net or one like it, whose values
go into the program and out again. Results are left in its metrics; what the last step gave is returned where it may
be more.
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


def state_of(model):
    """All that a step may change, in the order of Keras' stateless `train_step`: four lists of variables."""
    optimizer = model.optimizer.variables if model.optimizer else []
    return model.trainable_variables, model.non_trainable_variables, optimizer, model.metrics_variables


def uses_xla(model, examples):
    """Whether the epoch is compiled by XLA: asked for, chosen by Keras (a GPU), worth it on a CPU, or JAX."""
    if keras.backend.backend() == "jax" or model.jit_compile:
        return True
    pays = is_dense(model) and examples >= XLA_PAYS_FROM
    return pays and hooks.said_of_jit_compile(model) == "auto" and on_cpu()


def on_cpu():
    """Whether the back end has nothing but a CPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def build(model, batch):
    """Give metrics, loss and optimizer their variables before the epoch is traced, by a batch that leaves no trace."""
    x, y, weights = keras.utils.unpack_x_y_sample_weight(tuple(map(keras.ops.convert_to_tensor, batch)))
    judged = model.loss is not None or "compile_metrics" in model.metrics_names
    known = model.outputs[0] if model.built and getattr(model, "outputs", None) else None
    if known is not None and None not in known.shape[1:]:
        predicted = keras.ops.zeros((len(batch[0]), *known.shape[1:]), known.dtype)
    elif judged or not model.built:
        predicted = model(x)
    try:
        if judged and model.loss is not None:
            model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weights)
        if judged:
            model.compute_metrics(x, y, predicted, weights)
    except Exception as error:
        parts = [part for part in keras.tree.flatten(model.loss) if not isinstance(part, str)]
        if any(not (part if callable(part) else type(part)).__module__.startswith("keras.") for part in parts):
            raise  # a loss of the user's own, with its own trace
        fault = " ".join(str(error).split())[:200]
        shapes = f"y of {tuple(y.shape)} for predictions of {tuple(predicted.shape)}"
        raise ValueError(f"loss or metrics cannot take {shapes}: {fault}") from None
    model.reset_metrics()
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def tensorflow(net, batch_size, examples):
    """The epoch as a `tf.function`, with XLA or without."""
    import tensorflow as tf

    xla = uses_xla(net, examples)
    drops = any(isinstance(layer, keras.layers.Dropout) for layer in layers_of(net))
    refused = ""  # what is said where XLA could not compile
    keeps = gives_more_than_metrics(net)
    programs = {}

    def program(step, batch_size):
        @tf.autograph.experimental.do_not_convert
        def take_step(data, batch):
            with hooks.threefry_dropout() if xla and on_cpu() and drops else contextlib.nullcontext():
                return step(keras.utils.pack_x_y_sample_weight(*(tf.gather(array, batch) for array in data)))

        @tf.function(jit_compile=xla)
        def epoch(order, *data):
            # XLA wants batches of one size, and to know their number. Without it the partial batch at the end needs no
            # program of its own, and one program serves any number of examples.
            examples = order.shape[0] if xla else tf.shape(order)[0]
            looped = examples // batch_size if xla else (examples + batch_size - 1) // batch_size - keeps
            if xla and keeps and looped * batch_size >= examples:
                looped -= 1
            if not xla or looped > 0:  # XLA reads the body of a loop that is never entered
                for i in tf.range(looped):
                    start = i * batch_size
                    batch = tf.slice(order, [start], [batch_size]) if xla else order[start : start + batch_size]
                    take_step(data, batch)
            rest = order[looped * batch_size :]
            logs = take_step(data, rest) if keeps or rest.shape[0] else {}
            return logs if keeps else {}

        def run(*arrays):
            kinds = arrays if xla else [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in arrays]
            # Not called as it is: TensorFlow would warn, after five nets, that each is traced anew.
            return epoch.get_concrete_function(*kinds)(*arrays)

        return run

    def run(model, step, order, data, batch_size=batch_size):
        nonlocal xla, refused
        key, first = (step.__name__, batch_size), False
        if key not in programs:
            programs[key], first = program(step, batch_size), True
        _carry(model, net)
        try:
            return programs[key](order, *data)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            if not (first and xla and hooks.said_of_jit_compile(net) == "auto"):
                raise
            xla, refused = False, ", which XLA cannot compile"  # nothing has run yet: once more without
            programs[key] = program(step, batch_size)
            return programs[key](order, *data)
        finally:
            _carry(net, model)

    def train(model, data, order):
        return run(model, net.train_step, tf.constant(order), data)

    def test(model, data, batch_size):
        return run(model, net.test_step, tf.range(data[0].shape[0]), data, batch_size)

    return train, test, lambda: "compiled epoch, TensorFlow" + (" with XLA" if xla else refused)


def _carry(source, target):
    """Give a net the values of all variables of another like it."""
    if source is not target:
        for values, variables in zip(state_of(source), state_of(target)):
            for value, variable in zip(values, variables):
                variable.assign(value)


def jax(net, batch_size, examples):
    """The epoch as a `jax.lax.scan`; on a CPU, for nets with convolutions, one compiled step at a time."""
    import jax

    scan = is_dense(net) or not on_cpu()
    keeps = gives_more_than_metrics(net)

    def compiled(step_function, groups):
        @jax.jit
        def step(state, data, batch):
            return step_function(state, keras.utils.pack_x_y_sample_weight(*(array[batch] for array in data)))

        @jax.jit
        def scanned(state, data, batches):
            return jax.lax.scan(lambda state, batch: (step(state, data, batch)[1], None), state, batches)[0]

        def epoch(model, data, order, batch_size=batch_size):
            variables = [state_of(model)[group] for group in groups]
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
            return logs if keeps else {}

        return epoch

    train, evaluate = compiled(net.train_step, (0, 1, 2, 3)), compiled(net.test_step, (0, 1, 3))

    def test(model, data, batch_size):
        return evaluate(model, data, jax.numpy.arange(len(data[0])), batch_size)

    return train, test, lambda: "compiled epoch, JAX" if scan else "compiled steps, JAX"
