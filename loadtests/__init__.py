"""Measurements of a running gateway. Figures depend on the machine, so nothing here is a test; reports name commit and time."""
