"""The table of publishers: complete, well formed, pinned."""

import re

import pytest

from miad.io.published_data import DATA_SETS, MP_HULL, SPLITS

SOURCES = [(name, split, source) for name, splits in DATA_SETS.items() for split, source in splits.items()]
DIGITS = {"sha256": 64, "md5": 32, "git": 40}


@pytest.mark.parametrize(("name", "split", "source"), [*SOURCES, ("hull", "", MP_HULL)])
def test_every_source_has_a_url_and_a_checksum_of_the_right_length(name, split, source):
    kind, _, digest = source.checksum.partition(":")
    assert re.fullmatch(rf"[0-9a-f]{{{DIGITS[kind]}}}", digest)
    assert source.url.startswith("https://")
    assert source.citation


def test_the_cdvae_sets_have_three_different_files_at_one_commit():
    for name in ("mp_20", "perov_5", "carbon_24"):
        files = DATA_SETS[name]
        assert tuple(files) == SPLITS
        assert len({source.checksum for source in files.values()}) == 3
        for split, source in files.items():
            assert re.search(rf"/[0-9a-f]{{40}}/data/{name}/{split}\.csv$", source.url)


def test_alex_mp_20_is_one_archive_without_a_test_split():
    files = DATA_SETS["alex_mp_20"]
    assert set(files) == {"train", "val"}
    assert files["train"] == files["val"]


def test_no_table_can_be_changed_by_accident():
    with pytest.raises(TypeError):
        DATA_SETS["mp_20"] = {}
