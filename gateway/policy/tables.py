"""Tables for the documentation, generated from the profiles, so that they never promise more than is switched on."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.policy.levels import Profile
from gateway.terms import OnFailure, Standing

SERVING = {
    Standing.SERVING: "yes",
    Standing.NOT_ASSESSED: "no: `asl_not_assessed`",
    Standing.HALTED: "no: `asl_serving_halted`",
}


def level_control_table(profiles: Mapping[int, Profile]) -> str:
    """Markdown: one column a level, one row for each thing that a level switches on."""
    levels = sorted(profiles)
    rows = [["serves"] + [SERVING[profiles[asl].standing] for asl in levels]]
    names = list(dict.fromkeys(group.name for asl in levels for group in profiles[asl].groups))
    rows += [[f"`{name}`"] + [_group(profiles[asl], name) for asl in levels] for name in names]
    rows.append(
        ["refused fields"]
        + [", ".join(f"`{feature}`" for feature in sorted(profiles[asl].refused)) or "–" for asl in levels]
    )
    rows.append(["answers are held"] + [profiles[asl].hold.name.lower() for asl in levels])
    rows.append(["screening windows of a prompt, at most"] + [str(profiles[asl].screen_budget) for asl in levels])
    head = ["control group", *(f"ASL-{asl}" for asl in levels)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _group(profile: Profile, name: str) -> str:
    group = next((found for found in profile.groups if found.name == name), None)
    if group is None:
        return "–"
    first, *substitutes = group.members
    text = f"`{first}`" + (" (watches only)" if first in profile.shadow else "")
    if substitutes:
        text += ", else " + ", else ".join(f"`{member}`" for member in substitutes)
    return text + (", else refuse" if group.on_failure is OnFailure.REFUSE else ", else pass (counted)")
