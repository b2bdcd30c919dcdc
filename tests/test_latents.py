import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from infogan_jax.latents import Bernoulli, Categorical, Gaussian, Product, Uniform

ALL = [
    Categorical(10),
    Bernoulli(size=2, p=0.3),
    Uniform(size=2),
    Uniform(sigma=1.0),
    Gaussian(size=3),
    Product((Categorical(3), Uniform(size=2), Bernoulli())),
]


def draws(latent, n, seed=0):
    return jax.vmap(latent.sample)(jax.random.split(jax.random.key(seed), n))


@pytest.mark.parametrize("latent", ALL, ids=repr)
def test_every_latent_keeps_the_protocol(latent):
    c = draws(latent, 5)
    q = jax.random.normal(jax.random.key(1), (5, latent.n_params))
    per_code = (5, len(latent.parts)) if isinstance(latent, Product) else (5,)
    assert c.shape == latent.mean(q).shape == (5, latent.dim)
    assert latent.log_q(q, c).shape == latent.log_prob(c).shape == per_code
    for part in getattr(latent, "parts", [latent]):
        assert part.grid(4).shape == (4, part.dim)


@pytest.mark.parametrize("latent", ALL, ids=repr)
def test_entropy_is_the_mean_of_minus_log_prob(latent):
    surprise = -np.asarray(latent.log_prob(draws(latent, 20_000)), np.float64)
    error = 5 * surprise.std(0) / math.sqrt(len(surprise)) + 1e-5
    assert np.all(np.abs(surprise.mean(0) - latent.entropy()) <= error)


@pytest.mark.parametrize(
    ("latent", "expected"),
    [
        (Categorical(10), 2.302585),
        (Product((Categorical(10),) * 4), 9.210340),
        (Product((Categorical(10),) * 10), 23.025851),
        (Product((Categorical(20),) * 3), 8.987197),
        (Uniform(), 0.693147),
        (Gaussian(), 1.418939),
        (Bernoulli(), 0.693147),
        (Bernoulli(p=0.25), 0.562335),
    ],
)
def test_entropies_are_exact(latent, expected):
    assert np.sum(latent.entropy()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "latent",
    [
        Uniform(),
        Uniform(sigma_min=1e-6),
        Uniform(size=2, sigma=1.0),
        Gaussian(sigma_min=0.2),
        Gaussian(sigma=2),
    ],
    ids=repr,
)
def test_bounds_are_what_a_blind_and_an_exact_q_reach(latent):
    c = draws(latent, 20_000)

    def reached(mean, raw):
        learned = latent.n_params > latent.size
        q = jnp.concatenate([mean, jnp.full_like(c, raw)], -1) if learned else mean
        return float(latent.log_q(q, c).mean() + latent.entropy())

    blind, exact = latent.bounds()
    blindly = max(reached(jnp.zeros_like(c), raw) for raw in np.linspace(-4, 2, 61))
    assert blindly == pytest.approx(blind, abs=0.02)
    assert reached(c, -100.0) == pytest.approx(exact, abs=0.001)


@pytest.mark.parametrize("latent", [Categorical(4), Bernoulli(size=2, p=0.3)], ids=repr)
def test_a_discrete_code_is_bounded_by_nothing_and_its_entropy(latent):
    assert latent.bounds() == (0.0, latent.entropy())


@pytest.mark.parametrize(
    ("latent", "mean", "variance", "fourth"),
    [
        (Uniform(), 0.0, 1 / 3, 1 / 5),
        (Gaussian(), 0.0, 1.0, 3.0),
        (Bernoulli(p=0.3), 0.3, 0.21, 0.21 * (1 - 3 * 0.21)),
    ],
)
def test_moments_of_a_million_draws(latent, mean, variance, fourth):
    n = 1_000_000
    c = np.asarray(draws(latent, n), np.float64).ravel()
    assert abs(c.mean() - mean) <= 4 * math.sqrt(variance / n)
    second = ((c - mean) ** 2).mean()
    assert abs(second - variance) <= 4 * math.sqrt((fourth - variance**2) / n)


def test_a_million_rolls_are_fair():
    counts = np.asarray(draws(Categorical(10), 1_000_000)).sum(0)
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(
    ("sigma", "r", "expected"),
    [
        (1.0, 0.0, -0.2258),
        (0.4839, 0.4839, 0.0),
        (0.1, 0.1, 1.577),
        (1e-3, 1e-3, 6.182),
        (0.4839, 0.0, 0.500),
        (0.1, 0.0, 2.077),
        (1e-3, 0.0, 6.682),
    ],
)
def test_bound_of_a_uniform_code_has_its_exact_values(sigma, r, expected):
    code = Product((Uniform(sigma=sigma),))
    c = jnp.zeros((1, 1))
    assert code.information(c + r, c)[0] == pytest.approx(expected, abs=3e-4)


def test_the_released_codes_normal_prior_is_a_sixth_of_a_nat_off_the_uniform_one():
    c = draws(Uniform(), 1_000_000)
    gained = Gaussian().log_prob(jnp.zeros((1, 1)))[0] - Gaussian().log_prob(c).mean()
    assert gained == pytest.approx(1 / 6, abs=1e-3)


@pytest.mark.parametrize("kind", [Uniform, Gaussian])
def test_log_q_of_a_learned_sigma_is_scipys_log_density(kind):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        mean, raw, c = (rng.normal(size=(6, 2)) for _ in range(3))
        latent = kind(size=2, sigma_min=0.2)
        sigma = 0.2 + np.exp(10 * np.tanh(raw / 10))
        expected = stats.norm.logpdf(c, mean, sigma).sum(1)
        found = latent.log_q(jnp.concatenate([mean, raw], 1), jnp.asarray(c))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_log_q_of_a_fixed_sigma_is_scipys_log_density():
    c, q = np.array([[0.3, -0.2]]), np.array([[0.1, 0.5]])
    expected = stats.norm.logpdf(c, q, 0.7).sum()
    with jax.enable_x64(True):
        found = Uniform(size=2, sigma=0.7).log_q(jnp.asarray(q), jnp.asarray(c))
        assert float(found[0]) == pytest.approx(expected, rel=1e-6)


def test_means_and_grids_have_their_hand_values():
    q = jnp.log(jnp.array([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(Categorical(3).mean(q), [[1 / 8, 2 / 8, 5 / 8]], 1e-6)
    odds = jnp.log(jnp.array([[3.0]]))
    np.testing.assert_allclose(Bernoulli().mean(odds), [[0.75]], 1e-6)
    assert Gaussian(size=2).grid(5).tolist() == [[v, v] for v in (-2, -1, 0, 1, 2)]
    assert Bernoulli(size=2).grid(3).tolist() == [[0, 0], [1, 1], [0, 0]]
    assert Categorical(2).grid(3).tolist() == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("raw", [-50.0, 0.0, 50.0])
def test_value_and_gradient_are_finite_and_alive_at_any_raw_sigma(raw):
    def bound(raw):
        return Uniform().log_q(jnp.stack([jnp.zeros(1), raw], 1), jnp.ones((1, 1)))[0]

    value, gradient = jax.value_and_grad(bound)(jnp.array([raw]))
    assert np.isfinite(value) and np.isfinite(gradient[0]) and gradient[0] != 0


def test_sigma_never_falls_below_its_bound():
    _, sigma = Uniform(sigma_min=0.1).moments(jnp.array([[0.0, -1e4]]))
    assert sigma[0, 0] >= 0.1


def test_squared_error_is_the_fixed_sigma_case_with_its_half():
    c, q = jnp.array([[0.4]]), jnp.array([[0.1]])
    gradient = jax.grad(lambda q: -Uniform(sigma=0.5).log_q(q, c).sum())(q)
    by_hand = jax.grad(lambda q: (0.5 * (q - c) ** 2 / 0.5**2).sum())(q)
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-6)


@pytest.mark.parametrize("latent", ALL, ids=repr)
def test_log_prob_has_its_codes_dtype_where_64_bits_are_on(latent):
    with jax.enable_x64(True):
        code = jnp.zeros((2, latent.dim), jnp.float32)
        assert latent.log_prob(code).dtype == jnp.float32


@pytest.mark.parametrize(
    ("latent", "code", "expected"),
    [
        (Categorical(3), [0, 0, 1], -math.log(3)),
        (Bernoulli(size=2, p=0.3), [0, 1], math.log(0.7) + math.log(0.3)),
        (Uniform(size=2), [0, 1], -2 * math.log(2)),
        (Uniform(size=2), [0, 2], -math.inf),
        (Gaussian(size=2), [0, 1], -math.log(2 * math.pi) - 0.5),
    ],
)
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32, np.float64])
def test_log_prob_takes_codes_of_whole_numbers_too(latent, code, expected, dtype):
    found = latent.log_prob(np.array([code], dtype))
    assert found.tolist() == [pytest.approx(expected)]


@pytest.mark.parametrize("latent", [*ALL, Uniform(sigma=0.5)], ids=repr)
def test_parameters_of_whole_numbers_are_those_of_as_many_floats(latent):
    q = np.arange(3 * latent.n_params, dtype=np.int32).reshape(3, -1) % 3 - 1
    c = draws(latent, 3)
    for found in (latent.mean, lambda q: latent.log_q(q, c)):
        np.testing.assert_array_equal(found(q), found(q.astype(np.float32)))


def test_perfect_logits_cost_nothing():
    c = jnp.eye(10)
    assert (-Categorical(10).log_q(20 * c, c)).max() < 1e-4


def test_categorical_log_q_is_log_softmax_worked_by_hand():
    # softmax of (ln 1, ln 2, ln 5) is (1, 2, 5) / 8.
    q, c = jnp.log(jnp.array([[1.0, 2.0, 5.0]])), jnp.array([[0.0, 0.0, 1.0]])
    assert Categorical(3).log_q(q, c)[0] == pytest.approx(math.log(5 / 8), rel=1e-6)


def test_bernoulli_log_q_is_the_log_likelihood():
    q, c = np.array([[0.3, -2.0]]), np.array([[1.0, 0.0]])
    p = 1 / (1 + np.exp(-q))
    expected = np.log(np.where(c == 1, p, 1 - p)).sum()
    found = Bernoulli(size=2).log_q(jnp.float32(q), jnp.float32(c))
    assert found[0] == pytest.approx(expected, rel=1e-6)


def test_information_of_a_product_is_that_of_its_parts():
    parts = (Categorical(3), Gaussian(size=2))
    codes = Product(parts)
    c = draws(codes, 64)
    q = jax.random.normal(jax.random.key(2), (64, codes.n_params))
    split = zip(parts, (q[:, :3], q[:, 3:]), (c[:, :3], c[:, 3:]), strict=True)
    expected = [p.log_q(qi, ci).mean() + p.entropy() for p, qi, ci in split]
    np.testing.assert_allclose(codes.information(q, c), expected, rtol=1e-5)


def test_assign_sets_named_codes_and_leaves_the_others():
    codes = Product((Categorical(3), Uniform(), Bernoulli()))
    c = draws(codes, 2)
    set_to = codes.assign(c, {0: 2, 1: -0.5})
    np.testing.assert_array_equal(set_to[:, :4], [[0, 0, 1, -0.5]] * 2)
    np.testing.assert_array_equal(set_to[:, 4], c[:, 4])


@pytest.mark.parametrize("values", [{3: 0}, {0: 3}, {0: 0.5}, {1: 1.5}, {2: 0.5}])
def test_assign_refuses_what_is_not_in_the_prior(values):
    codes = Product((Categorical(3), Uniform(), Bernoulli()))
    with pytest.raises(ValueError, match="code"):
        codes.assign(jnp.zeros((1, codes.dim)), values)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Categorical(1),
        lambda: Bernoulli(p=1.0),
        lambda: Bernoulli(size=0),
        lambda: Uniform(size=0),
        lambda: Uniform(sigma=0.0),
        lambda: Gaussian(sigma_min=-0.1),
        lambda: Product(()),
        lambda: Product([Categorical(2)]),
    ],
)
def test_impossible_latents_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_a_uniform_code_has_no_values_beside_its_range():
    for value in (-1.5, 1.5):
        with pytest.raises(ValueError, match="outside"):
            Uniform().encode(value)
        assert Uniform().log_prob(np.array([[value]])) == -math.inf


def test_a_blind_q_is_no_surer_than_its_bound_lets_it():
    blind, exact = Uniform(sigma_min=1.0).bounds()
    # ln 2 - ln(2 pi) / 2 - r^2 / 2 with r^2 = 1/3, and with r = 0.
    assert blind == pytest.approx(-0.2258 - 1 / 6, abs=1e-4)
    assert exact == pytest.approx(-0.2258, abs=1e-4)
