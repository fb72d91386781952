"""One target under atheris, in a process of its own: ``python -m loadtests.fuzz.hunt TARGET libFuzzer-arguments``.

The gateway is imported instrumented, so nothing may import it before.
"""

from __future__ import annotations

import sys
from random import Random

import atheris


def main(name: str, arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    with atheris.instrument_imports(include=["gateway"]):
        from loadtests.fuzz.damage import damaged
        from loadtests.fuzz.targets import target
    found = target(name)
    seeds = found.seeds()

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        """Half of all changes are libFuzzer's own, the other half know the format."""
        random = Random(seed)
        if random.randrange(2):
            return bytes(atheris.Mutate(data, most))
        return damaged(data, seeds, random, tree=found.tree)[:most]

    atheris.Setup([sys.argv[0], *arguments], found.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
