"""What can happen to a field, a block or a part of a request: the words of the tables that each dialect keeps."""

from __future__ import annotations

from enum import StrEnum


class Treatment(StrEnum):
    """What happens to a field or block."""

    SCREENED = "screened"  # its strings are leaves
    INERT = "inert"  # enumerated, a flag, or a number in its range
    ROUTED = "routed"  # read by the gateway and replaced
    REPORTED = "reported"  # no view can read it: named as a feature, which the level in force may refuse
    REFUSED = "refused"  # 400, naming it
