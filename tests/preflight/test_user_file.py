"""What users write into config.yaml: refused in words that help, mended where the meaning is plain; their own files."""

import pytest

from miad.config.resolve import read_config, resolve
from miad.core.errors import MiadError
from miad.preflight.user_file import check, own_files
from tests.config.test_resolve import ROOT, SCHEMA, put


@pytest.fixture
def config() -> dict:
    return {**read_config(ROOT / "config.yaml"), "ablations": {}}


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
        (("ablations", 20, {}), ("ablations: 20", "letters", "quotes")),
        (("ablations", False, {}), ("ablations: False", "quotes")),
        (("ablations", "more mirage", {}), ("ablations: 'more mirage'", "letters")),
        (("ablations", "tables", {}), ("ablations: results/tables", "Rename")),
        (("run", "figures"), ("run: results/figures", "Rename")),
        (("ablations", "miad", {}), ("ablations.miad", "main run", "Rename")),
        (("external", {"miad": {"crystals": "x.cif"}}), ("external.miad has the name of the main run", "Rename")),
        (("train", None), ("train", "object")),
        (("scale", "huge"), ("scale", "'huge'", "laptop, paper")),
    ],
)
def test_words_of_the_check(config, path, words):
    put(config, *path)
    with pytest.raises(MiadError) as caught:
        check(config, SCHEMA)
    for word in words:
        assert word in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(config):
    put(config, "sample", "stride", "much")
    put(config, "diffusion", "sigma_min", 7.0)
    with pytest.raises(MiadError) as caught:
        check(config, SCHEMA)
    first, second = str(caught.value).splitlines()
    assert "diffusion.sigma_min" in first and "sample.stride" in second


@pytest.mark.parametrize(
    ("path", "text", "meant"),
    [
        (("sample", "stride"), "4", 4),
        (("sample", "corrector_scale"), "1e-5", 1e-5),
        (("mirage", "mask_loss"), "false", False),
        (("laptop", "mirage", "num_atoms"), "null", None),
        (("ablations", "x", "mirage", "num_atoms"), "8", 8),
        (("sun", "protocol"), "5", "5"),
    ],
)
def test_text_becomes_what_it_means_where_no_text_is_wanted(config, path, text, meant):
    """As snakemake hands on what is nested in `--config`."""
    put(config, *path, text)
    check(config, SCHEMA)
    for key in path:
        config = config[key]
    assert config == meant and type(config) is type(meant)


def test_a_block_is_never_read_out_of_a_text(config):
    put(config, "mirage", "{num_atoms: 3}")
    with pytest.raises(MiadError, match=r"mirage: '\{num_atoms: 3\}' should be of type object"):
        check(config, SCHEMA)


# ------------------------------------------------------------------------------------------------------ own files


def test_own_files_are_those_of_the_user_alone(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = resolve(config)["miad"]
    assert own_files(run) == {"dataset": [], "train": [], "hull": [], "metrics": [], "vasp": [], "relax.chgnet": []}
    for name in ("train.csv", "hull.csv", "start.safetensors", "tiny.pt"):
        (tmp_path / name).touch()
    run["dataset"]["files"] = {"train": "train.csv", "val": "https://example.org/val.csv"}
    run["hull"]["source"], run["train"]["start_from"] = "hull.csv", "start.safetensors"
    run["relax"]["calculators"] = ["eqv2"]
    run["relax"]["potentials"]["eqv2"]["checkpoint"] = "tiny.pt"
    assert own_files(run) == {
        "dataset": ["train.csv"],
        "train": ["start.safetensors"],
        "hull": ["hull.csv"],
        "metrics": [],
        "vasp": [],
        "relax.eqv2": ["tiny.pt"],
    }


@pytest.mark.parametrize(("section", "key"), [("hull", "references"), ("metrics", "scaler"), ("train", "start_from")])
def test_a_file_that_is_not_there_is_named_with_its_key(config, section, key):
    run = resolve(config)["miad"]
    run[section][key] = "nowhere.json"
    with pytest.raises(MiadError, match=rf"{section}\.{key}: nowhere\.json is not a file in .*config\.yaml"):
        own_files(run)


def test_finished_calculations_are_looked_for_where_dft_is_wanted(config, tmp_path):
    """A folder will do; without DFT nobody reads them."""
    run = resolve(config)["miad"]
    run["vasp"]["replay"] = str(tmp_path / "runs.tar.gz")
    assert own_files(run)["vasp"] == []
    run["dft"]["enabled"] = True
    with pytest.raises(MiadError, match=r"vasp\.replay: .*runs\.tar\.gz is not a file.*config\.yaml"):
        own_files(run)
    run["vasp"]["replay"] = str(tmp_path)
    assert own_files(run)["vasp"] == [str(tmp_path)]


def test_a_folder_as_data_set_is_told_what_is_wanted_instead(config, tmp_path):
    run = resolve(config)["miad"]
    run["dataset"]["files"] = {"train": str(tmp_path)}
    with pytest.raises(MiadError, match=r"dataset\.files\.train: .* is a folder.*CSV file with a column `cif`"):
        own_files(run)
