"""What a trained model has learned, in numbers.

No term of the library reads a label; only these measures do.

Everything goes through Q with running statistics and the last ("live") parameters; the
recovery of codes from fakes goes through G's running average where there is one.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from infogan_jax import (
    checks,
    inference,
    latents,
    metrics,
    sharding,
    training,
    types,
)
from infogan_jax import config as config_lib

Config = config_lib.Config
TrainState = training.TrainState

_CHUNKS = (1000, 500, 200, 100, 50, 20, 10, 5, 2, 1)  # Each divides _FAKES.
_FAKES = 10_000


def infer_all(config: Config, state: TrainState, images: types.Array) -> np.ndarray:
    """Q's parameters for any number of images, [N, n_params].

    A thousand are read at a time, or as many as `inference.most_at_once` allows.

    Args:
      config: the configuration.
      state: the state.
      images: [N, H, W, C], bytes or float32 in [0, 1].

    Raises:
      ValueError: the images do not fit the config.
    """
    if sharding.is_sharded(images):  # Pieces do not begin where a thousand does.
        images = jax.device_get(images)
    n = _at_once(config)
    # At least one: of no images `infer` raises its error.
    chunks = range(0, max(1, len(images)), n)
    parts = [inference.infer(config, state, images[i : i + n]) for i in chunks]
    return np.concatenate([np.asarray(part) for part in parts])


def represent(config: Config, state: TrainState, images: types.Array) -> np.ndarray:
    """The means of Q(c|x) for any number of images, [N, config.codes.dim].

    Args and errors are those of `infer_all`.
    """
    return np.asarray(config.codes.mean(infer_all(config, state, images)))


def category(config: Config, q: types.Array) -> np.ndarray:
    """The most likely value of the first categorical code, int [N].

    Args:
      config: the configuration.
      q: Q's parameters [N, codes.n_params], as `infer` gives them.

    Raises:
      ValueError: the config has no categorical code.
    """
    return _logits(config, q).argmax(1)


def has_labels(split: types.Rows) -> bool:
    """Whether the label of any image of a split is known.

    Raises:
      ValueError: the labels are no integers.
    """
    if split.get("label") is None:
        return False
    labels = np.asarray(split["label"])
    if labels.dtype.kind not in "biu":
        raise ValueError(
            f"labels must be integers, -1 where unknown, not {labels.dtype}; number "
            "them."
        )
    return bool((labels >= 0).any())


def can_cluster(config: Config, split: types.Rows) -> bool:
    """Whether there are a categorical code and labels to compare it with.

    Raises:
      ValueError: as `has_labels`.
    """
    categorical = any(isinstance(p, latents.Categorical) for p in config.codes.parts)
    return categorical and has_labels(split)


def clustering(
    config: Config, state: TrainState, split: types.Rows, *, n_labels: int | None = None
) -> dict[str, Any]:
    """How categories and labels agree on a split: the usual unsupervised figures.

    Args:
      config: the configuration.
      state: the state.
      split: {"image", "label"}.
      n_labels: how many labels there are; those up to the split's highest by default.

    Returns:
      "confusion" [categories, labels], and of it "hungarian" accuracy (the matching is
      fitted on these very images), "nmi" and "ari"; and, for which no label is read,
      "image_information": `metrics.image_information` in nats.

    Raises:
      ValueError: no categorical code, no known label, labels that are no integers or
        not below `n_labels`, or images or a state that do not fit the config.
    """
    if not has_labels(split):
        raise ValueError(
            "the split has no known label; give split['label'], integers [N], -1 where "
            "unknown."
        )
    logits, counts = _confusion(config, state, split, n_labels)
    return {
        "image_information": metrics.image_information(jax.nn.softmax(logits)),
        "confusion": counts.tolist(),
        "hungarian": metrics.cluster_accuracy(counts),
        "nmi": metrics.nmi(counts),
        "ari": metrics.ari(counts),
    }


def recovery(config: Config, state: TrainState, key: jax.Array) -> list[dict[str, Any]]:
    """How well Q recovers c from G(z, c), on 10,000 fresh fakes.

    Args:
      config: the configuration.
      state: the state.
      key: of the fakes.

    Returns:
      For each code: "kind", "information" (L_I in nats), "entropy" (H(c)), and
      "recovered": for a `Categorical` or `Bernoulli` code the share of values found,
      for any other Pearson's correlation with Q's mean, averaged over dimensions; and
      "measure", "share" or "correlation", which of the two that is.

    Raises:
      ValueError: a state that does not fit the config.
    """
    bounds, means, codes = [], [], []
    n = _at_once(config)
    for i in range(_FAKES // n):
        fakes = inference.sample(config, state, jax.random.fold_in(key, i), n)
        q = inference.infer(config, state, fakes.images)
        bounds.append(np.asarray(config.codes.information(q, fakes.c)))
        means.append(config.codes.mean(q))
        codes.append(fakes.c)
    bound = np.mean(bounds, 0)
    pairs = zip(
        config.codes.parts,
        config.codes.split(jnp.concatenate(means)),
        config.codes.split(jnp.concatenate(codes)),
        strict=True,
    )
    return [
        {
            "kind": type(part).__name__,
            "information": float(bound[i]),
            "entropy": float(part.entropy()),
            **_recovered(part, np.asarray(mean), np.asarray(code)),
        }
        for i, (part, mean, code) in enumerate(pairs)
    ]


def evaluate(
    config: Config,
    state: TrainState,
    train: types.Rows,
    test: types.Rows,
    key: jax.Array,
) -> dict[str, Any]:
    """`recovery`, and `clustering` of the test split by labels that training fits.

    Args:
      config: the configuration.
      state: the state.
      train: {"image", "label"}; fits the map from categories to labels. A label is -1
        where it is unknown; all may be None, or missing.
      test: the same; is measured.
      key: of the fakes.

    Returns:
      "step", "parameters" ("live", or "averaged G", which then drew the fakes), "codes"
      (see `recovery`), and, if there is a categorical code and labels are known, those
      of `clustering` on the test split, "code" (which one it is), "label_of" (of each
      category, fitted on the training split), "accuracy" by it, and "test_images", how
      many have a label.

    Raises:
      ValueError: images or a state that do not fit the config.
    """
    checks.check_nets(state, "g", "trunk", "q")
    report: dict[str, Any] = {
        "step": int(state.step),
        "parameters": "averaged G" if state.ema else "live",
        "codes": recovery(config, state, key),
    }
    if can_cluster(config, train) and can_cluster(config, test):
        # Either split may lack the labels of few images. Their integers may differ in
        # type, of which NumPy would make floats.
        found = np.union1d(*(np.int64(split["label"]) for split in (train, test)))
        labels = found[found >= 0]
        n_labels = 1 + int(labels[-1])
        counts = _confusion(config, state, train, n_labels)[1]
        label_of = metrics.match(counts, labels)
        report |= clustering(config, state, test, n_labels=n_labels)
        report["code"] = _categorical_index(config)
        report["label_of"] = label_of.tolist()
        report["accuracy"] = metrics.accuracy(report["confusion"], label_of)
        report["test_images"] = int((np.asarray(test["label"]) >= 0).sum())
    return report


def describe(report: Mapping[str, Any]) -> str:
    """The report of `evaluate` in a few lines for people."""
    lines = [f"after {report['step']} updates, {report['parameters']} parameters:"]
    for i, code in enumerate(report["codes"]):
        what = "recovered" if code["measure"] == "share" else code["measure"]
        lines.append(
            f"  code {i} ({code['kind']}): L_I {code['information']:.3f} nats, H(c) "
            f"{code['entropy']:.3f}, {what} from fakes {code['recovered']:.3f}"
        )
    if "accuracy" in report:
        lines += [
            f"  held-out accuracy {report['accuracy']:.4f} on {report['test_images']} "
            "labelled test images (map fitted on training labels)",
            f"  Hungarian on the test images themselves {report['hungarian']:.4f}, "
            f"NMI {report['nmi']:.4f}, ARI {report['ari']:.4f}",
            "  information of Q on them, by which seeds are compared without labels: "
            f"{report['image_information']:.4f} nats",
            "  category -> label: "
            + ", ".join(
                f"{c} -> {label}" for c, label in enumerate(report["label_of"])
            ),
            "  confusion (rows: categories, columns: labels):",
        ]
        width = len(str(np.max(report["confusion"]))) + 1
        for row, counts in enumerate(report["confusion"]):
            cells = "".join(f"{count:{width}}" for count in counts)
            lines.append(f"    {row:2}:{cells}")
    return "\n".join(lines)


def _at_once(config):
    """How many images to have in memory at once."""
    return next(n for n in _CHUNKS if n <= inference.most_at_once(config))


def _confusion(config, state, split, n_labels):
    """Q's logits [N, n] of the first categorical code, and counts [n, n_labels]."""
    logits = _logits(config, infer_all(config, state, split["image"]))
    labels = np.asarray(split["label"])
    n = logits.shape[1]
    return logits, metrics.contingency(logits.argmax(1), labels, n, n_labels)


def _logits(config, q):
    """Q's parameters of the first categorical code, [N, n]."""
    parts = config.codes.split_params(jnp.asarray(q))
    return np.asarray(parts[_categorical_index(config)])


def _categorical_index(config):
    for index, part in enumerate(config.codes.parts):
        if isinstance(part, latents.Categorical):
            return index
    raise ValueError("this config has no categorical code to compare with labels.")


def _recovered(part, mean, code):
    if isinstance(part, latents.Categorical):
        measure, found = "share", (mean.argmax(1) == code.argmax(1)).mean()
    elif isinstance(part, latents.Bernoulli):
        measure, found = "share", ((mean > 0.5) == (code > 0.5)).mean()
    else:
        pairs = zip(mean.T, code.T, strict=True)
        correlations = [metrics.correlation(*pair) for pair in pairs]
        measure, found = "correlation", np.mean(correlations)
    return {"recovered": float(found), "measure": measure}
