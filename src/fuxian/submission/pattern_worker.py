"""Searches lines with a pattern: JSON in on stdin, the last match or null out on stdout. Killed if it takes long."""

import json
import re
import sys


def main() -> None:
    request = json.load(sys.stdin)
    pattern = re.compile(request["pattern"])
    name = next(iter(pattern.groupindex))
    for line in reversed(request["lines"]):
        matches = list(pattern.finditer(line))
        if matches and matches[-1].group(name) is not None:
            json.dump(matches[-1].group(name), sys.stdout)
            return
    json.dump(None, sys.stdout)


main()
