"""The README's table is made from the profiles."""

from __future__ import annotations

from support.policies import built_in

from gateway.policy.tables import level_control_table


def test_every_level_and_group_is_in_the_table() -> None:
    """Substitutes, shadows and failure modes are said where they are, and nothing where it is not."""
    table = level_control_table(built_in())
    lines = {line.split("|")[1].strip(): line for line in table.splitlines()}
    assert lines["`cbrn_input`"].count("–") == 2
    assert "`input_screen`, else `lexicon`, else refuse" in lines["`cbrn_input`"]
    assert "watches only" in lines["`harm_input`"]
    assert "else pass (counted)" in lines["`harm_input`"]
    assert "asl_serving_halted" in lines["serves"]
    assert "`logprobs`" in lines["refused fields"]
