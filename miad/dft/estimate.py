"""Rates over all attempted samples when only some of them were sent to DFT, drawn at random from each stratum."""

from collections.abc import Mapping
from typing import Any

from miad.core.statistics import Stratum, stratified
from miad.sun.verdict import Verdict

# dft.not_sent in words: how the samples count that were not sent.
RULES = {
    "not_sun": "not sent to DFT counts as not S.U.N.",
    "estimate": "not sent to DFT estimated from a stratified random subsample",
}
# Known crystals and duplicates are not sent, or few of them: the sent ones do not tell these rates of all samples.
NEVER_KNOWN = ("unique", "novel")
UNKNOWN = {
    "estimate": NEVER_KNOWN,
    "not_sun": ("stable", "metastable", "unique_novel_among_stable", "unique_novel_among_metastable", *NEVER_KNOWN),
}


def unknown(rule: str) -> dict[str, Any]:
    """The rates that stay unknown where only a part was sent to DFT, as they stand in the row file, by dft.not_sent."""
    return {rate: {"value": None, "low": None, "high": None} for rate in UNKNOWN[rule]}


def estimates(strata: dict[str, dict[str, list[str]]], judged: Mapping[str, Verdict]) -> dict[str, Any]:
    """Rates over all attempted samples from a stratified subsample, percent with intervals, for one protocol.

    Of duplicates in different strata the one in the stratum that was sampled most densely counts, so that a crystal
    is not found once with weight one and again with the weight of a thinner stratum. The strata are those of the
    triage, {name: {"all": ids, "sent": ids}}; the verdicts, {crystal_id: verdict}, those of the protocol.
    """
    share = {one: len(part["sent"]) / len(part["all"]) for part in strata.values() for one in part["sent"]}
    densest: dict[str | None, str] = {}  # {group of duplicates: the one that counts}
    for identity in sorted(share, key=lambda one: (share[one], one)):
        densest[judged[identity].group] = identity
    successes = {
        "stable": {one for one in share if judged[one].is_stable},
        "metastable": {one for one in share if judged[one].is_metastable},
        "sun": {densest[judged[one].group] for one in share if judged[one].is_sun},
        "msun": {densest[judged[one].group] for one in share if judged[one].is_msun},
    }
    found: dict[str, Any] = {}
    for rate, succeeded in successes.items():
        parts = [
            # A stratum of failed samples has nothing to calculate: all of it is known not to succeed.
            Stratum(len(part["all"]), len(part["sent"]) or len(part["all"]), len(succeeded & set(part["sent"])))
            for part in strata.values()
        ]
        found[rate] = vars(stratified(parts).percent())
    for counted, whole in (("sun", "stable"), ("msun", "metastable")):
        ratio = 100 * found[counted]["value"] / found[whole]["value"] if found[whole]["value"] else None
        # The two are estimated from the same samples: an interval of their ratio is not at hand.
        found[f"unique_novel_among_{whole}"] = {"value": ratio, "low": None, "high": None}
    return found
