"""The experiment on sprites: its schedule, its scores, how a run goes on."""

import dataclasses
import itertools
import json
import re
import shutil
import signal
import time
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sprites
import sprites_report
import sprites_scores

import infogan_jax
from infogan_jax import latents, metrics, networks, presets
from infogan_jax.host import json_files
from infogan_jax.runs import records


def test_a_fraction_of_the_sprites_schedule_moves_its_switch():
    whole = sprites.configuration("cr", sprites.STEPS)
    assert whole == presets.infogan_cr(288_000)
    assert sprites.configuration("cr", sprites.STEPS // 40) == presets.infogan_cr(7200)
    assert sprites.configuration("modified", 100) == presets.MODIFIED


def test_sprites_of_other_lengths_and_variants_are_not_pooled(tmp_path):
    modified, cr = (sprites.configuration(v, 100) for v in ("modified", "cr"))
    small = networks.Dcgan(width=4, dense=8, init_std=None)
    begun = dataclasses.replace(modified, architecture=small)
    run = tmp_path / "seed-3"
    infogan_jax.save(run, begun, infogan_jax.init(begun, jax.random.key(0)))
    (run / "begun.json").write_text('{"seed": 3, "steps": 100, "votes": 500}')
    sprites.check_same(tmp_path, begun, 100, 500)
    sprites.check_same(tmp_path, begun, 200, 500)  # It may go on.
    for config, steps, votes, after in (
        (begun, 99, 500, None),
        (begun, 100, 400, None),
        (cr, 100, 500, None),
        (begun, 100, 500, tmp_path),
    ):
        with pytest.raises(ValueError, match="seed-3 is of another experiment"):
            sprites.check_same(tmp_path, config, steps, votes, after)


def test_sprites_scores_of_the_factors_themselves_are_the_highest(monkeypatch):
    monkeypatch.setattr(
        sprites_scores, "represent", lambda config, state, indices: np.float32(indices)
    )
    found = sprites_scores.score(None, None, 60)
    assert found["factor_vae"] == 1
    assert min(found[name] for name in ("dci", "dci_forest", "sap")) > 0.9, found


def test_sprites_scores_are_each_metric_by_infogan_crs_protocol(monkeypatch):
    mixing = np.random.default_rng(0).normal(size=(5, 4)) / [[1], [3], [20], [16], [16]]

    def represent(config, state, indices):
        return (
            np.asarray(indices) @ mixing
            + 0.1 * np.sin(1e3 * np.asarray(indices))[:, :4]
        )

    monkeypatch.setattr(sprites_scores, "represent", represent)
    votes, space = 60, sprites_scores.SPACE
    keys = jax.random.split(jax.random.key(99), votes + 1)
    factors = np.asarray(space.sample(keys[0], 20 * votes))
    codes = represent(None, None, factors)
    fixed = np.tile(np.arange(5), votes // 5)
    groups = [
        represent(None, None, space.sample_fixed(key, 100, factor))
        for key, factor in zip(keys[1:], fixed, strict=True)
    ]
    drawn = metrics.Votes(np.stack(groups), fixed)
    forest = metrics.dci(codes, factors, regressor="forest", depth=(4, 5, 2, 5, 5))
    expected = {
        "factor_vae": metrics.factor_vae_score(drawn, codes.std(0)),
        "dci": metrics.dci(codes, factors, regressor="lasso").disentanglement,
        "dci_forest": forest.disentanglement,
        "sap": metrics.sap(codes, factors, discrete=(0,)),
        "explicitness": metrics.explicitness(codes, factors),
        "modularity": metrics.modularity(codes, factors),
        "mig": metrics.mig(codes, factors),
        "beta_vae": metrics.beta_vae_score(drawn),
    }
    found = sprites_scores.score(None, None, votes)
    assert found == pytest.approx(expected)
    assert len(set(found.values())) == 8 and tuple(found) == sprites_scores.SCORES


def test_a_run_that_no_other_agrees_with_is_the_least_central(tmp_path, monkeypatch):
    """Two runs read every code of any run's fakes; a third sees noise."""
    config = infogan_jax.Config(
        codes=latents.Product(3 * (latents.Uniform(sigma=1.0),)),
        architecture=networks.Dcgan(width=2, dense=4, init_std=None),
    )
    runs, rng = [tmp_path / name for name in "abc"], np.random.default_rng(0)

    def read(config, run, c):
        return rng.normal(size=c.shape) if run == runs[2] else np.asarray(c)

    monkeypatch.setattr(sprites.infogan_jax, "restore", lambda run: (config, run))
    monkeypatch.setattr(
        sprites.infogan_jax, "generate", lambda config, run, z, c: np.asarray(c)
    )
    monkeypatch.setattr(sprites_scores.evaluation, "infer_all", read)
    monkeypatch.setattr(
        sprites_scores,
        "represent",
        lambda config, run, rows: read(config, run, rows[:, 2:]),
    )
    central, ranking = sprites_scores.centrality(runs, [4, 2, 9], 90)
    # Of the third's fakes they read every code, and it none of theirs.
    agreed = 2 * central[0] - 1
    assert central == pytest.approx([(1 + agreed) / 2] * 2 + [agreed], abs=0.1)
    assert 1 / 3 <= 2 * agreed - 1 < 0.6
    assert ranking.argmin() == 2 and min(ranking[:2]) > 0.4


def test_centrality_does_not_depend_on_the_order_of_the_runs(tmp_path):
    config = infogan_jax.Config(
        codes=latents.Product(2 * (latents.Uniform(sigma=1.0),)),
        architecture=networks.Dcgan((64, 64, 1), width=2, dense=4, init_std=None),
    )
    runs, keys = [tmp_path / name for name in "abc"], [4, 2, 9]
    for run, seed in zip(runs, keys, strict=True):
        infogan_jax.save(run, config, infogan_jax.init(config, jax.random.key(seed)))
    forwards = sprites_scores.centrality(runs, keys, 4)
    backwards = sprites_scores.centrality(runs[::-1], keys[::-1], 4)
    for one, other in zip(forwards, backwards, strict=True):
        assert one == pytest.approx(other[::-1]) and len(set(one)) > 1


def test_every_iteration_draws_sprites_of_its_own_wherever_a_run_is_cut(
    tiny, state, monkeypatch
):
    def step(config, state, batch, key):
        """Notes what it is given."""
        seen = state.nets.at[state.step].set(batch["factors"].sum())
        own = jax.random.key_data(key)
        return state.replace(nets=seen, opt=own, step=state.step + 1), {}

    monkeypatch.setattr(sprites.infogan_jax, "step", step)
    key = jax.random.key(1)

    def after(*lengths):
        run = state.replace(
            step=jnp.int32(0),
            nets=jnp.zeros(4, jnp.int32),
            opt=jnp.zeros(2, jnp.uint32),
        )
        for n in lengths:
            run = sprites.advance(tiny, jax.tree.map(jnp.copy, run), key, n)
        assert run.opt.tolist() == jax.random.key_data(key).tolist()
        return run.nets.tolist()

    assert after(4) == after(1, 3) and len(set(after(4))) == 4


def test_two_processes_do_not_train_one_sprites_seed(tmp_path, capsys):
    wish = ["--variant", "modified", "--fraction", "0.000025", "--seeds", "0"]
    with records.lock(tmp_path / "seed-0"):
        assert sprites.main([*wish, "--out", str(tmp_path)]) == 2
    assert "is being written by process" in capsys.readouterr().err
    assert not (tmp_path / "seed-0" / "begun.json").exists()


@pytest.mark.parametrize("file", ["begun.json", "finished.json"])
def test_a_copy_of_a_sprites_seed_is_not_taken_for_another(file, tmp_path, capsys):
    run = tmp_path / "seed-1"
    run.mkdir()
    begun = {"seed": 0, "steps": 8, "votes": 500, "at_the_switch": False}
    (run / file).write_text(json.dumps(begun))
    wish = ["--variant", "modified", "--fraction", "0.000025", "--seeds", "1"]
    assert sprites.main([*wish, "--out", str(tmp_path)]) == 2
    assert f"{run} is a copy of seed 0's run" in capsys.readouterr().err


def test_a_dead_codes_spread_is_not_its_rounding():
    rng = np.random.default_rng(0)
    codes = np.float32(0.3 + 1e-6 * rng.normal(size=(10_000, 1)))
    assert sprites_scores.spread(codes) == pytest.approx(np.std(np.float64(codes)))


def test_two_sprites_runs_make_no_choice_and_three_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sprites_report, "_draw", lambda *_: None)
    monkeypatch.setattr(
        sprites_scores,
        "centrality",
        lambda runs, seeds, votes: (np.arange(len(runs)), [2, 1, 0]),
    )
    for seed in (10, 2, 3):
        scores = dict.fromkeys(sprites_scores.SCORES, seed / 10)
        run = tmp_path / f"seed-{seed}"
        run.mkdir()
        asked = {"steps": 80, "votes": 500}
        for name, extra in (("finished.json", asked), ("scores.jsonl", {})):
            line = {"seed": seed, "step": 80, **scores, **extra}
            (run / name).write_text(json.dumps(line) + "\n")
        sprites.write_report(tmp_path, "modified", 80)
        chosen = "ModelCentrality chooses seed 10" in capsys.readouterr().out
        assert chosen == (seed == 3)
    shutil.copytree(tmp_path / "seed-3", tmp_path / "seed-3 copy")
    sprites.write_report(tmp_path, "modified", 80)
    assert "seed-3 copy is left out" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert [run["seed"] for run in report["runs"]] == [2, 3, 10]
    assert report["votes"] == 500 and report["model_centrality"] == [0, 1, 2]


def test_a_finished_sprites_seed_goes_on_to_a_larger_fraction(tmp_path, monkeypatch):
    config = infogan_jax.Config(
        architecture=networks.Dcgan(width=2, dense=4, init_std=None)
    )
    run = tmp_path / "seed-0"
    monkeypatch.setattr(
        sprites_scores, "score", lambda config, state, votes: {"mig": 0.5}
    )

    def advance(config, state, key, n):
        assert not sprites.is_finished(run, 80)  # Its state is another by now.
        return state.replace(step=state.step + n)

    clock = itertools.count()
    ticking = types.SimpleNamespace(
        monotonic=lambda: next(clock), strftime=time.strftime
    )
    monkeypatch.setattr(sprites, "time", ticking)
    monkeypatch.setattr(sprites, "advance", advance)
    sprites.train(run, config, 0, 80, 10)
    assert sprites.is_finished(run, 80)
    assert not sprites.is_finished(run, 100)
    sprites.train(run, config, 0, 100, 10)
    assert sprites.is_finished(run, 100)
    rows = json_files.read_lines(run / "scores.jsonl")
    [last_of_80] = [row for row in rows if row["step"] == 80]
    seconds = last_of_80["seconds"] + rows[-1]["seconds"]  # Of both processes.
    assert json_files.read(run / "finished.json")["seconds"] == seconds
    rest_of_80, rest_of_100 = [*range(72, 79), 80], [90, 91, 93, 94, 95, 97, 98, 100]
    expected = [*range(10, 71, 10), *rest_of_80, 87, *rest_of_100]
    assert [row["step"] for row in rows] == expected


@pytest.fixture
def quickly(monkeypatch):
    """Sprites whose iterations cost nothing, and whose scores are given."""
    config = infogan_jax.Config(
        architecture=networks.Dcgan(width=2, dense=4, init_std=None)
    )
    monkeypatch.setattr(sprites, "configuration", lambda variant, steps: config)
    monkeypatch.setattr(
        sprites_scores,
        "score",
        lambda config, state, votes: dict.fromkeys(
            sprites_scores.SCORES, int(state.step) / 100
        ),
    )
    monkeypatch.setattr(sprites_report, "_draw", lambda *_: None)
    monkeypatch.setattr(sprites.program, "keep_compiled_programs", lambda: None)

    def use(spoil):
        """`spoil` is called with the state after each iteration, and may change it."""
        monkeypatch.setattr(
            sprites,
            "advance",
            lambda config, state, key, n: spoil(state.replace(step=state.step + n)),
        )

    return use


def wish(out, *seeds):
    fraction = str(80 / sprites.STEPS)
    argv = ["--variant", "modified", "--fraction", fraction, "--out", str(out)]
    return [*argv, "--seeds", ",".join(map(str, seeds))]


def test_a_sprites_seed_that_fails_keeps_its_last_good_state_and_leaves_the_others(
    quickly, tmp_path, capsys
):
    is_well = True

    def spoil(state):
        nonlocal is_well
        if state.step > 40 and is_well:  # Once, so in the first seed.
            is_well = False
            nan = jax.tree.map(lambda x: x * np.nan, state.nets["q"])
            return state.replace(nets=state.nets | {"q": nan})
        return state

    quickly(spoil)
    assert sprites.main(wish(tmp_path, 3, 4)) == 1
    said = capsys.readouterr().err
    assert "seed 3: a parameter is not finite after update 50" in said
    assert said.endswith("error: training has failed for seeds 3.\n")
    assert max(infogan_jax.checkpoint.steps(tmp_path / "seed-3")) == 40
    report = json.loads((tmp_path / "report.json").read_text())
    assert [run["seed"] for run in report["runs"]] == [4]


def test_a_signal_saves_a_sprites_seed_and_the_same_command_goes_on(
    quickly, tmp_path, capsys
):
    def interrupt(state):
        if state.step == 20:
            signal.raise_signal(signal.SIGINT)
        return state

    quickly(interrupt)
    assert sprites.main(wish(tmp_path, 0)) == 128 + signal.SIGINT
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("interrupted; saved after 20 of 80 updates")
    assert max(infogan_jax.checkpoint.steps(tmp_path / "seed-0")) == 20
    quickly(lambda state: state)
    assert sprites.main(wish(tmp_path, 0)) == 0
    scores = json_files.read_lines(tmp_path / "seed-0" / "scores.jsonl")
    steps = [row["step"] for row in scores]
    assert steps == [*range(10, 71, 10), *range(72, 79), 80]


def test_a_signal_in_the_last_score_ends_before_the_next_seed(
    quickly, tmp_path, monkeypatch
):
    quickly(lambda state: state)
    score = sprites_scores.score

    def interrupted(config, state, votes):
        if state.step == 80:
            signal.raise_signal(signal.SIGTERM)
        return score(config, state, votes)

    monkeypatch.setattr(sprites_scores, "score", interrupted)
    assert sprites.main(wish(tmp_path, 0, 1)) == 128 + signal.SIGTERM
    assert (tmp_path / "seed-0" / "finished.json").exists()
    assert not (tmp_path / "seed-1").exists()


def test_a_sprites_seed_begins_at_the_switch_where_its_modified_run_ended(tmp_path):
    small = networks.Dcgan(width=2, dense=4, init_std=None)
    modified, cr = (
        dataclasses.replace(sprites.configuration(v, 112), architecture=small)
        for v in ("modified", "cr")
    )
    old = infogan_jax.init(modified, jax.random.key(7)).replace(step=jnp.array(100))
    run = tmp_path / "modified" / "seed-0"
    infogan_jax.save(run, modified, old)
    (run / "scores.jsonl").write_text('{"step": 100}\n')
    (run / "begun.json").write_text('{"votes": 500}')

    out, switch = tmp_path / "cr" / "seed-0", sprites.switch_of(112)
    with pytest.raises(ValueError, match="have done 99 iterations") as refused:
        sprites.check_after(run.parent, 0, 99, 500)
    found = re.search(r"it has done 100, .* --fraction (\S+) is", str(refused.value))
    assert sprites.switch_of(round(sprites.STEPS * float(found[1]))) == 100
    with pytest.raises(ValueError, match="was scored by 500 votes; give --votes 500"):
        sprites.check_after(run.parent, 0, switch, 10)
    sprites.check_after(run.parent, 0, switch, 500)
    state = sprites.begin(out, cr, 0, run.parent)
    infogan_jax.checks.check_state(cr, state)
    assert (out / "scores.jsonl").exists()
    chex.assert_trees_all_equal(state.replace(nets=old.nets, opt=old.opt), old)
    chex.assert_trees_all_equal({n: state.nets[n] for n in old.nets}, old.nets)
    chex.assert_trees_all_equal({n: state.opt[n] for n in old.opt}, old.opt)
    assert state.nets.keys() - old.nets.keys() == {"h"}
    infogan_jax.save(out, cr, state)
    with pytest.raises(ValueError, match="must be of --variant modified"):
        sprites.check_after(out.parent, 0, 100, 500)


def test_no_seed_begins_where_one_lacks_its_modified_run(quickly, tmp_path, capsys):
    quickly(lambda state: state)
    modified, out = tmp_path / "modified", tmp_path / "cr"
    length = str(sprites.switch_of(80) / sprites.STEPS)
    assert sprites.main([*wish(modified, 0), "--fraction", length]) == 0
    asked = [*wish(out, 0, 1), "--variant", "cr", "--after", str(modified)]
    assert sprites.main(asked) == 2
    assert "seed-1" in capsys.readouterr().err
    assert not out.exists()


def test_curves_and_traversals_of_sprites_are_drawn(tmp_path):
    architecture = networks.Dcgan(width=2, dense=4, init_std=None)
    config = infogan_jax.Config(architecture=architecture)
    run = tmp_path / "seed-0"
    infogan_jax.save(run, config, infogan_jax.init(config, jax.random.key(0)))
    lines = [dict.fromkeys(sprites_scores.SCORES, 0.5) | {"step": n} for n in (10, 80)]
    sprites_report._draw(tmp_path, {run.name: lines}, run, 72)
    for name in ("curves.png", "traversals.png"):
        assert (tmp_path / name).stat().st_size > 5000


def test_each_sprites_seed_begins_and_draws_by_its_own_key(
    quickly, tmp_path, monkeypatch
):
    quickly(lambda state: state)
    advance, begun = sprites.advance, []

    def noted(config, state, key, n):
        if state.step == 0:
            begun.append((key, infogan_jax.init(config, key).nets, state.nets))
        return advance(config, state, key, n)

    monkeypatch.setattr(sprites, "advance", noted)
    assert sprites.main(wish(tmp_path, 3, 4)) == 0
    for seed, (key, expected, nets) in zip((3, 4), begun, strict=True):
        assert key == jax.random.key(seed)
        chex.assert_trees_all_equal(nets, expected)


def test_a_sprites_seed_is_reported_by_its_last_scores(quickly, tmp_path, monkeypatch):
    """Which rise and then fall: neither its first nor its best."""

    def score(config, state, votes):
        height = 0.9 - abs(int(state.step) - 50) / 100
        return dict.fromkeys(sprites_scores.SCORES, height)

    quickly(lambda state: state)
    monkeypatch.setattr(sprites_scores, "score", score)
    assert sprites.main(wish(tmp_path, 0)) == 0
    [run] = json.loads((tmp_path / "report.json").read_text())["runs"]
    assert run["step"] == 80 and run["factor_vae"] == pytest.approx(0.6)


def test_factors_are_read_off_the_images_that_show_them(monkeypatch):
    """In pieces, whose order is that of the rows."""
    space, sizes = sprites_scores.SPACE, []

    def represent(config, state, images):
        sizes.append(len(images))
        return np.asarray(images, np.float32).mean((1, 2))

    monkeypatch.setattr(sprites_scores.evaluation, "represent", represent)
    indices = space.sample(jax.random.key(0), 4500)
    found = sprites_scores.represent(None, None, indices)
    images = sprites_scores.sprites.render(space.values(indices))
    expected = np.asarray(images, np.float32).mean((1, 2))
    np.testing.assert_array_equal(found, expected)
    assert sizes == [2250, 2250]


def test_traversals_are_those_of_the_chosen_sprites_run(tmp_path, monkeypatch):
    drawn, ends = [], {}
    monkeypatch.setattr(sprites_report, "_draw", lambda *shown: drawn.append(shown))
    monkeypatch.setattr(
        sprites_scores, "centrality", lambda *_: ([0.1, 0.9, 0.2], [0.3, 0.2, 0.1])
    )
    for seed in (5, 6, 7):
        run = tmp_path / f"seed-{seed}"
        scores = dict.fromkeys(sprites_scores.SCORES, seed / 10)
        end = {"seed": seed, "steps": 80, "votes": 500, **scores}
        run.mkdir()
        (run / "scores.jsonl").write_text(json.dumps(end | {"step": 80}))
        ends[run] = end
    sprites_report.write(tmp_path, ends, "cr", 1.0, 72)
    [(_, _, chosen, switch)] = drawn
    assert chosen == tmp_path / "seed-6" and switch == 72
