"""What measures: the benchmark, endurance, sweeps of a code, and what fakes teach."""

import builtins
import contextlib
import dataclasses
import errno
import itertools
import json
import operator
import pathlib
import shutil
import time
import types

import accelerator
import benchmark
import contenders
import endurance
import fakes
import figure1
import jax
import numpy as np
import operations
import pytest
import sweeps
from sklearn import svm

import infogan_jax
from infogan_jax import data, latents, presets

RESULTS = pathlib.Path(__file__).parent.parent / "experiments" / "results"


def test_a_run_that_cannot_be_studied_leaves_the_others_their_rows(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sweeps, "judge", lambda dataset: (None, 0.95))

    def study(run, dataset, digits_of):
        if run == "bad":
            raise ValueError("all its fakes are a 7.")
        return [{"run": run, "share": 0.5}]

    path = tmp_path / "rows.json"
    argv = ["one", "bad", "two", "--json", str(path)]
    assert sweeps.report(argv, "", study, ("run", "share"), 2) == 2
    shown = capsys.readouterr()
    assert shown.err == "error: bad: all its fakes are a 7.\n"
    assert "| one | 0.50 |" in shown.out and "| two | 0.50 |" in shown.out
    rows = json.loads(path.read_text())
    assert [row["run"] for row in rows] == ["one", "two"]
    assert {row["judge"] for row in rows} == {"bundled"}
    assert {row["judge_right"] for row in rows} == {0.95}
    nowhere = ["one", "--json", str(tmp_path / "no" / "rows.json")]
    assert sweeps.report(nowhere, "", study, ("run", "share"), 2) == 2
    assert "| one" not in capsys.readouterr().out


def test_a_judge_needs_labels():
    dataset = data.load("bundled")
    unlabelled = dataset.train | {"label": np.full_like(dataset.train["label"], -1)}
    with pytest.raises(ValueError, match="no labels of two classes"):
        sweeps.judge(dataclasses.replace(dataset, train=unlabelled))


def test_a_judge_learns_from_labels_alone():
    dataset = data.load("bundled")
    some = {name: x[:900] for name, x in dataset.train.items()}
    hidden = some | {"label": np.where(np.arange(900) % 3, some["label"], -1)}
    known = {name: x[np.arange(900) % 3 > 0] for name, x in some.items()}
    (_, expected), (digits_of, found) = (
        sweeps.judge(dataclasses.replace(dataset, train=train), 500)
        for train in (known, hidden)
    )
    assert found == expected > 0.8
    test = dataset.test | {"label": np.where(np.arange(2000) % 2, 10, -1)}
    assert sweeps.judge(dataclasses.replace(dataset, train=some, test=test))[1] == 0


def test_fakes_that_are_real_digits_teach_what_digits_teach(monkeypatch):
    dataset = data.load("bundled")
    images, digits = dataset.train["image"][:600] / 255, dataset.train["label"][:600]
    category = (digits + 3) % 10  # Digits by other names.
    c = np.eye(12)[category]  # Two more codes are 0.
    for module, name, found in (
        (fakes.infogan_jax, "restore", (presets.PAPER, None)),
        (fakes.infogan_jax, "sample", (images, None, c)),
        (fakes.evaluation, "clustering", {"hungarian": 0.5}),
    ):
        monkeypatch.setattr(module, name, lambda *_, found=found: found)
    [row] = fakes.study("a run", dataset, lambda images: digits)
    read = svm.SVC(C=10).fit(images.reshape(600, -1), digits)
    flat = dataset.test["image"].reshape(2000, -1) / 255
    right = read.score(flat, dataset.test["label"])
    assert row == {
        "run": "a run",
        "q": 0.5,
        "pure": 1.0,
        "taught_categories": pytest.approx(right, abs=0.005),  # Ties fall otherwise.
        "taught_digits": pytest.approx(right),
    }
    # Of 600 fakes every sixth now has the category of another digit.
    c[::6] = np.eye(12)[(category[::6] + 1) % 10]
    [row] = fakes.study("a run", dataset, lambda images: digits)
    assert row["pure"] == pytest.approx(5 / 6, abs=1e-6)
    assert row["taught_categories"] < row["taught_digits"] == pytest.approx(right)
    # Digits need no map: a judge that takes every 3 for a 5 teaches it.
    swapped = np.select([digits == 3, digits == 5], [5, 3], digits)
    [row] = fakes.study("a run", dataset, lambda images: swapped)
    read = svm.SVC(C=10).fit(images.reshape(600, -1), swapped)
    wrong = read.score(flat, dataset.test["label"])
    assert row["taught_digits"] == pytest.approx(wrong) and wrong < right - 0.1


def test_a_run_without_the_codes_that_are_measured_is_told(monkeypatch, tiny):
    parts = latents.Uniform(), latents.Categorical(3)
    turned = dataclasses.replace(tiny, codes=latents.Product(parts))
    found = turned, infogan_jax.init(turned, jax.random.key(0))
    monkeypatch.setattr(sweeps.infogan_jax, "restore", lambda run: found)
    shape = types.SimpleNamespace(image_shape=tiny.image_shape)
    for script in (sweeps, fakes):
        with pytest.raises(ValueError, match="its code 0 is no category"):
            script.study("a run", shape, None)


def race(folder, *argv):
    """The rows that the benchmark writes, by name."""
    path = folder / "rows.json"
    turns = ["--rounds", "2", "--steps", "1", "--json", str(path)]
    assert benchmark.main([*turns, *argv]) == 0
    return {row["name"]: row for row in json.loads(path.read_text())}


def test_what_compiling_takes_is_measured_without_a_cache(monkeypatch):
    hits = []
    jax.monitoring.register_event_listener(
        lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None
    )
    least = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[least]

    def compiled():
        jax.clear_caches()
        contenders.measured(jax.jit(lambda x: x @ x + 7.25), jax.numpy.ones((9, 9)))
        return len(hits)

    jax.config.update(least, 0.0)
    try:
        compiled()
        warm = compiled()
        assert warm > 0
        with contenders.compiling_anew():
            assert compiled() == warm
        assert compiled() > warm
    finally:
        jax.config.update(least, before)


def test_the_benchmark_gives_ratios_to_pytorch_eager(tmp_path, monkeypatch, capsys):
    racing = [
        contenders.Contender(name, 128, lambda n, s=seconds: time.sleep(n * s))
        for name, seconds in (("pytorch-eager", 0.1), ("infogan_jax", 0.01))
    ]
    monkeypatch.setattr(contenders, "compare", lambda *sizes, **wish: racing)
    rows, shown = race(tmp_path), capsys.readouterr().out
    eager, mine = rows["pytorch-eager"], rows["infogan_jax"]
    assert eager["ratio_to_pytorch_eager"] == 1
    ratio = eager["ms_per_step"] / mine["ms_per_step"]
    assert mine["ratio_to_pytorch_eager"] == pytest.approx(ratio) and ratio > 1
    for name, row in rows.items():
        assert row["images_per_s"] == pytest.approx(128e3 / row["ms_per_step"])
        assert row["ms_per_step"] == pytest.approx(sum(row["ms_of_rounds"]) / 2)
        assert row["machine"]["versions"]["jax"] and f"| {name} | 128 |" in shown


@pytest.mark.parametrize("with_bfloat16", [True, False])
def test_bfloat16_may_be_left_out_of_the_race(with_bfloat16, monkeypatch):
    def named(name, *_):
        return contenders.Contender(name, 1, lambda n: None)

    def pytorch(batch, width, dense, bfloat16, how):
        return named(f"pytorch-{how}{'-bfloat16' * bfloat16}")

    for name, made in (
        ("looped", named),
        ("dispatched", named),
        ("stock", lambda *_: named("flax")),
        ("sampling", lambda *_: []),
        ("has_torch", lambda: True),
        ("pytorch", pytorch),
    ):
        monkeypatch.setattr(contenders, name, made)
    racing = contenders.compare(4, 4, 8, 1, with_bfloat16=with_bfloat16)
    names = {contender.name for contender in racing}
    assert {"infogan_jax", "flax", "pytorch-eager", "pytorch-tuned"} <= names
    assert any("bfloat16" in name for name in names) == with_bfloat16
    assert ("pytorch-tuned-bfloat16" in names) == with_bfloat16


def test_an_accelerators_speed_and_its_seeds_accuracies_are_one_file(
    tmp_path, monkeypatch
):
    asked = []

    def train(argv):
        asked.append(argv)
        for name in ("seed-0", "seed-1"):
            finished = RESULTS / "quick" / name
            shutil.copytree(finished, tmp_path / "numbers-seeds" / name)
        return 1  # The third has failed.

    for module, name, made in (
        (accelerator, "one_run", lambda *_: {"seconds": 1.0}),
        (accelerator, "many_seeds", lambda *_: {"seconds": 2.0}),
        (benchmark, "ceiling", lambda: 1.0),
        (benchmark, "hardware", lambda peak: {}),
        (contenders, "compare", lambda *_: []),
        (accelerator.mnist_seeds, "main", train),
    ):
        monkeypatch.setattr(module, name, made)
    out = tmp_path / "numbers.json"
    argv = ["--out", str(out), "--seeds", "3", "--data", "bundled"]
    assert accelerator.main(argv) == 1
    found = json.loads(out.read_text())
    assert found["one seed, bfloat16"] == {"seconds": 1.0}
    assert found["accuracies"] == {"seed-0": 0.8545, "seed-1": 0.9225}
    [seeds] = asked
    assert seeds[:3] == ["--at-once", "--seeds", "0-2"]
    out.unlink()
    with pytest.raises(SystemExit):  # The seeds' directory has other runs.
        accelerator.main(argv)
    other = ["--out", str(tmp_path / "other.json"), "--data", "bundld"]
    assert accelerator.main(other) == 2
    assert not list(tmp_path.glob("*.json"))


def test_where_data_lie_is_refused_without_data(tmp_path, capsys):
    with pytest.raises(SystemExit):
        accelerator.main(["--data-dir", str(tmp_path)])
    assert "--data-dir is where --data lies" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ImportError, OSError])
def test_a_pytorch_that_cannot_be_loaded_is_left_out(error, monkeypatch, capsys):
    def broken(name, *rest):
        if name == "torch":
            raise error("libcudart.so.13: cannot open shared object file")
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(builtins, "__import__", broken)
    assert not contenders.has_torch()
    assert "PyTorch is left out: libcudart" in capsys.readouterr().err


def test_the_growth_is_kept_after_every_size(monkeypatch):
    kept = []
    idle = contenders.Contender("it", 1, lambda n: None)
    for name in ("dispatched", "looped", "stock", "seeds", "over_devices"):
        monkeypatch.setattr(contenders, name, lambda *_: idle)
    made = benchmark.grow(2, 1, lambda rows: kept.append(len(rows)))
    assert kept[0] == 1 and kept == sorted(kept) and kept[-1] == len(made)
    assert len(kept) >= 17


@pytest.mark.parametrize(
    ("main", "argv", "name"),
    [
        (accelerator.main, ["--quick", "--out", "HERE/numbers.json"], "numbers.json"),
        (benchmark.main, ["--json", "HERE/numbers.json"], "numbers.json"),
        (benchmark.main, ["--growth", "--figure", "HERE/growth.png"], "growth.png"),
        (endurance.main, ["--out", "HERE"], "samples.jsonl"),
        (fakes.main, ["a run", "--json", "HERE/numbers.json"], "numbers.json"),
        (figure1.main, ["--out", "HERE", "--data", "bundled"], "figure1.json"),
        (sweeps.main, ["a run", "--json", "HERE/numbers.json"], "numbers.json"),
    ],
)
def test_what_was_measured_is_not_written_over(main, argv, name, tmp_path, capsys):
    before = tmp_path / name
    before.write_text("[1]")
    with contextlib.suppress(SystemExit):
        assert main([word.replace("HERE", str(tmp_path)) for word in argv]) == 2
    assert f"{name} exists, and is kept" in capsys.readouterr().err
    assert before.read_text() == "[1]" and list(tmp_path.iterdir()) == [before]


@pytest.mark.slow
def test_the_benchmark_lets_every_form_of_the_step_race(tmp_path):
    tiny = ["--width", "4", "--dense", "8", "--batch-size", "4"]
    rows = race(tmp_path, *tiny)
    ours = {f"infogan_jax{how}" for how in ("", " train_steps", " bfloat16")}
    ours |= {"infogan_jax train_steps bfloat16", "flax"}
    assert ours | {"sample", "infer"} <= rows.keys()
    for dtype in ("", " bfloat16"):
        counted, looped = (
            rows[f"infogan_jax{how}{dtype}"]["gflop_per_step"]
            for how in ("", " train_steps")
        )
        assert looped == counted > 0


def test_endurance_tells_what_is_allocated_from_what_is_free():
    if endurance.allocated_mb() == 0:
        pytest.skip("this C library does not tell what is allocated")
    before = endurance.allocated_mb()
    held = [bytearray(1 << 20) for _ in range(50)]
    during = endurance.allocated_mb()
    del held
    assert during - before == pytest.approx(52.4, abs=2)
    assert endurance.allocated_mb() == pytest.approx(before, abs=2)


def test_endurance_ends_where_its_samples_find_no_room(monkeypatch, tmp_path, capsys):
    def full(sampler):
        raise OSError(errno.ENOSPC, "No space left on device")

    def run(arguments):
        time.sleep(0.1)
        return 0

    monkeypatch.setattr(endurance.Sampler, "_measure", full)
    monkeypatch.setattr(endurance.mnist, "main", run)
    assert endurance.main(["--minutes", "60", "--out", str(tmp_path / "out")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "out" / "growth.json").exists()


def test_endurance_keeps_what_it_measured_until_memory_was_full(tmp_path, monkeypatch):
    def run(arguments):
        time.sleep(0.3)
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(endurance.mnist, "main", run)
    wish = ["--minutes", "60", "--every", "0.01", "--out", str(tmp_path)]
    assert endurance.main(wish) == 2
    assert json.loads((tmp_path / "growth.json").read_text())["runs"] == 1


def test_endurance_measures_one_run_after_the_other(tmp_path, monkeypatch, capsys):
    seen = []

    def run(arguments):
        seen.append(arguments)
        time.sleep(0.3)  # For some samples.
        return 0

    clock = types.SimpleNamespace(monotonic=lambda: 0.0 if len(seen) < 2 else 1e3)
    monkeypatch.setattr(endurance, "time", clock)
    monkeypatch.setattr(endurance.mnist, "main", run)
    out = tmp_path / "out"
    out.mkdir()
    (out / "samples.jsonl").touch()  # As a try leaves it that failed at once.
    wish = ["--minutes", "1", "--every", "0.01", "--out", str(out), "--steps", "7"]
    assert endurance.main(wish) == 0
    assert [a[a.index("--seed") + 1] for a in seen] == ["0", "1"]
    assert all("--quick" in a and "--steps" in a for a in seen)
    found = json.loads((out / "growth.json").read_text())
    assert found["runs"] == len(found["files"]) == 2 and min(found["files"]) > 0
    assert all(map(operator.lt, found["allocated_mb"], found["host_mb"]))
    assert (out / "endurance.png").stat().st_size > 1000
    assert "open files" in capsys.readouterr().out


def test_the_growth_of_a_run_is_its_median_and_its_least():
    samples = [
        dict.fromkeys(endurance.UNITS, value) | {"run": run, "minutes": minutes}
        for minutes, (run, value) in enumerate([(0, 3.0), (0, 9.0), (0, 4.0), (1, 5.0)])
    ]
    found = endurance.growth(samples)
    assert found["runs"] == 2 and found["minutes"] == 3
    assert found["host_mb"] == [4.0, 5.0] and found["host_mb_least"] == [3.0, 5.0]


def test_a_code_that_bends_one_way_in_half_the_categories_is_seen_within_them():
    rng = np.random.default_rng(0)
    values, category = rng.uniform(-1, 1, 400), np.arange(400) % 2
    sign = np.where(category == 0, 1, -1)
    found = sweeps.bent(
        values,
        {"one": values**3, "turned": sign * values, "none": rng.random(400)},
        category,
    )
    for name in ("one", "one_within", "turned_within"):
        assert found[name] == pytest.approx(1), name
    assert abs(found["turned"]) < 0.2
    assert found["none_within"] < 0.2


def test_a_measure_that_is_constant_in_a_category_counts_as_nothing_there():
    """Blank fakes have no slant; a category of one fake has no correlation."""
    values, category = np.arange(9.0), np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    measured = {"slant": np.where(category == 0, 0.0, values)}
    assert sweeps.bent(values, measured, category)["slant_within"] == 0.5


def test_no_code_that_is_drawn_whatever_the_digit_goes_better_with_a_measure():
    """Bars of three brightnesses in each of two digits, the second's all brighter.

    Ranks by hand: the best code takes 1, 2, 3 in both digits, the measure 1 to 6.
    """
    bars = np.zeros((7, 4, 4, 1), np.uint8)
    bars[:, :, 1] = np.array([30, 10, 20, 50, 60, 40, 99])[:, None, None]
    test = {"image": bars, "label": np.array([0, 0, 0, 1, 1, 1, -1])}
    found = sweeps.limits(types.SimpleNamespace(test=test))
    code, measure = np.array([1.5, 3.5, 5.5] * 2), np.arange(1.0, 7)
    expected = np.corrcoef(code, measure)[0, 1]
    assert found["stroke_area"] == pytest.approx(expected)
    assert found["slant"] == found["width"] == 0
    orders = itertools.permutations([1.5, 3.5, 5.5])
    others = (
        np.corrcoef([*one, *two], measure)[0, 1]
        for one, two in itertools.product(orders, repeat=2)
    )
    assert max(others) == pytest.approx(expected)


def test_the_judge_learns_all_classes_where_they_lie_one_after_another():
    def split(n):
        label = np.repeat(np.arange(4), n)
        image = np.zeros((len(label), 2, 2, 1), np.uint8)
        image[np.arange(len(label)), label // 2, label % 2] = 255
        return {"image": image, "label": label}

    dataset = types.SimpleNamespace(train=split(30), test=split(5))
    digits_of, right = sweeps.judge(dataset, n=60)
    assert right == 1
    assert digits_of(split(1)["image"] / 255).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((latents.Categorical(3), latents.Uniform(2)), "its code 1 has 2 dimensions"),
        ((latents.Categorical(3), latents.Bernoulli()), "it has no uniform code"),
    ],
)
def test_codes_that_sweeps_cannot_measure_are_named(parts, message, monkeypatch):
    config = infogan_jax.Config(codes=latents.Product(parts))

    def sample(config, state, key, n):
        c = jax.vmap(config.codes.sample)(jax.random.split(key, n))
        return np.zeros((n, *config.image_shape)), None, c

    monkeypatch.setattr(sweeps.infogan_jax, "restore", lambda run: (config, None))
    monkeypatch.setattr(sweeps.infogan_jax, "sample", sample)
    shape = types.SimpleNamespace(image_shape=config.image_shape)
    with pytest.raises(ValueError, match=message):
        sweeps.study("a run", shape, None)


def test_sweeps_measure_the_bars_that_a_generator_draws(monkeypatch):
    parts = latents.Categorical(3), latents.Uniform(), latents.Uniform()
    config = infogan_jax.Config(codes=latents.Product(parts))
    row, column = np.mgrid[13.5:-14.5:-1, :28]

    def generate(config, state, z, c):
        """A bar: code 1 is its slant, code 2 its brightness; every category alike."""
        _, lean, bright = (np.asarray(x)[:, :, None] for x in config.codes.split(c))
        bar = np.exp(-((column - 13.5 - 0.5 * lean * row) ** 2))
        return ((0.5 + 0.4 * bright) * bar)[..., None]

    def sample(config, state, key, n):
        c = jax.vmap(config.codes.sample)(jax.random.split(key, n))
        return generate(config, state, None, c), None, c

    def read(config, state, images):
        """Q takes what leans far to the left for category 2."""
        far = sweeps.metrics.slant(images) < -0.25
        return np.pad(np.where(far[:, None], [0, 0, 1], [1, 0, 0]), [(0, 0), (0, 4)])

    def digits_of(images):
        """The judge takes what is bright for a 7."""
        limit = 0.7 * np.sqrt(np.pi) / 28
        return np.where(sweeps.metrics.stroke_area(images) > limit, 7, 1)

    monkeypatch.setattr(sweeps.infogan_jax, "generate", generate)
    monkeypatch.setattr(sweeps.infogan_jax, "sample", sample)
    monkeypatch.setattr(sweeps.infogan_jax, "restore", lambda run: (config, None))
    monkeypatch.setattr(sweeps.evaluation, "infer_all", read)
    shape = types.SimpleNamespace(image_shape=config.image_shape)
    lean, bright = sweeps.study("a run", shape, digits_of)
    assert (lean["code"], bright["code"]) == (1, 2)
    assert lean["slant"] > 0.99 and bright["stroke_area"] > 0.99
    for found, others in ((lean, "stroke_area"), (bright, "slant")):
        assert abs(found[others]) < 0.1 and found[f"{others}_within"] < 0.1
    # Of ten steps beside the middle three pass the limit of one, none of the other.
    assert lean["kept_by_q"] == pytest.approx(0.7) and lean["kept_by_svm"] == 1
    assert bright["kept_by_svm"] == pytest.approx(0.7) and bright["kept_by_q"] == 1


def test_figure1_and_the_growth_are_drawn(tmp_path):
    figure1.draw({"InfoGAN": [0.5, 2.0], "GAN": [0.0, 0.1]}, tmp_path / "1.png")
    made = [
        {"axis": axis, "value": n, "name": f"{n} by {way}", "ms_per_step": 3.0 * n}
        for axis in ("batch", "seeds")
        for n in (1, 2)
        for way in ("map", "vmap")
    ]
    benchmark.draw(made, tmp_path / "2.png")
    assert [path.stat().st_size > 5000 for path in tmp_path.iterdir()] == [True, True]


def test_operations_have_a_row_for_each_form(monkeypatch, capsys):
    monkeypatch.setattr(operations, "LAYERS", [(2, 4, 3, 2)])
    monkeypatch.setattr(operations.benchmark, "ceiling", lambda *_: 7.0)
    assert operations.main([]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [row.count("|") for row in shown] == [7] * 11 + [0] + [4] * 6
