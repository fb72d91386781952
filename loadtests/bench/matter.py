"""What is sent and said: ordinary prompts, ordinary answers cut into tokens, and a thousand rules that none of them breaks."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROMPTS = HERE / "prompts.txt"  # one a line, without characters that JSON escapes
ANSWERS = HERE / "answers.txt"
RULES = 1000
PATTERNS = 100  # of the rules; the others are literals
SEED_GAPS = 10_000_000  # upstream.c: seed = first token * SEED_GAPS + microseconds between chunks
SYLLABLES = ("ba", "ke", "lu", "mo", "ri", "sta", "tre", "vin", "zor", "pla", "gim", "dun", "fer", "hol", "qua")


@dataclass(frozen=True, slots=True)
class Matter:
    """Files that the programs read."""

    tokens: Path
    prompts: Path
    rules: Path
    count: int  # of tokens


def write(folder: Path) -> Matter:
    """Write all of it into a folder."""
    tokens = cut(" ".join(ANSWERS.read_text().split()))
    matter = Matter(folder / "tokens.txt", PROMPTS, folder / "rules", len(tokens))
    matter.tokens.write_text("".join(f"{token}\n" for token in tokens))
    matter.rules.mkdir()
    (matter.rules / "bench.yaml").write_text(json.dumps({"rules": rules()}))
    return matter


def cut(text: str) -> list[str]:
    """A text in pieces of about four letters, the length of a model's token, each with the blank before it."""
    return re.findall(r" ?[^ ]{1,5}", text)


def rules() -> list[dict[str, object]]:
    """Rules of invented words in both directions: literals of two to four words, and patterns with a bounded gap. Always the same ones."""
    dice = random.Random(3)
    made: list[dict[str, object]] = []
    for number in range(RULES):
        words = [_word(dice) for _ in range(dice.randint(2, 4))]
        match = {"literal": " ".join(words)} if number >= PATTERNS else {"pattern": f"{words[0]} .{{0,20}}{words[1]}"}
        made.append(
            {
                "id": f"bench-{number:04d}",
                "category": "bench",
                "direction": "both",
                "match": match,
                "action": "block",
                "reason": "load",
            }
        )
    return made


def _word(dice: random.Random) -> str:
    return "".join(dice.choice(SYLLABLES) for _ in range(dice.randint(3, 4)))


def stream_bodies(matter: Matter, path: Path, *, streams: int, chunks: int, gap_us: int, salt: int) -> Path:
    """A file with one request for a stream a line; prompts and answers differ from line to line, and from salt to salt."""
    prompts = matter.prompts.read_text().splitlines()
    lines = []
    for number in range(streams):
        at = salt * streams + number
        text = f"{prompts[at % len(prompts)]} ({at})"
        lines.append(_body(text, chunks, at * 97 % matter.count * SEED_GAPS + gap_us))
    path.write_text("".join(lines))
    return path


def _body(text: str, chunks: int, seed: int) -> str:
    message: Sequence[dict[str, str]] = [{"role": "user", "content": text}]
    body = {"model": "demo-model", "messages": message, "stream": True, "max_tokens": chunks, "seed": seed}
    return json.dumps(body, separators=(",", ":")) + "\n"
