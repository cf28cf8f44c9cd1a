"""Settings as dataclasses: what is shipped is whole, and values are of their types."""

import dataclasses
import itertools
import json
import re
from collections import Counter

import pytest
import yaml

from miad.config.resolve import read_config, read_settings, resolve
from miad.config.sections import (
    SECTIONS,
    UPSTREAM,
    Mirage,
    Network,
    Protocol,
    Sample,
    Train,
    build,
    from_record,
    own_keys,
    settings_json,
    without_defaults,
)
from miad.core.errors import MiadError
from tests.builders import ROOT

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


def written_twice(text: str) -> list[str]:
    """Keys that a block of YAML has twice, blocks within blocks included; loaders let the last one win in silence."""
    found, nodes = [], [yaml.compose(text, yaml.SafeLoader)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.MappingNode):
            counts = Counter(key.value for key, _ in node.value)
            found += [key for key, count in counts.items() if count > 1]
            nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value
    return found


@pytest.fixture
def config() -> dict:
    return read_config(ROOT / "config.yaml")


# --------------------------------------------------------------------------------------------- the shipped files


@pytest.mark.parametrize(
    ("path", "key"), [(ROOT / "config.yaml", "num_timesteps"), (SCHEMA, "sigma_min")], ids=["config", "schema"]
)
def test_no_key_is_written_twice(path, key):
    text = path.read_text(encoding="utf-8")
    assert written_twice(text) == []
    line = re.search(rf"^ +{key}:.*\n", text, re.MULTILINE)[0]
    assert written_twice(text.replace(line, 2 * line)) == [key]


@pytest.mark.parametrize("kind", [*SECTIONS.values(), Protocol])
def test_every_key_is_described(kind):
    for key in own_keys(kind):
        assert kind.__pydantic_fields__[key].description, f"{kind.__name__}.{key}"


@pytest.mark.parametrize("scale", ["laptop", "small", "paper"])
def test_every_key_has_a_value_at_each_scale(config, scale):
    runs = resolve({**config, "scale": scale})
    for name, kind in SECTIONS.items():
        section = build(runs["miad"], kind)
        assert set(runs["miad"][name]) == set(own_keys(kind)), f"{name} has keys that nothing reads, or lacks some"
        assert from_record(kind, json.loads(settings_json(runs["miad"], name))) == section


def test_the_recipes_set_the_same_keys(config):
    assert len({frozenset(recipe) for recipe in config["recipes"].values()}) == 1


@pytest.mark.parametrize(
    ("scale", "recipe", "expected"),
    [
        ("laptop", "fast", (280, 128, 3e-3, 50, 0.3, 1.0, 0.999, "float32")),
        ("laptop", "as_paper", (280, 128, 1e-3, 0, 0.0, None, None, "float32")),
        ("small", "fast", (600, 128, 2e-3, 300, 0.3, 1.0, 0.999, "bf16")),
        ("paper", "fast", (1100, 256, 1e-3, 1000, 0.3, 1.0, 0.999, "bf16")),
        ("paper", "as_paper", (8000, 256, 1e-3, 0, 0.0, None, None, "float32")),
    ],
)
def test_each_recipe_suits_the_width_of_the_network(config, scale, recipe, expected):
    config |= {"scale": scale, "train": {**config["train"], "recipe": recipe}}
    train = build(resolve(config)["miad"], Train)
    length = (train.num_epochs, train.batch_size)
    rate = (train.learning_rate, train.warmup_steps, train.cooldown_fraction, train.clip_norm, train.ema_decay)
    assert (*length, *rate, train.precision) == expected
    is_papers = recipe == "as_paper"
    assert (train.center_scores, train.stratified_times, train.cross_entropy == 0) == (not is_papers,) * 2 + (
        is_papers,
    )


def test_the_papers_values(config):
    run = resolve({**config, "scale": "paper"})["miad"]
    train, sample = build(run, Train), build(run, Sample)
    assert (train.learning_rate, train.batch_size, train.num_epochs) == (1e-3, 256, 8000)
    assert (train.clip_norm, train.ema_decay, train.warmup_steps, train.cooldown_fraction) == (None, None, 0, 0.0)
    assert train.network == Network(512, 6, 128, 256, 1.0) and train.mirage == Mirage(25, "uniform", True)
    assert (train.diffusion.num_timesteps, train.diffusion.sigma_min, train.diffusion.sigma_max) == (1000, 0.005, 0.5)
    assert (sample.num_crystals, sample.stride, sample.corrector_scale) == (10_000, 1, 1e-5)
    assert (sample.corrector_steps, sample.denoise_last) == (None, False)


def test_steps_depend_on_what_comes_before_them():
    for step, sections in UPSTREAM.items():
        assert set(sections) <= set(SECTIONS), step
    chain = ["train", "sample", "relax"]
    for before, after in itertools.pairwise(chain):
        assert set(UPSTREAM[before]) < set(UPSTREAM[after])


# ------------------------------------------------------------------------------------------------ numbers and text


def test_numbers_as_yaml_writes_them(config):
    """YAML 1.1 reads 1e-5 as text, and whole numbers are welcome as fractions."""
    assert yaml.safe_load("1e-5") == "1e-5"
    config["sample"]["corrector_scale"] = "1e-5"
    config["relax"]["fmax"] = 1
    run = resolve(config)["miad"]
    assert json.loads(settings_json(run, "sample"))["corrector_scale"] == 1e-5
    assert settings_json(run, "relax").count('"fmax": 1.0') == 1


@pytest.mark.parametrize("number", ["fast", "nan", float("nan"), None, True, [1.0]])
def test_what_is_no_number(config, number):
    config["sample"]["corrector_scale"] = number
    with pytest.raises(MiadError, match=r"sample\.corrector_scale is .*, expected"):
        resolve(config)


@pytest.mark.parametrize(
    ("key", "odd"), [("num_crystals", True), ("denoise_last", 1), ("device", 0), ("stride", 4.0), ("stride", "four")]
)
def test_types_are_not_guessed(config, key, odd):
    config["sample"][key] = odd
    with pytest.raises(MiadError, match=rf"sample\.{key} is {odd!r}, expected"):
        resolve(config)


def test_elements_of_lists_and_blocks_are_checked_too(config):
    config["train"]["loss_weights"]["coords"] = "much"
    with pytest.raises(MiadError, match=r"train\.loss_weights\.coords"):
        resolve(config)
    config["train"]["loss_weights"]["coords"] = 1
    config["relax"]["calculators"] = ["chgnet", 3]
    with pytest.raises(MiadError, match=r"relax\.calculators\[1\] is 3"):
        resolve(config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"num_atoms": 3', ["not JSON"]),
        ("{}", ["mirage.coordinates is missing", "mirage.mask_loss is missing", "mirage.num_atoms is missing"]),
        ('{"num_atoms": 3, "coordinates": "uniform", "mask_loss": true, "x": 1}', ["mirage.x is not a known key"]),
        (
            '{"num_atoms": "three", "coordinates": "uniform", "mask_loss": true}',
            ["settings: mirage.num_atoms is 'three', expected an integer"],
        ),
    ],
)
def test_odd_json_is_refused(text, words):
    with pytest.raises(MiadError) as caught:
        read_settings(text, Mirage)
    assert all(word in str(caught.value) for word in words)


def test_records_that_are_no_blocks_are_refused(config):
    record = dataclasses.asdict(build(resolve(config)["miad"], Train))
    for odd in (None, 3, [1]):
        with pytest.raises(MiadError, match=r"settings: train\.network is"):
            from_record(Train, {**record, "network": odd})


def test_a_field_of_a_later_version_changes_no_settings_of_rules_while_it_has_its_default():
    @dataclasses.dataclass(frozen=True)
    class Inner:
        width: int
        kind: str = "usual"

    @dataclasses.dataclass(frozen=True)
    class Outer:
        inner: Inner
        seed: int = 0

    assert without_defaults(Outer(Inner(3))) == {"inner": {"width": 3}}
    assert without_defaults(Outer(Inner(3, "other"), 1)) == {"inner": {"width": 3, "kind": "other"}, "seed": 1}
