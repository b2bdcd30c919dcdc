import dataclasses
import enum
import json
import re
from typing import NamedTuple

import numpy as np
import pytest
from flax import linen as nn

import infogan_jax
from infogan_jax import Config, Update, latents, networks, presets, registry, schedules
from infogan_jax.objectives import MutualInformation, NonSaturating, Recognition

PRESETS = [
    presets.PAPER,
    presets.RELEASED,
    presets.MLP,
    presets.TUTORIAL,
    presets.PLAIN_GAN,
    presets.MODIFIED,
    presets.infogan_cr(),
]


@infogan_jax.register
@dataclasses.dataclass(frozen=True)
class MyTerm:
    """A user's own term."""

    scale: float = 1.0

    def __call__(self, p):
        return {"g": self.scale * p.fake.mean()}


@pytest.mark.parametrize("config", PRESETS)
def test_json_gives_back_an_equal_config(config):
    again = Config.from_json(config.to_json())
    assert again == config and hash(again) == hash(config)


def test_users_class_is_stored_with_its_module(tiny):
    config = dataclasses.replace(tiny, objective=(NonSaturating(), MyTerm(2.0)))
    assert f'"{__name__}:MyTerm"' in config.to_json()
    assert Config.from_json(config.to_json()) == config


@dataclasses.dataclass(frozen=True)
class Bringing:
    """A term with a network of its own."""

    network: str
    shapes: tuple

    def networks(self, config, axis_name):
        del config, axis_name
        return {self.network: nn.Dense(1)}

    def input_shapes(self, config):
        return dict(self.shapes)

    def __call__(self, p):
        return {}


@pytest.mark.parametrize(
    ("network", "shapes", "message"),
    [
        (
            "d",
            (("d", ((3,),)),),
            "Bringing brings networks ['d'], but there are others",
        ),
        ("aux", (), "brings networks ['aux'] without the shapes of their inputs"),
        (
            "aux",
            (("aux", ((3,),)), ("k", ((3,),))),
            "names ['k'], which no term brings",
        ),
        ("aux", (("aux", (8, 8, 1)),), "of 'aux' are (8, 8, 1); give a tuple with a"),
        ("aux", (("aux", ((3,), 3)),), "of 'aux' are ((3,), 3); give a tuple with a"),
    ],
)
def test_networks_of_terms_have_names_and_inputs(tiny, network, shapes, message):
    term = Bringing(network, shapes)
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(tiny, objective=(*tiny.objective, term))


def test_numbers_of_numpy_are_sides_of_a_shape(tiny):
    term = Bringing("aux", (("aux", ((np.prod((8, 8, 1)),),)),))
    config = dataclasses.replace(tiny, objective=(*tiny.objective, term))
    assert "aux" in config.networks()


def test_schedules_and_rates_per_net_travel(tiny):
    rate = (schedules.Cosine(1e-3, 100), 1e-4)
    updates = (Update("d", ("trunk", "d"), lr=rate), tiny.updates[1])
    config = dataclasses.replace(tiny, updates=updates)
    assert Config.from_json(config.to_json()) == config


def edited(config, **fields):
    return json.dumps(json.loads(config.to_json()) | fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": [{"kind": "os:system"}]}, "import os first"),
        ({"objective": [{"kind": "NoSuch"}]}, "unknown kind 'NoSuch'"),
        ({"kind": 3}, "unknown kind 3"),
        ({"momentum": 0.9}, "no field.*momentum.*version"),
        ({"ema_decay": 2.0}, "ema_decay"),
        ({"codes": 7}, "Product"),
        ({"noise": {"kind": "Uniform", "size": "many"}}, "whole, .* not 'many'"),
        ({"noise": {"kind": "Uniform", "sigma": "x"}}, "sigma must be .* not 'x'"),
        ({"noise": {"kind": "Categorical"}}, "Categorical cannot be rebuilt"),
        ({"kind": "Uniform"}, "no field"),
    ],
)
def test_damaged_json_is_a_value_error_that_says_where(tiny, fields, message):
    with pytest.raises(ValueError, match=message):
        Config.from_json(edited(tiny, **fields))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"kind": "Uniform"}'])
def test_what_is_no_config_is_a_value_error(text):
    with pytest.raises(ValueError):
        Config.from_json(text)


def test_field_that_is_absent_takes_its_default(tiny):
    data = json.loads(tiny.to_json())
    del data["ema_decay"]
    assert Config.from_json(json.dumps(data)) == tiny


@pytest.mark.parametrize(
    "change",
    [
        {"codes": latents.Categorical(3)},
        {"ema_decay": 1.0},
        {"objective": ()},
        {"updates": ()},
        {"objective": (NonSaturating(), NonSaturating())},
        {"compute_dtype": "float16"},
        {"objective": [NonSaturating()]},
        {"updates": []},
    ],
)
def test_impossible_configs_are_refused(tiny, change):
    with pytest.raises(ValueError):
        dataclasses.replace(tiny, **change)


@pytest.mark.parametrize(
    ("updates", "words"),
    [
        ([Update("d", ("trunk", "head"), lr=1e-3)], "lists .*'head'.*, but the net"),
        ([Update("d", ("d",), lr=1e-3), Update("d", ("d",), lr=1e-4)], "two different"),
    ],
)
def test_updates_that_do_not_go_together_are_refused(tiny, updates, words):
    game = (NonSaturating(),)
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(tiny, updates=tuple(updates), objective=game)


@pytest.mark.parametrize(
    "fields",
    [
        {"nets": ()},
        {"nets": "gq"},
        {"lr": -1.0},
        {"lr": (1.0,)},
        {"lr": [1.0, 1.0]},
        {"beta1": 1.0},
    ],
)
def test_impossible_updates_are_refused(fields):
    with pytest.raises(ValueError):
        Update(**{"name": "g", "nets": ("g", "q"), "lr": 1e-3} | fields)


def test_registering_asks_for_a_frozen_dataclass():
    with pytest.raises(TypeError, match="frozen"):
        registry.register(type("Loose", (), {}))


@pytest.mark.parametrize("name", ["kind", "made"])
def test_registering_refuses_a_field_that_could_not_be_restored(name):
    made = dataclasses.field(default=1, init=name == "kind")
    cls = dataclasses.make_dataclass("Lost", [(name, int, made)], frozen=True)
    with pytest.raises(ValueError, match=f"Lost.{name} could not be restored"):
        registry.register(cls)


class Mode(enum.StrEnum):
    MEAN = "mean"


class Range(NamedTuple):
    low: float = 0.0


@pytest.mark.parametrize("value", [Mode.MEAN, Range(), (1.0, Mode.MEAN)], ids=repr)
def test_what_json_gives_back_as_another_type_is_not_stored(value, tiny):
    """It would be equal, and a term that asks by `is` compute something else."""
    config = dataclasses.replace(tiny, objective=(MyTerm(scale=value),))
    with pytest.raises(TypeError, match="cannot store"):
        config.to_json()


def test_arrays_cannot_hide_in_a_config(tiny):
    with pytest.raises(ValueError, match="must be hashable"):
        dataclasses.replace(tiny, objective=(MyTerm(scale=[1.0]),))
    for scale in (len, np.longdouble(0.1)):  # The latter's `item()` is one again.
        config = dataclasses.replace(tiny, objective=(MyTerm(scale=scale),))
        with pytest.raises(TypeError, match="cannot store"):
            config.to_json()


def test_presets_differ_as_paper_and_released_code_do():
    assert presets.PAPER.architecture.leak == 0.1
    assert presets.PAPER.codes.parts[1].sigma is None
    assert presets.RELEASED.architecture.leak == 0.01
    assert presets.RELEASED.codes.parts[1].sigma == 1.0
    assert presets.PAPER.objective[1] == MutualInformation()
    assert presets.RELEASED.objective[1].weight == 1.0
    assert isinstance(presets.MLP.architecture, networks.Mlp)


def test_the_defaults_are_the_papers_numbers():
    d, g = presets.PAPER.updates
    assert d == Update("d", ("trunk", "d"), lr=2e-4, beta1=0.5, beta2=0.999)
    assert g == Update("g", ("g", "q"), lr=1e-3, beta1=0.5, beta2=0.999)
    assert presets.PAPER.noise == latents.Uniform(size=62)
    assert latents.Uniform().sigma_min == 0.1


def test_updates_of_one_name_are_one_update(tiny):
    d, g = tiny.updates
    assert dataclasses.replace(tiny, updates=(d, d, g)).updates == (d, d, g)
    other = dataclasses.replace(d, lr=1e-4)
    with pytest.raises(ValueError, match="two different updates are named 'd'"):
        dataclasses.replace(tiny, updates=(d, other, g))


def test_the_other_presets_are_as_published():
    with_q, g = ("trunk", "d", "q"), Update("g", ("g",), lr=1e-3)
    assert presets.RELEASED.updates == (Update("d", with_q, lr=2e-4), g)
    assert presets.MODIFIED.updates == (Update("d", with_q, lr=2e-3), g, g)
    h, *rest = presets.infogan_cr(7).updates
    assert h == Update("h", ("h",), lr=2e-3, restart=7)
    assert tuple(rest) == presets.MODIFIED.updates
    for config, weight in ((presets.RELEASED, 1.0), (presets.MODIFIED, 0.05)):
        information = MutualInformation(weight, updates=("d", "g"))
        assert config.objective == (NonSaturating(), information)
    assert presets.PLAIN_GAN.objective == (NonSaturating(), Recognition())


def test_a_name_is_of_one_class_which_may_be_defined_anew(monkeypatch):
    monkeypatch.setattr(registry, "_CLASSES", {})

    def made(where):
        cls = dataclasses.make_dataclass("Twice", ["a"], frozen=True)
        cls.__module__, cls.__qualname__ = __name__, f"{where}.Twice"
        return registry.register(cls)

    made("one")
    assert registry._CLASSES == {f"{__name__}:Twice": made("one")}
    with pytest.raises(ValueError, match=":Twice' is taken by .*; rename"):
        made("other")
