#!/usr/bin/env python3
"""Plants one bug: writes a copy of a source with a text replaced.

Usage: plant.py ROOT MUTANT OUTPUT, or plant.py --source MUTANT to print which source it is of.
A mutant is a file of four parts, each behind a line "== NAME": breaks (one line for people), file,
find, replace. The text to find must be in the file exactly once, so that a mutant cannot rot.
"""
import pathlib
import sys

PARTS = ["breaks", "file", "find", "replace"]


def read(path):
    parts = {}
    name = None
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("== "):
            name = line[3:].strip()
            parts[name] = ""
        elif name is not None:
            parts[name] += line
    if list(parts) != PARTS:
        sys.exit(f"{path}: it needs the parts {', '.join(PARTS)} in this order")
    return parts


def main():
    if sys.argv[1] == "--source":
        print(read(sys.argv[2])["file"].strip(), end="")
        return
    root, mutant, output = sys.argv[1:]
    parts = read(mutant)
    source = parts["file"].strip()
    text = (pathlib.Path(root) / source).read_text(encoding="utf-8")
    found = text.count(parts["find"])
    if found != 1:
        sys.exit(f"{mutant}: its text is {found} times in {source}: the mutant must follow the source")
    text = text.replace(parts["find"], parts["replace"])
    pathlib.Path(output).write_text(text, encoding="utf-8")


main()
