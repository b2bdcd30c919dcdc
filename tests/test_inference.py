import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infogan_jax


def test_a_large_sample_begins_with_the_small_one(tiny, state, key):
    many = infogan_jax.sample(tiny, state, key, 64)
    few = infogan_jax.sample(tiny, state, key, 10)
    np.testing.assert_array_equal(many.z[:10], few.z)
    np.testing.assert_array_equal(many.c[:10], few.c)
    np.testing.assert_allclose(many.images[:10], few.images, atol=1e-6)


def test_samples_lie_in_the_unit_range_and_generate_gives_them_again(tiny, state, key):
    images, z, c = infogan_jax.sample(tiny, state, key, 5)
    assert images.shape == (5, 8, 8, 1) and images.dtype == jnp.float32
    assert images.min() >= 0 and images.max() <= 1
    again = infogan_jax.generate(tiny, state, z, c)
    np.testing.assert_allclose(again, images, atol=1e-6)


def test_codes_can_be_set_by_people_and_by_arrays(tiny, state, key):
    free = infogan_jax.sample(tiny, state, key, 4)
    by_name = infogan_jax.sample(tiny, state, key, 4, c={0: 2})
    np.testing.assert_array_equal(by_name.c[:, :3], [[0, 0, 1]] * 4)
    np.testing.assert_array_equal(by_name.c[:, 3], free.c[:, 3])
    np.testing.assert_array_equal(by_name.z, free.z)
    by_array = infogan_jax.sample(tiny, state, key, 4, c=np.array([1, 0, 0, 0.5]))
    np.testing.assert_array_equal(by_array.c, [[1, 0, 0, 0.5]] * 4)


def test_latents_of_whole_numbers_draw_what_floats_do(tiny, state):
    z, c = jnp.ones((2, 4)), jnp.eye(2, 4)
    images = infogan_jax.generate(tiny, state, z, c)
    assert not np.array_equal(images[0], images[1])
    whole = (np.asarray(x, np.int32) for x in (z, c))
    np.testing.assert_array_equal(infogan_jax.generate(tiny, state, *whole), images)


def test_infer_reads_one_image_like_many(tiny, state, dataset):
    many = infogan_jax.infer(tiny, state, dataset["image"][:8])
    one = infogan_jax.infer(tiny, state, dataset["image"][3:4])
    assert many.shape == (8, tiny.codes.n_params)
    np.testing.assert_allclose(one[0], many[3], rtol=1e-4, atol=1e-6)


def test_a_server_may_export_g_and_q_for_batches_of_any_size(tiny, state, key):
    (n,) = jax.export.symbolic_shape("n")
    images, z, c = infogan_jax.sample(tiny, state, key, 5)
    for function, inputs in (
        (lambda z, c: infogan_jax.generate(tiny, state, z, c), (z, c)),
        (lambda x: infogan_jax.infer(tiny, state, x), (images,)),
        (lambda x: infogan_jax.infer(tiny, state, x), (np.uint8(255 * images),)),
    ):
        kinds = [jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype) for x in inputs]
        served = jax.export.export(jax.jit(function))(*kinds)
        for rows in (slice(5), slice(2)):
            some = [x[rows] for x in inputs]
            np.testing.assert_allclose(
                served.call(*some), function(*some), rtol=1e-4, atol=1e-6
            )


@pytest.mark.parametrize("own", [None, [-1.0, 0.25, 1.5]])
def test_along_a_traversal_only_one_code_moves(tiny, state, key, own):
    drawn = infogan_jax.sample(tiny, state, key, 2)
    values = None if own is None else np.array(own, np.float32)[:, None]
    images = infogan_jax.traverse(tiny, state, key, 1, rows=2, steps=5, values=values)
    shown = np.linspace(-1, 1, 5) if own is None else own
    assert images.shape == (2, len(shown), 8, 8, 1)
    for column, value in enumerate(shown):
        c = drawn.c.at[:, 3].set(float(value))
        expected = infogan_jax.generate(tiny, state, drawn.z, c)
        np.testing.assert_allclose(images[:, column], expected, atol=1e-6)


def test_samples_come_from_the_average_of_g_where_there_is_one(tiny, state, key):
    other = infogan_jax.init(tiny, jax.random.key(1)).nets["g"]
    drawn = infogan_jax.sample(tiny, state.replace(ema={"g": other}), key, 3)
    theirs, live = (
        infogan_jax.generate(tiny, s, drawn.z, drawn.c)
        for s in (state.replace(nets=state.nets | {"g": other}), state)
    )
    np.testing.assert_allclose(drawn.images, theirs, atol=1e-6)
    assert np.abs(theirs - live).max() > 1e-3


def test_sampling_is_jittable_with_the_config_static(tiny, state, key):
    jitted = jax.jit(lambda s, k: infogan_jax.sample(tiny, s, k, 3).images)
    expected = infogan_jax.sample(tiny, state, key, 3).images
    np.testing.assert_allclose(jitted(state, key), expected, atol=1e-6)


@pytest.mark.parametrize(
    "wish",
    [
        lambda *a: infogan_jax.sample(*a, 0),
        lambda *a: infogan_jax.sample(*a, 2, c={5: 1}),
        lambda *a: infogan_jax.sample(*a, 2, c={0: 3}),
        lambda *a: infogan_jax.sample(*a, 2, c=np.zeros(7)),
        lambda *a: infogan_jax.traverse(*a, 2),
        lambda *a: infogan_jax.traverse(*a, 1, values=np.zeros((4, 2))),
    ],
)
def test_impossible_samples_are_refused(tiny, state, key, wish):
    with pytest.raises(ValueError):
        wish(tiny, state, key)


def test_latents_of_a_wrong_width_are_refused(tiny, state):
    with pytest.raises(ValueError, match="z and c have shapes"):
        infogan_jax.generate(tiny, state, jnp.zeros((2, 3)), jnp.zeros((2, 4)))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 9, 8, 1), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((2, 8, 8, 1), np.int64),
        np.full((2, 8, 8, 1), 2.0, np.float32),
    ],
)
def test_impossible_images_are_refused(tiny, state, images):
    with pytest.raises(ValueError):
        infogan_jax.infer(tiny, state, images)


def test_jax_sees_no_key_used_twice_in_a_sample(tiny, state):
    with jax.debug_key_reuse(True):
        infogan_jax.sample(tiny, state, jax.random.key(8), 3)
