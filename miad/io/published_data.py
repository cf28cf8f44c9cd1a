"""Sources of published data: the only place that holds a publisher's URL or checksum."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Source:
    """One published file.

    Attributes:
        url: the publisher's address, at a fixed version where the publisher has versions.
        checksum: `sha256:…`, `md5:…` or `git:…` (a git blob id) of the file as served.
        citation: what to cite, and the licence.
    """

    url: str
    checksum: str
    citation: str


_CDVAE = (
    "https://raw.githubusercontent.com/txie-93/cdvae/f857f598d6f6cca5dc1ea0582d228f12dcc2c2ea/data/{name}/{split}.csv"
)
_CDVAE_CITATION = "Xie et al., Crystal Diffusion Variational Autoencoder, arXiv:2110.06197 (MIT)"
_CDVAE_BLOBS = {
    "mp_20": (
        "b1c9d498565ac2fd8d075a51ff2ef5e51ba6c21f",
        "7efe4d7ebeb4f460ceaad35e5326c42111d9c9a1",
        "5dc643041df53f5ce4970a79930ad262b4f07acd",
    ),
    "perov_5": (
        "0769074b5d51d293b765c4371b8f55c468c9c9f2",
        "4a2c8dde98347dd0e01fa83dcf3982c2abe98f9f",
        "d3c5d5af4b27a2a139149f2bb73c8a3dba9d8ac1",
    ),
    "carbon_24": (
        "5e7ae970fbad8ddc46b6963e8cd6e425f11783a6",
        "b3e29b927883642426ca1d9632d00359b412742b",
        "9beca843fde489de1fe288b32f9e3ff710d42803",
    ),
}
# One archive with train.csv and val.csv; no test split was published.
_ALEX_MP_20 = Source(
    url="https://github.com/microsoft/mattergen/raw/main/data-release/alex-mp/alex_mp_20.zip",
    checksum="sha256:6688e652e45fac4ac8b016dbc4a3280afde9ba687bdacfd8c676775ed19b6228",
    citation="Zeni et al., MatterGen, doi:10.1038/s41586-025-08628-5; Alexandria and Materials Project (CC-BY 4.0)",
)

DATA_SETS: Mapping[str, Mapping[str, Source]] = MappingProxyType(
    {
        **{
            name: {
                split: Source(_CDVAE.format(name=name, split=split), f"git:{blob}", _CDVAE_CITATION)
                for split, blob in zip(SPLITS, blobs, strict=True)
            }
            for name, blobs in _CDVAE_BLOBS.items()
        },
        "alex_mp_20": {"train": _ALEX_MP_20, "val": _ALEX_MP_20},
    }
)
"""{data set: {split: file}}; a zip holds its splits as `train.csv` and so on."""

MP_HULL = Source(
    url="https://figshare.com/ndownloader/files/48241624",
    checksum="md5:60d19d691fa1d338aa496a40a9641bef",
    citation="Materials Project 2023-02-07 (CC-BY 4.0), as published by Riebesell et al., Matbench Discovery (MIT)",
)
"""PatchedPhaseDiagram of the Materials Project, a gzipped pickle: to be opened only after its checksum."""
