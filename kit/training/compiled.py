"""An epoch as one compiled program: the images lie on the device and a compiled loop feeds Keras' own train_step.

`model.fit` pays for Python, the data pipeline and the callbacks at every batch; for a small net that is most of
the time. Here Python is entered twice an epoch. What a step computes is Keras' own code, so losses, metrics,
optimizers, regularizers and layers need nothing from us.

A back end's function returns `(train, test, engine)`: `train(data, order)` runs one epoch over the examples in the
order of the indices, `test(data)` evaluates; `data` is a pair of tensors, results are left in the model's metrics, and
`engine` says what was chosen.
"""

import contextlib

import keras

# What XLA compiles well on a CPU. Its convolutions are 3 to 5 times slower there than oneDNN's (TensorFlow) and
# single-threaded within a loop (JAX), so a net with any other layer takes the safe way.
DENSE_LAYERS = (
    keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Rescaling,
    keras.layers.Dense, keras.layers.Dropout, keras.layers.BatchNormalization, keras.layers.LayerNormalization,
    keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.Softmax,
    keras.layers.Add, keras.layers.Concatenate,
)  # fmt: skip


def is_dense(model):
    """Whether the net, nested ones included, has none but the layers that XLA compiles well on a CPU."""
    return all(
        is_dense(layer) if isinstance(layer, keras.Model) else type(layer) in DENSE_LAYERS for layer in model.layers
    )


def tensorflow(model, batch_size):
    """The epoch as a `tf.function`, with XLA where Keras chose it (a GPU) and for dense nets on a CPU."""
    import tensorflow as tf

    on_cpu = not tf.config.list_physical_devices("GPU")
    xla = model.jit_compile or (on_cpu and is_dense(model))

    def compiled(step):
        @tf.autograph.experimental.do_not_convert
        def take_step(x, y, batch):
            with _threefry_dropout(tf) if xla and on_cpu else contextlib.nullcontext():
                step((tf.gather(x, batch), tf.gather(y, batch)))

        @tf.function(jit_compile=xla)
        def epoch(x, y, order):
            full = order.shape[0] // batch_size * batch_size
            if full:
                batches = tf.reshape(order[:full], (-1, batch_size))
                for i in tf.range(full // batch_size):
                    take_step(x, y, batches[i])
            if full < order.shape[0]:
                take_step(x, y, order[full:])

        # Not called as it is: TensorFlow would warn, after five nets, that each is traced anew.
        return lambda *arguments: epoch.get_concrete_function(*arguments)(*arguments)

    train_epoch, test_epoch = compiled(model.train_step), compiled(model.test_step)

    def train(data, order):
        train_epoch(*data, tf.constant(order))

    def test(data):
        test_epoch(*data, tf.range(data[0].shape[0]))

    return train, test, "compiled epoch, TensorFlow" + (" with XLA" if xla else "")


@contextlib.contextmanager
def _threefry_dropout(tf):
    """While XLA traces for a CPU, let Keras' dropout draw with Threefry.

    The generator that TensorFlow picks by itself takes fourteen times as long there, and Keras leaves it no choice.
    """
    from keras.src import backend

    def dropout(inputs, rate, noise_shape=None, seed=None):
        draw = backend.random.draw_seed(seed)
        draw = tf.cast(tf.math.floormod(tf.cast(draw, "int64"), tf.int32.max - 1), "int32")
        shape = tf.shape(inputs)
        if noise_shape is not None:
            shape = [shape[i] if size is None else size for i, size in enumerate(noise_shape)]
        return tf.nn.experimental.stateless_dropout(inputs, rate, draw, rng_alg="threefry", noise_shape=shape)

    original, backend.random.dropout = backend.random.dropout, dropout
    try:
        yield
    finally:
        backend.random.dropout = original


def jax(model, batch_size):
    """The epoch as a `jax.lax.scan`; on a CPU, for nets with convolutions, one compiled step at a time."""
    import jax

    scan = is_dense(model) or jax.default_backend() != "cpu"
    train_state = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    test_state = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)

    def compiled(step_function, variables):
        @jax.jit
        def step(state, x, y, batch):
            return step_function(state, (x[batch], y[batch]))[1]

        @jax.jit
        def scanned(state, x, y, batches):
            return jax.lax.scan(lambda state, batch: (step(state, x, y, batch), None), state, batches)[0]

        def epoch(data, order):
            state = tuple([v.value for v in group] for group in variables)
            full = len(order) // batch_size * batch_size
            batches = order[:full].reshape(-1, batch_size)
            if scan and full:
                state = scanned(state, *data, batches)
            elif full:
                for batch in batches:
                    state = step(state, *data, batch)
            if full < len(order):
                state = step(state, *data, order[full:])
            for group, values in zip(variables, state):
                for variable, value in zip(group, values):
                    variable.assign(value)

        return epoch

    train, test_rows = compiled(model.train_step, train_state), compiled(model.test_step, test_state)

    def test(data):
        test_rows(data, jax.numpy.arange(len(data[0])))

    return train, test, "compiled epoch, JAX" if scan else "compiled steps, JAX"
