"""From config.yaml to the settings of each run: what lies over what, and what is refused in which words."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from miad.config.resolve import (
    TAKEN,
    check_names,
    homes,
    kept_runs,
    merge,
    read_config,
    read_sections,
    read_settings,
    resolve,
)
from miad.config.sections import SECTIONS, Network, Relax, Sample, Train, build, settings_json
from miad.core.errors import MiadError
from tests.builders import ROOT
from tests.builders.config import put, shipped


@pytest.fixture
def config() -> dict:
    return shipped()


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
    assert "train.recipe: slow is not one of as_paper, fast" in refused(config, "train", "recipe", "slow")


def test_a_scale_may_change_a_recipe(config):
    config["laptop"]["recipes"] = {"fast": {"learning_rate": 0.5, "num_epochs": 3}}
    assert (value(config, "train.learning_rate"), value(config, "train.num_epochs")) == (0.5, 3)
    config["train"]["num_epochs"] = 4
    assert value(config, "train.num_epochs") == 4
    config["train"]["recipe"] = "as_paper"
    assert value(config, "train.learning_rate") == 1e-3
    assert "laptop.recipes.fats is not one of as_paper, fast" in refused(config, "laptop", "recipes", "fats", {})
    config["ablations"] = {"other": {"recipes": {}}}
    with pytest.raises(MiadError, match=r"ablations\.other\.recipes is not a known key"):
        resolve(config)


def test_runs_come_in_order_and_do_not_touch_each_other(config):
    config.pop("ablations")
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
    with pytest.raises(MiadError) as caught:
        resolve(put(config, *path_and_value))
    return str(caught.value)


def test_an_ablation_may_ask_for_its_own_epochs(config):
    put(config, "ablations", {"x": {"train": {"keep_every": 140}, "report": {"epochs": True}}})
    assert list(kept_runs(resolve(config))) == ["x_epoch_140"]


@pytest.mark.parametrize("name", ["miad", "my run"])
def test_names_are_looked_at_without_the_schema_too(config, name):
    # An installed package has no schema; `--settings config.yaml` and the last steps then read the config all the same.
    config["ablations"] = {name: {}}
    with pytest.raises(MiadError, match=name):
        resolve(config)


@pytest.mark.parametrize("key", ["run", "seed", "scale"])
def test_a_missing_key_at_the_top_is_named(config, key):
    del config[key]
    with pytest.raises(MiadError, match=rf"{key} is missing\."):
        resolve(config)


def test_a_missing_key_in_a_section_is_named(config):
    del config["sample"]["record"]
    with pytest.raises(MiadError, match=r"sample\.record is missing"):
        resolve(config)


@pytest.mark.parametrize("section", ["train", "ablations", "recipes", "laptop"])
def test_a_block_that_is_none_is_named(config, section):
    config[section] = 3
    with pytest.raises(MiadError, match=rf"{section} is 3, expected keys"):
        resolve(config)


# ------------------------------------------------------------------------------------------------ the command line


def test_settings_from_json_or_from_a_config_file(config, tmp_path):
    expected = build(resolve(config)["miad"], Train)
    assert read_settings(str(ROOT / "config.yaml"), Train) == expected
    assert read_settings(json.dumps(dataclasses.asdict(expected)), Train) == expected
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    assert read_settings(str(tmp_path / "mine.yaml"), Train) == expected


@pytest.mark.parametrize(
    ("path", "words"),
    [(("mirage", "coordinates", "centre"), "mirage.coordinates is 'centre'"), (("sample", "stride", 7), "no divisor")],
)
def test_a_config_file_is_checked_whole(config, tmp_path, path, words):
    """All keys, and with a check of the runs what they say together, whichever section is asked for."""

    def check(runs: dict) -> None:
        if runs["miad"]["sample"]["stride"] == 7:
            raise MiadError("no divisor")

    (tmp_path / "config.yaml").write_text(yaml.safe_dump(put(config, *path)))
    with pytest.raises(MiadError, match=words):
        read_settings(str(tmp_path / "config.yaml"), Network, check)


@pytest.mark.parametrize("text", ["", "3", "- a", "run: [", "\x00", "run: miad"])
def test_odd_config_files_are_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(MiadError, match="config"):
        read_settings(str(tmp_path / "config.yaml"), Train)
    with pytest.raises(MiadError, match="cannot be read"):
        read_settings(str(tmp_path), Train)
    with pytest.raises(MiadError, match=r"does not exist.*--settings"):
        read_settings(str(tmp_path / "absent.yaml"), Train)


@pytest.fixture(params=[True, False], ids=["own config", "config that came with miad"])
def strides(request, config, tmp_path, monkeypatch) -> tuple[int, int]:
    """Steps of the sampler, and of the relaxation, in the config that holds in this folder."""
    monkeypatch.chdir(tmp_path)
    if request.param:
        put(put(config, "sample", "stride", 4), "relax", "max_steps", 123)
        Path("config.yaml").write_text(yaml.safe_dump(config))
    run = next(iter(resolve(config).values()))
    return run["sample"]["stride"], run["relax"]["max_steps"]


def test_json_of_some_keys_is_laid_over_the_config_that_holds_here(strides):
    stride, max_steps = strides
    sample, relax = read_sections('{"sample": {"stride": 20}}', (Sample, Relax))
    assert (sample.stride, relax.max_steps) == (20, max_steps)
    sample, relax = read_sections('{"relax": {"max_steps": 7, "potentials": {"mine": {"fmax": 0.2}}}}', (Sample, Relax))
    assert (sample.stride, relax.max_steps) == (stride, 7)
    assert {"eqv2", "mine"} == set(relax.potentials)  # entries stay beside new ones


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"sampel": {}}', "^--settings: sampel is not a known key. Did you mean sample?"),
        ('{"train": {}}', "train is not a known key. Known keys: relax, sample"),
        ('{"sample": {"strid": 2}}', "^--settings: sample.strid is not a known key. Did you mean stride?"),
        ('{"sample": {"stride": 0}}', "^--settings: sample.stride is 0"),
        ('{"sample": 3}', "^--settings: sample is 3, expected keys"),
        ('{"sample": {"stride": 7}}', "no divisor"),
    ],
)
def test_json_with_errors_is_refused(text, words):
    def check(runs: dict) -> None:
        if runs["miad"]["sample"]["stride"] == 7:
            raise MiadError("no divisor")

    with pytest.raises(MiadError, match=words):
        read_sections(text, (Sample, Relax), check)


# ---------------------------------------------------------------------------------------------------- further runs


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("\nablations:\n  other: {seed: 1}\n", "ablations twice, in lines"),
        ("\ndft: {enabled: true}\n", "dft twice, in lines"),
    ],
)
def test_a_section_that_is_there_twice_is_refused(tmp_path, added, said):
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "config.yaml").write_text(text + added, encoding="utf-8")
    with pytest.raises(MiadError, match=said):
        read_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  b: {c: 1, d: 2, c: 3}\n", "a.b.c twice, in lines 2 and 2"),
        ("ablations:\n  20: {seed: 1}\n", "line 2: the key ablations.20 is no text"),
        ("ablations:\n  yes: {seed: 1}\n", "line 2: the key ablations.yes is no text"),
    ],
)
def test_keys_that_yaml_would_take_silently(tmp_path, text, said):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(MiadError, match=said):
        read_config(tmp_path / "config.yaml")


@pytest.mark.parametrize("name", ["tables", "figures", "external"])
def test_runs_are_not_called_like_what_lies_beside_them(config, name):
    with pytest.raises(MiadError, match=f"Rename the run {name}"):
        resolve({**config, "run": name})
    with pytest.raises(MiadError, match=f"Rename the run {name}"):
        resolve({**config, "ablations": {name: {}}})


def test_the_ablations_of_the_paper_need_only_be_uncommented():
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    head, rest = text.split("\nablations:\n")
    block, rest = rest.split("\n\n", 1)
    block, num_entries = re.subn(r"^  # (\w+: \{)", r"  \1", block, flags=re.MULTILINE)
    config = yaml.safe_load(f"{head}\nablations:\n{block}\n\n{rest}")
    runs = resolve(config)
    assert len(runs) == 1 + num_entries == 13
    sections = list(runs.values())
    main, ablations = sections[0], sections[1:]
    assert {run["mirage"]["num_atoms"] for run in ablations} - {main["mirage"]["num_atoms"]} == {20, 25, 30, 35, None}
    assert {run["train"]["loss_weights"]["species"] for run in ablations} == {0.5, 1.0, 2.0}
    variants = {(run["mirage"]["coordinates"], run["mirage"]["mask_loss"]) for run in ablations}
    assert variants == {(where, mask) for where in ("uniform", "center") for mask in (True, False)}


def test_runs_live_where_their_settings_were_first_asked_for(config):
    config["ablations"] = {"small": {"mirage": {"num_atoms": 8}}, "quick": {"relax": {"max_steps": 10}}}
    found = homes(resolve(config))
    assert [found[step]["small"] for step in ("dataset", "infuse", "train")] == ["miad", "small", "small"]
    assert [found[step]["quick"] for step in ("sample", "relax", "sun")] == ["miad", "quick", "quick"]


def test_kept_models_become_runs_that_share_the_training(config):
    assert kept_runs(resolve(config)) == {}
    config["train"]["keep_every"], config["report"]["epochs"] = 100, True
    runs = resolve(config)
    kept = kept_runs(runs)
    assert list(kept) == ["miad_epoch_100", "miad_epoch_200"]  # the run itself is the one of epoch 280
    found = homes({**runs, **kept})
    assert found["train"]["miad_epoch_200"] == "miad" and found["sample"]["miad_epoch_200"] == "miad_epoch_200"


def test_epochs_that_were_not_kept_are_refused(config):
    config["report"]["epochs"] = True
    with pytest.raises(MiadError, match=r"report\.epochs needs .* train\.keep_every"):
        kept_runs(resolve(config))
    config["train"]["keep_every"] = 100


# ---------------------------------------------------------------------------------------------------- names of runs


def test_names_that_can_be_folders_and_rows_pass():
    check_names({"run": "miad", "ablations": {"no_mirage": {}, "25": None}, "external": {"theirs": {}}})
    check_names({"ablations": None, "external": 3})  # what else is wrong with them is said elsewhere


@pytest.mark.parametrize(
    ("config", "words"),
    [
        *(({"run": name}, f"results/{name} is a folder of its own") for name in TAKEN),
        *(({"run": "a", "ablations": {name: {}}}, f"ablations: results/{name}") for name in TAKEN),
        *(({"run": "a", "external": {name: {}}}, f"external: results/{name}") for name in TAKEN),
        ({"run": 20}, "run: 20 cannot be the name of a run.*quotes"),
        ({"run": "a", "external": {"a b": {}}}, "external: 'a b' cannot be"),
        ({"run": "a", "ablations": {"a": {}}}, "ablations.a has the name of the main run"),
        (
            {"run": "a", "ablations": {"b": {}}, "external": {"b": {}}},
            "external.b has the name of a run under ablat",
        ),
    ],
)
def test_other_names_are_refused(config, words):
    with pytest.raises(MiadError, match=words):
        check_names(config)
