"""Checks between sections, and of the user's own files: refused in words that name both keys."""

import pytest

from miad.config.resolve import read_runs, resolve
from miad.core.errors import MiadError
from miad.model.diffusion.process import JointDiffusion
from miad.model.network import CSPNet
from miad.model.register import NETWORKS, PROCESSES
from miad.model.weights import FIRST
from miad.preflight.checks import FIRST_LOSSES, check_runs, own_files
from tests.builders.config import put, shipped


@pytest.fixture
def config() -> dict:
    return shipped()


def refused(config: dict, *path_and_value) -> str:
    """Set a value that is in order by itself, and return the words in which the runs are refused."""
    runs = resolve(put(config, *path_and_value))
    with pytest.raises(MiadError) as caught:
        check_runs(runs)
    return str(caught.value)


def test_the_shipped_config_contradicts_itself_at_no_scale(config):
    for scale in ("laptop", "small", "paper"):
        check_runs(resolve({**config, "scale": scale}))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("sample", "stride", 7), ("sample.stride 7", "diffusion.num_timesteps 1000", "divisor")),
        (("sample", "constraints", {"systems": [["Li", "Xx"]]}), ("run miad", "sample.constraints.systems", "Xx")),
        (("sample", "constraints", {"num_atoms": {"min": 99}}), ("sample.constraints.num_atoms.min is 99", "places")),
        (("sample", "num_shards", 500), ("sample.num_shards 500", "sample.num_crystals")),
        (
            ("ablations", "early", {"train": {"keep_every": 100}, "sample": {"epoch": 150}}),
            ("run early", "epoch 150", "multiple"),
        ),
        (
            ("train", "loss_weights", "speces", 2.0),
            ("run miad: train.loss_weights", "speces", "lattice, coords, species", "Give each of them a weight"),
        ),
        (("diffusion", "process", "joint_difusion"), ("run miad: diffusion.process", "mean joint_diffusion?")),
        (("ablations", "x", "network", "kind", "gnn"), ("run x: network.kind is gnn", "cspnet")),
        (("relax", "calculators", ["chgnet", "dft"]), ("relax.calculators", "dft", "another name")),
        (("sun", "protocol", "mine"), ("sun.protocol mine", "strict")),
        (("hull", "energy_frame", "uncorrected"), ("chgnet", "'mp2020'", "'uncorrected'", "sun.protocol")),
        (("ablations", "x", "report", "title", "X"), ("ablations.x.report.title", "no effect", "epochs")),
        (("ablations", "x", "report", "published", False), ("ablations.x.report.published", "section report")),
    ],
)
def test_words_of_the_cross_checks(config, path, words):
    message = refused(config, *path)
    for word in words:
        assert word in message


def test_the_first_process_is_known_without_a_look_into_the_registers():
    assert set(JointDiffusion.weighted) == FIRST_LOSSES
    assert (PROCESSES[FIRST["process"]], NETWORKS[FIRST["kind"]]) == (JointDiffusion, CSPNet)


def test_a_protocol_that_takes_energies_as_given_takes_any_hull(config):
    config["hull"]["energy_frame"] = "uncorrected"
    config["sun"]["protocol"] = "as_paper"
    check_runs(resolve(config))


def test_dft_needs_energies_of_its_calculator(config):
    config["dft"]["enabled"] = True
    assert "dft.calculator other is not among relax.calculators" in refused(config, "dft", "calculator", "other")


# ------------------------------------------------------------------------------------------------------ own files


def test_own_files_are_those_of_the_user_alone(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = resolve(config)["miad"]
    assert set(own_files(run)) == {"dataset", "train", "sample", "hull", "metrics", "vasp", "relax.chgnet"}
    assert not any(own_files(run).values())
    for name in ("train.csv", "hull.csv", "start.safetensors", "tiny.pt"):
        (tmp_path / name).touch()
    run["dataset"]["files"] = {"train": "train.csv", "val": "https://example.org/val.csv"}
    run["hull"]["source"], run["train"]["start_from"] = "hull.csv", "start.safetensors"
    run["relax"]["calculators"] = ["eqv2"]
    run["relax"]["potentials"]["eqv2"]["checkpoint"] = "tiny.pt"
    assert own_files(run) == {
        "dataset": ["train.csv"],
        "train": ["start.safetensors"],
        "sample": [],
        "hull": ["hull.csv"],
        "metrics": [],
        "vasp": [],
        "relax.eqv2": ["tiny.pt"],
    }


def test_a_potential_beside_the_config_is_a_file_of_the_user(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "potential_of_mine.py").write_text("from miad.relax.potentials.chgnet import Chgnet as Mine\n")
    run = resolve(config)["miad"]
    run["relax"]["calculators"] = ["mine"]
    run["relax"]["potentials"]["mine"] = {"class": "potential_of_mine:Mine"}
    assert own_files(run)["relax.mine"] == []  # the class itself lies elsewhere
    (tmp_path / "another_of_mine.py").write_text(
        "from miad.relax.potentials.chgnet import Chgnet\n\n\nclass Mine(Chgnet):\n    pass\n"
    )
    run["relax"]["potentials"]["mine"] = {"class": "another_of_mine:Mine"}
    assert own_files(run)["relax.mine"] == ["another_of_mine.py"]


@pytest.mark.parametrize(("section", "key"), [("hull", "references"), ("metrics", "scaler"), ("train", "start_from")])
def test_a_file_that_is_not_there_is_named_with_its_key(config, section, key):
    run = resolve(config)["miad"]
    run[section][key] = "nowhere.json"
    with pytest.raises(MiadError, match=rf"{section}\.{key}: nowhere\.json is not a file in .*config\.yaml"):
        own_files(run)


def test_a_model_that_ships_is_no_file_of_the_user(config):
    run = resolve(config)["miad"]
    run["train"]["start_from"] = "mp20-small"
    assert own_files(run)["train"] == []


def test_crystals_of_other_programs_that_are_not_there_are_named(config, tmp_path):
    """Snakemake by itself would be content with what was read of another file before."""
    config["external"] = {"theirs": {"crystals": str(tmp_path / "theirs.extxyz")}}
    run = read_runs(config, resolve(config)["miad"])["theirs"]
    with pytest.raises(MiadError, match=r"crystals under external: .*theirs\.extxyz is not a file.*config\.yaml"):
        own_files(run)
    run["sample"]["crystals"] = str(tmp_path)  # a folder of CIFs will do
    assert own_files(run)["sample"] == [str(tmp_path)]


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


def test_the_template_of_samples_is_a_file_of_the_user(config, tmp_path):
    template = {"file": str(tmp_path / "host.cif"), "free": [0]}
    runs = resolve(put(config, "sample", "constraints", {"template": template}))
    with pytest.raises(MiadError, match=r"sample\.constraints\.template\.file: .*host\.cif is not a file"):
        own_files(runs["miad"])
    (tmp_path / "host.cif").write_text("")
    assert own_files(runs["miad"])["sample"] == [str(tmp_path / "host.cif")]
    with pytest.raises(MiadError, match="run miad: "):
        check_runs(runs)
