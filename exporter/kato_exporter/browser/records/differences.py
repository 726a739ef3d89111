"""What an edit changes, line by line."""

import difflib

_CONTEXT = 3
_MOST_LINES = 20_000
_GAP = (" ", "…")

Lines = list[tuple[str, str]]
"""Pairs of `+`, `-` or a space, and a line."""


def diff_lines(before: str, after: str) -> Lines:
    """Compare two texts; give only what is near a change.

    Texts of very many lines are given whole, the old one and then the new one.
    """
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > _MOST_LINES:
        return [*(("-", line) for line in old), *(("+", line) for line in new)]
    lines: Lines = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(
        _CONTEXT
    ):
        if lines or group[0][1]:
            lines.append(_GAP)
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += [(" ", line) for line in old[old_from:old_to]]
            else:
                lines += [("-", line) for line in old[old_from:old_to]]
                lines += [("+", line) for line in new[new_from:new_to]]
    return lines
