"""The composition root: the only room that knows all others. It wires them, serves them, and ends them."""
