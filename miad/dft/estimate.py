"""Rates over all attempted samples when only some of them were sent to DFT, drawn at random from each stratum."""

from typing import Any

from miad.core.statistics import Stratum, stratified

TARGETS = ("stable", "metastable", "sun", "msun")
# What no count of those that were sent says of all samples: known crystals and duplicates are not sent, or few of them.
NEVER_KNOWN = ("unique", "novel")
UNKNOWN = {
    "estimate": NEVER_KNOWN,
    "not_sun": ("stable", "metastable", "unique_novel_among_stable", "unique_novel_among_metastable", *NEVER_KNOWN),
}


def unknown(rule: str) -> dict[str, Any]:
    """The rates that stay unknown where only a part was sent to DFT, as they stand in the row file.

    Args:
        rule: how crystals count that were not sent, dft.not_sent.
    """
    return {rate: {"value": None, "low": None, "high": None} for rate in UNKNOWN[rule]}


def estimates(strata: dict[str, dict[str, list[str]]], judged: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Rates over all attempted samples from a stratified subsample, percent with intervals, for one protocol.

    Args:
        strata: {name: {"all": ids, "sent": ids}} of the triage.
        judged: {crystal_id: verdict of the protocol, as `miad sun` writes it}.

    Of duplicates in different strata the one in the stratum that was sampled most densely counts, so that a crystal
    is not found once with weight one and again with the weight of a thinner stratum.
    """
    share = {
        identity: len(part["sent"]) / len(part["all"])
        for part in strata.values()
        if part["all"]
        for identity in part["sent"]
    }
    successes = {rate: {one for one in share if _succeeds(judged[one], rate)} for rate in TARGETS}
    for rate in ("sun", "msun"):
        for identity in successes[rate].copy():
            group = [other for other in share if judged[other]["group"] == judged[identity]["group"]]
            successes[rate].remove(identity)
            successes[rate].add(max(group, key=lambda one: (share[one], one)))
    found = {}
    for rate in TARGETS:
        parts = []
        for part in strata.values():
            # A stratum of failed samples has nothing to calculate: all of it is known not to succeed.
            examined = len(part["sent"]) or len(part["all"])
            parts.append(Stratum(len(part["all"]), examined, len(successes[rate] & set(part["sent"]))))
        found[rate] = vars(stratified(parts).percent())
    for part, whole in (("sun", "stable"), ("msun", "metastable")):
        ratio = 100 * found[part]["value"] / found[whole]["value"] if found[whole]["value"] else None
        # The two are estimated from the same samples: an interval of their ratio is not at hand.
        found[f"unique_novel_among_{whole}"] = {"value": ratio, "low": None, "high": None}
    return found


def _succeeds(verdict: dict[str, Any], rate: str) -> bool:
    """Whether a sample counts for a rate, by its verdict under one protocol."""
    is_low = verdict["is_stable"] if rate in ("stable", "sun") else verdict["is_metastable"]
    if rate in ("stable", "metastable"):
        return bool(is_low)
    is_barred = verdict["reason"] in ("one element", "not converged")
    return bool(is_low and verdict["is_unique"] and verdict["is_novel"] and not is_barred)
