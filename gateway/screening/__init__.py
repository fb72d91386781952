"""The hold-back machine: answer events and judges' frontiers in; release, hold or cut out. No I/O, no clock, no tasks.

Order. Within a choice events leave first in, first out; choices do not wait for each other; ``Usage`` and ``AnswerEnd`` wait for
everything before them. A text leaves up to the *least* frontier over all groups; a tool call leaves whole or not at all.

Stretches. A channel's text is judged in stretches. As soon as something else of its choice follows, the stretch is final: judges
then clear its tail without look-ahead, and what follows need not wait for the end of the choice. Servers do come back to a
channel (content between parallel tool calls, reasoning before a second tool call): its text then opens a *new* stretch,
which judges see under the next index and which begins with the last 2,048 characters of that kind of text, as context. So a
phrase broken up by a change of channel (or of content block) is still read in one piece. After 32 such changes in a choice
the machine declares nothing final before the choice ends: an answer that alternates is held, at bounded work, not refused.
Keys of pieces are therefore numbered here, per choice and kind from 0; released events keep the upstream's keys.

Tool calls. A call is judged when its arguments are a complete JSON object, which is looked for once when something else of the
choice follows and again at its end (fragments of parallel calls may interleave). Its own key names its one, final piece.

Failing closed. The first flag, cut, malformed event or nonsense of a judge ends everything: buffers are dropped and nothing
leaves any more, whatever is reported later.
"""

from __future__ import annotations

from gateway.screening.machine import Nonsense, Screening, State

__all__ = ["Nonsense", "Screening", "State"]
