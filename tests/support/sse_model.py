"""The event-stream standard, written down apart from the splitter."""

from __future__ import annotations

from gateway.wire.sse import Event


def model(stream: bytes) -> tuple[list[Event], bool]:
    """The standard, written as a scan over the whole stream, one character at a time (independent of the code under test)."""
    text = stream.decode("latin-1")
    text = text.removeprefix("\u00ef\u00bb\u00bf")
    lines, line, place = [], "", 0
    while place < len(text):
        if text[place] == "\r":
            lines.append(line)
            line = ""
            if text[place + 1 : place + 2] == "\n":
                place += 1
        elif text[place] == "\n":
            lines.append(line)
            line = ""
        else:
            line += text[place]
        place += 1
    events, buffer, kind = [], "", ""
    for each in lines:
        if each == "":
            if buffer:
                events.append(Event(kind.encode("latin-1").decode(), buffer[:-1].encode("latin-1").decode()))
            buffer, kind = "", ""
        elif each[0] == ":":
            continue
        else:
            field, value = each.split(":", 1) if ":" in each else (each, "")
            value = value.removeprefix(" ")
            if field == "data":
                buffer += value + "\n"
            if field == "event":
                kind = value
    return events, bool(line or buffer or kind)
