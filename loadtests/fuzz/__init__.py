"""Coverage-guided fuzzing of every parser that strangers reach: ``python -m loadtests.fuzz TARGET --seconds N``.

A target is a function of bytes. A crash is any exception outside of the parser's typed ones, or a broken claim (``AssertionError``).
Targets need no atheris: the tests run them over their seeds and over seeded damage of these; atheris only searches for longer.
The models that targets are held against are the tests' own (``tests/support``).
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
for folder in (ROOT, ROOT / "tests"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
