"""From config.yaml to the settings of each run: what lies over what, and what is refused in which words."""

import dataclasses
import itertools
import json
import typing
from pathlib import Path

import pytest
import yaml

from miad.config import (
    SECTIONS,
    UPSTREAM,
    Mirage,
    Network,
    Sample,
    Train,
    build,
    from_record,
    merge,
    read_config,
    read_settings,
    resolve,
    settings_json,
)
from miad.errors import MiadError
from miad.user_config import check

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


class Unique(yaml.SafeLoader):
    """YAML that refuses a key written twice; the plain loader lets the last one win in silence."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice in one block: {sorted(key for key in keys if keys.count(key) > 1)}"
        return super().construct_mapping(node, deep)


Unique.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node, deep=True))


@pytest.fixture
def config() -> dict:
    return read_config(ROOT / "config.yaml")


def own_keys(kind: type) -> set[str]:
    """The keys that a section itself has, neither other sections nor the seed."""
    hints = typing.get_type_hints(kind)
    return {key for key, hint in hints.items() if hint not in SECTIONS.values() and key != "seed"}


# --------------------------------------------------------------------------------------------- the shipped files


@pytest.mark.parametrize("path", [ROOT / "config.yaml", SCHEMA], ids=["config", "schema"])
def test_no_key_is_written_twice(path):
    yaml.load(path.read_text(encoding="utf-8"), Loader=Unique)  # noqa: S506 (a safe loader)


def test_schema_and_dataclasses_have_the_same_keys_each_described():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    for name, kind in SECTIONS.items():
        definition = schema["$defs"][name]
        assert set(definition["properties"]) == own_keys(kind), name
        assert definition["additionalProperties"] is False
        for key, value in definition["properties"].items():
            assert "description" in value or "$ref" in value, f"{name}.{key}"
    assert set(schema["$defs"]["run"]["properties"]) == {"seed", *SECTIONS}


@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_every_key_has_a_value_at_both_scales(config, scale):
    check(config, SCHEMA)
    runs = resolve({**config, "scale": scale})
    for name, kind in SECTIONS.items():
        section = build(runs["miad"], kind)
        assert set(runs["miad"][name]) == own_keys(kind), f"{name} has keys that nothing reads, or lacks some"
        assert from_record(kind, json.loads(settings_json(runs["miad"], name))) == section


def test_the_recipes_set_the_same_keys(config):
    assert len({frozenset(recipe) for recipe in config["recipes"].values()}) == 1


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


# ------------------------------------------------------------------------------------------------------- layers


def value(config: dict, key: str, run: str = "miad"):
    section, name = key.split(".")
    return resolve(config)[run][section][name]


def test_later_layers_win(config):
    key = "train.learning_rate"
    config["recipes"]["fast"]["learning_rate"] = 0.2
    assert value(config, key) == 0.2
    config["laptop"]["train"]["learning_rate"] = 0.1
    assert value(config, key) == 0.2  # the recipe lies over the scale block
    config["train"]["learning_rate"] = 0.3
    assert value(config, key) == 0.3
    config["ablations"] = {"other": {"train": {"learning_rate": 0.4}}, "same": None}
    assert value(config, key, "other") == 0.4
    assert value(config, key) == value(config, key, "same") == 0.3


def test_the_recipe_itself_can_be_chosen_in_every_layer(config):
    assert value(config, "train.clip_norm") == 1.0
    config["ablations"] = {"plain": {"train": {"recipe": "as_paper"}}}
    assert value(config, "train.clip_norm", "plain") is None and value(config, "train.clip_norm") == 1.0
    config["train"]["recipe"] = "as_paper"
    assert value(config, "train.clip_norm") is None


def test_runs_come_in_order_and_do_not_touch_each_other(config):
    before = json.dumps(config)
    config["ablations"] = {"b": {"mirage": {"num_atoms": None}}, "a": {"seed": 7}}
    runs = resolve(config)
    assert list(runs) == ["miad", "b", "a"]
    assert [run["mirage"]["num_atoms"] for run in runs.values()] == [9, None, 9]
    assert [run["seed"] for run in runs.values()] == [0, 0, 7]
    config.pop("ablations")
    assert json.dumps(config) == before


def test_blocks_within_a_section_are_merged(config):
    config["ablations"] = {"heavy": {"train": {"loss_weights": {"species": 2.0}}}}
    assert value(config, "train.loss_weights", "heavy") == {"lattice": 1.0, "coords": 1.0, "species": 2.0}
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": None}) == {"a": {"b": 3, "c": 2}, "d": None}


def test_nested_settings_follow_their_section_and_nothing_else_changes(config):
    before = {name: settings_json(resolve(config)["miad"], name) for name in SECTIONS}
    config["mirage"]["num_atoms"] = 12
    after = {name: settings_json(resolve(config)["miad"], name) for name in SECTIONS}
    assert {name for name in SECTIONS if before[name] != after[name]} == {"mirage", "train"}
    assert json.loads(after["train"])["mirage"]["num_atoms"] == 12
    config["seed"] = 5
    train = build(resolve(config)["miad"], Train)
    assert train.seed == 5 and train.mirage.num_atoms == 12


# ------------------------------------------------------------------------------------------------- what is refused


def refused(config: dict, *path_and_value) -> str:
    """Set a value, and return the words in which the config is refused."""
    *parents, key, setting = path_and_value
    block = config
    for parent in parents:
        block = block.setdefault(parent, {})
    block[key] = setting
    with pytest.raises(MiadError) as caught:
        check(config, SCHEMA)
        resolve(config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("trian", {}), ("trian is not a known key", "Did you mean train?")),
        (("train", "learning_rat", 1.0), ("train.learning_rat is not a known key", "learning_rate?")),
        (("ablations", "x", "mirage", "num_atom", 9), ("ablations.x.mirage.num_atom", "num_atoms?")),
        (("recipes", "fast", "ema", 0.9), ("recipes.fast.ema", "ema_decay?")),
        (("laptop", "sample", "steps", 4), ("laptop.sample.steps is not a known key",)),
        (("train", "mirage", {"num_atoms": 3}), ("train.mirage is not a known key",)),
        (("mirage", "num_atoms", "nine"), ("mirage.num_atoms", "'nine'", "integer", "N_m")),
        (("mirage", "mask_loss", 1), ("mirage.mask_loss", "boolean")),
        (("sample", "num_crystals", 10.5), ("sample.num_crystals", "10.5", "integer")),
        (("mirage", "coordinates", "centre"), ("mirage.coordinates", "'centre'", "uniform, center")),
        (("train", "learning_rate", -1.0), ("train.learning_rate", "-1.0")),
        (("train", "keep_every", 0), ("train.keep_every", "0")),
        (("diffusion", "sigma_max", 0.1), ("diffusion.sigma_max", "0.3", "prior")),
        (("sample", "device", "gpu"), ("sample.device", "gpu")),
        (("run", "my-run"), ("run", "my-run", "letters")),
        (("train", None), ("train", "object")),
        (("scale", "huge"), ("scale", "'huge'", "laptop, paper")),
    ],
)
def test_words_of_the_check(config, path, words):
    message = refused(config, *path)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("sample", "stride", 7), ("sample.stride 7", "diffusion.num_timesteps 1000", "divisor")),
        (("sample", "num_shards", 500), ("sample.num_shards 500", "sample.num_crystals")),
        (("train", "recipe", "slow"), ("train.recipe: slow", "as_paper, fast")),
        (("sun", "protocol", "mine"), ("sun.protocol mine", "strict")),
        (("dataset", "split", [0.5, 0.2, 0.2]), ("dataset.split", "add up to 1")),
        (("ablations", "miad", {}), ("ablations.miad", "main run", "Rename")),
    ],
)
def test_words_of_the_cross_checks(config, path, words):
    message = refused(config, *path)
    for word in words:
        assert word in message


def test_dft_needs_energies_of_its_calculator(config):
    config["dft"]["enabled"] = True
    assert "dft.calculator other is not among relax.calculators" in refused(config, "dft", "calculator", "other")


@pytest.mark.parametrize("key", ["run", "seed", "scale"])
def test_a_missing_key_at_the_top_is_named(config, key):
    del config[key]
    with pytest.raises(MiadError, match=rf"lacks {key}\."):
        resolve(config)


def test_a_missing_key_in_a_section_is_named(config):
    del config["sample"]["record"]
    with pytest.raises(MiadError, match=r"lacks sample\.record"):
        resolve(config)


@pytest.mark.parametrize("section", ["train", "ablations", "recipes", "laptop"])
def test_a_block_that_is_none_is_named(config, section):
    config[section] = 3
    with pytest.raises(MiadError, match=rf"{section} is 3, expected keys"):
        resolve(config)


# ------------------------------------------------------------------------------------------------ numbers and text


def test_numbers_as_yaml_writes_them(config):
    """YAML 1.1 reads 1e-5 as text, and whole numbers are welcome as fractions."""
    assert yaml.safe_load("1e-5") == "1e-5"
    config["sample"]["corrector_scale"] = "1e-5"
    config["relax"]["fmax"] = 1
    for is_checked in (False, True):
        if is_checked:
            check(config, SCHEMA)
        run = resolve(config)["miad"]
        assert json.loads(settings_json(run, "sample"))["corrector_scale"] == 1e-5
        assert settings_json(run, "relax").count('"fmax": 1.0') == 1


@pytest.mark.parametrize("number", ["fast", "nan", float("nan"), None, True, [1.0]])
def test_what_is_no_number(config, number):
    config["sample"]["corrector_scale"] = number
    with pytest.raises(MiadError, match=r"sample\.corrector_scale is .*, expected"):
        resolve(config)


@pytest.mark.parametrize(("key", "odd"), [("num_crystals", True), ("denoise_last", 1), ("device", 0), ("stride", "4")])
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


# ------------------------------------------------------------------------------------------------ the command line


def test_settings_from_json_or_from_a_config_file(config, tmp_path):
    expected = build(resolve(config)["miad"], Train)
    assert read_settings(str(ROOT / "config.yaml"), Train) == expected
    assert read_settings(json.dumps(dataclasses.asdict(expected)), Train) == expected
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    assert read_settings(str(tmp_path / "mine.yaml"), Train) == expected


def test_a_config_file_beside_its_schema_is_checked(config, tmp_path):
    (tmp_path / "workflow" / "schemas").mkdir(parents=True)
    (tmp_path / "workflow" / "schemas" / SCHEMA.name).write_text(SCHEMA.read_text())
    config["mirage"]["coordinates"] = "centre"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(MiadError, match=r"mirage\.coordinates: 'centre' is not one of"):
        read_settings(str(tmp_path / "config.yaml"), Mirage)


@pytest.mark.parametrize("text", ["", "3", "- a", "run: [", "\x00", "run: miad"])
def test_odd_config_files_are_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(MiadError, match="config"):
        read_settings(str(tmp_path / "config.yaml"), Train)
    with pytest.raises(MiadError, match="cannot be read"):
        read_settings(str(tmp_path), Train)
    with pytest.raises(MiadError, match=r"cannot be read.*--settings config\.yaml"):
        read_settings(str(tmp_path / "absent.yaml"), Train)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"num_atoms": 3', "not JSON"),
        ("{}", "missing or unknown keys coordinates, mask_loss, num_atoms"),
        ('{"num_atoms": 3, "coordinates": "uniform", "mask_loss": true, "x": 1}', "missing or unknown keys x"),
        ('{"num_atoms": "3", "coordinates": "uniform", "mask_loss": true}', "mirage.num_atoms is '3', expected int"),
    ],
)
def test_odd_json_is_refused(text, words):
    with pytest.raises(MiadError) as caught:
        read_settings(text, Mirage)
    assert words in str(caught.value)


def test_records_that_are_no_blocks_are_refused(config):
    record = dataclasses.asdict(build(resolve(config)["miad"], Train))
    for odd in (None, 3, [1]):
        with pytest.raises(MiadError, match="settings of network are"):
            from_record(Train, {**record, "network": odd})
