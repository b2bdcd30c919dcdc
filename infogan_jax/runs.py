"""Run directories: how an experiment trains, survives interruption, and reports.

A run directory holds

    config.json       the Config
    run.json          the options: data, steps, batch size, seed, ...
    environment.json  versions, devices, the dataset's name and hash, the seed
    metrics.jsonl     one line per update: "step" and the metrics; no clock values
    accuracy.jsonl    clustering of the test images every so many updates
    timings.jsonl     seconds since the start of this process
    checkpoints/      the newest three saved steps, restorable by path
    evaluation.json   the final report, with the label of each category
    *.png             figures

`metrics.jsonl` of a resumed run equals that of an uninterrupted one, line by line.
"""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import tqdm

from infogan_jax import config as config_lib
from infogan_jax import data, evaluation, parallel, records, training
from infogan_jax import options as options_lib

Options, Stop = options_lib.Options, options_lib.Stop

_KEEP = 3  # newest checkpoints; one of the paper's network is 160 MB
_FIGURE_KEY = 1_000_000  # A stream of the run's key that no step uses.
_AT_MOST = 100  # updates per dispatch,
_SECONDS = 1.0  # and how long one may take: what Ctrl-C and the bar have to wait for.


def main(
    argv: Sequence[str] | None,
    description: str,
    defaults: Callable[[bool], Options],
    build: Callable[[Options, tuple], config_lib.Config],
    out: str,
) -> int:
    """Runs an experiment from its command line; returns the exit status.

    Args:
      argv: the arguments; None for the process's own.
      description: the experiment's docstring.
      defaults: the options, given whether --quick was.
      build: (options, image shape) -> Config.
      out: the default run directory.
    """
    arguments = options_lib.parser(description, defaults, out).parse_args(argv)
    try:
        given = vars(arguments)
        directory, resume = Path(given.pop("out")), given.pop("resume")
        if resume:
            options = options_lib.resumed(directory, given)
        else:
            options = dataclasses.replace(defaults(given.get("quick", False)), **given)
            options_lib.check_new(directory)
        options_lib.check(options)
        _keep_compiled_programs()
        dataset = data.load(options.data, options.data_dir)
        _say(f"data: {dataset.note}")
        options = dataclasses.replace(options, data=dataset.name)
        if resume:
            config = _resumed_config(directory, dataset)
        else:
            config = build(options, dataset.image_shape)
        step_fn = _step_fn(config, options)
        records.write_header(directory, config, options, dataset, resume)
        return _run(directory, config, options, dataset, step_fn)
    except Stop as stop:
        _say(f"error: {stop}")
        return stop.status
    except KeyboardInterrupt:
        _say("interrupted.")
        return 128 + signal.SIGINT
    except (ValueError, OSError, ImportError) as error:
        _say(f"error: {error}")
        return 2


def _resumed_config(directory, dataset):
    environment = json.loads((directory / "environment.json").read_text())
    if environment["dataset"]["sha256"] != dataset.sha256:
        raise Stop(
            f"{dataset.name} is not the data that this run began with: SHA-256 "
            f"{dataset.sha256[:12]}, then {environment['dataset']['sha256'][:12]}."
        )
    return config_lib.Config.from_json((directory / "config.json").read_text())


def _step_fn(config, options):
    """None for one device, a `pmap_step` for several."""
    available = jax.local_device_count()
    n = options.devices or parallel.largest_fit(options.batch_size, available)
    if n > available:
        raise Stop(f"--devices {n}, but there are only {available} here.")
    if options.batch_size % n:
        raise Stop(
            f"--batch-size {options.batch_size} cannot be split over {n} devices; use "
            f"a multiple of {n}."
        )
    kind = jax.local_devices()[0].device_kind
    _say(f"devices: {n} of {available} ({kind}), batch {options.batch_size}")
    if n == 1:
        return None
    return parallel.pmap_step(config, devices=jax.local_devices()[:n], donate=True)


def _run(directory, config, options, dataset, step_fn):
    began, key = time.monotonic(), jax.random.key(options.seed)
    state = _saved_state(directory, config) or training.init(config, key)
    first = int(state.step)
    if first < options.steps:  # A report of an earlier end is not this run's.
        (directory / "evaluation.json").unlink(missing_ok=True)
    records.cut(directory / "metrics.jsonl", first)
    # The last line of accuracy.jsonl comes after the last checkpoint.
    records.cut(directory / "accuracy.jsonl", min(first, options.steps - 1))
    with contextlib.ExitStack() as stack:
        interrupted = stack.enter_context(_Interrupts())
        writer = stack.enter_context(_Writer(directory, config))
        log = stack.enter_context(records.Log(directory, began))
        bar = stack.enter_context(
            tqdm.tqdm(
                total=options.steps, initial=first, unit="update", mininterval=1.0
            )
        )
        advance, pace = _advance(config, options, dataset, key, state, step_fn), _Pace()
        step = saved = first
        while step < options.steps and not interrupted.signal:
            n = pace.next(_next_stop(step, options) - step)
            state, metrics = advance(n)
            log.add(step, n, metrics)
            step += n
            bar.update(n)
            last = step == options.steps
            if step % options.evaluate_every == 0 and not last:
                if evaluation.can_cluster(config, dataset.test):
                    found = evaluation.clustering(config, state, dataset.test)
                    bar.set_postfix_str(log.accuracy(step, found))
            if step % options.save_every == 0 or last:
                saved = _save(log, writer, state, step)
        if saved != step:
            _save(log, writer, state, step)
        if step == options.steps:
            key = jax.random.fold_in(key, _FIGURE_KEY)
            report = _report(directory, config, state, dataset, key)
            if "hungarian" in report:
                log.accuracy(step, report)
    if step < options.steps:
        done = f"saved after {step}" if step else "nothing was done yet"
        _say(
            f"interrupted; {done} of {options.steps} updates. "
            f"Go on with: python {sys.argv[0]} --out {directory} --resume"
        )
        return 128 + interrupted.signal
    _draw_figures_and_tell(directory, config, state, key, report)
    _say(f"{(time.monotonic() - began) / 60:.1f} minutes in all")
    return 0


def _saved_state(directory, config):
    """The newest state that a run has saved, if any."""
    if not (directory / "checkpoints").is_dir():
        return None
    from infogan_jax import checkpoint

    if not checkpoint.steps(directory):
        return None
    saved, state = checkpoint.restore(directory)
    if saved != config:
        raise Stop(
            f"{directory}/config.json is not the config that its checkpoints were "
            "saved with; put it back, or start another run by --out."
        )
    return state


class _Writer:
    """A `checkpoint.Writer` from the first save on: importing Orbax takes a second."""

    def __init__(self, directory, config):
        self._directory, self._config, self._writer = directory, config, None

    def __enter__(self):
        return self

    def save(self, state):
        if self._writer is None:
            from infogan_jax import checkpoint

            self._writer = checkpoint.Writer(self._directory, self._config, _KEEP)
        self._writer.save(state)

    def __exit__(self, *error):
        if self._writer is not None:
            self._writer.__exit__(*error)


def _save(log, writer, state, step):
    """Saves the state and the lines up to it; returns its step."""
    log.flush()
    if not _is_finite(state):
        raise Stop(
            f"a parameter is not finite after update {step}: training has failed; the "
            "last checkpoint is from before.",
            status=1,
        )
    writer.save(state)
    return step


@jax.jit
def _is_finite(state):
    arrays = jax.tree.leaves((state.nets, state.opt, state.ema))
    return jnp.stack([jnp.isfinite(array).all() for array in arrays]).all()


def _advance(config, options, dataset, key, state, step_fn):
    """A function of n: the state after n more updates, and their metrics."""
    if step_fn is not None:
        steps = training.train(
            config,
            dataset.train,
            key,
            batch_size=options.batch_size,
            state=state,
            step_fn=step_fn,
        )

        def one_by_one(n):
            seen = [next(steps) for _ in range(n)]
            rows = {name: [metrics[name] for _, metrics in seen] for name in seen[0][1]}
            return seen[-1][0], rows

        return one_by_one

    on_device, current = jax.device_put(dataset.train), training.copy(state)

    def in_one_dispatch(n):
        nonlocal current
        current, rows = training.train_steps(
            config,
            current,
            on_device,
            key,
            steps=n,
            batch_size=options.batch_size,
            at_most=_AT_MOST,
            donate=True,
        )
        return current, rows

    return in_one_dispatch


def _next_stop(step, options):
    """The next step after which there is something to do."""
    periods = (options.save_every, options.evaluate_every)
    return min(options.steps, *(step - step % period + period for period in periods))


def _report(directory, config, state, dataset, key):
    report = evaluation.evaluate(config, state, dataset.train, dataset.test, key)
    report["test_set"] = f"{dataset.name} test"
    records.write_json(directory / "evaluation.json", report)
    return report


def _draw_figures_and_tell(directory, config, state, key, report):
    _say(evaluation.describe(report))
    draw(directory, config, state, key, report.get("label_of"))
    _say(f"figures, checkpoints and numbers are in {directory}; sample from it with:")
    digit = " --digit 3" if "label_of" in report else ""
    _say(f"  python -m infogan_jax sample {directory}{digit} --n 16 --out samples.png")


def draw(directory, config, state, key, label_of=None) -> None:
    """Writes every figure of a run; says so where matplotlib is missing."""
    from infogan_jax import plotting

    try:
        figures = plotting.figures(config, state, key, label_of)
    except ImportError as error:
        _say(f"no figures: {error}")
        return
    text = (directory / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    figures["curves.png"] = plotting.curves(config, lines)
    for name, figure in figures.items():
        figure.savefig(directory / name)


class _Pace:
    """How many updates to dispatch at once: as many as take about a second."""

    def __init__(self):
        self._length, self._dispatched, self._when = 1, 0, None

    def next(self, limit):
        """The number for the next dispatch, at most `limit`."""
        now = time.monotonic()
        if self._when is not None:
            fits = self._dispatched * _SECONDS / max(now - self._when, 1e-6)
            # Doubling at most: the first dispatches only tell of compilation.
            self._length = max(1, min(_AT_MOST, 2 * self._length, int(fits)))
        self._dispatched, self._when = min(self._length, limit), now
        return self._dispatched


class _Interrupts:
    """Turns the first SIGINT or SIGTERM into a wish; the second one takes effect."""

    def __enter__(self):
        self.signal, self._old = 0, {}
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.signal = number
        signal.signal(number, self._old[number])


def _keep_compiled_programs():
    """Compiles once for all runs: programs stay in the user's cache directory."""
    if jax.config.jax_compilation_cache_dir:
        where = jax.config.jax_compilation_cache_dir
    else:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        where = Path(home) / "infogan_jax" / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(where))
    _say(f"compiled programs are kept in {where}")


def _say(text):
    print(text, file=sys.stderr if text.startswith("error") else sys.stdout, flush=True)
