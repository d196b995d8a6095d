#!/usr/bin/env python3
"""Plants one bug: writes a copy of a source with a text replaced.

Usage: plant.py ROOT MUTANT OUTPUT; plant.py --part NAME MUTANT to print one of its parts; or
plant.py --check PROMISES MUTANT... to fail unless each promise has a bug that breaks it.
A mutant is a file of five parts, each behind a line "== NAME": breaks (one line for people), shows
(the promise that is found broken, or "assertion"), file, find, replace. The text to find must be in
the file exactly once, so that a mutant cannot rot.
"""
import pathlib
import re
import sys

PARTS = ["breaks", "shows", "file", "find", "replace"]


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


def plant(root, mutant, output):
    parts = read(mutant)
    source = parts["file"].strip()
    text = (pathlib.Path(root) / source).read_text(encoding="utf-8")
    found = text.count(parts["find"])
    if found != 1:
        sys.exit(f"{mutant}: its text is {found} times in {source}: the mutant must follow the source")
    text = text.replace(parts["find"], parts["replace"])
    pathlib.Path(output).write_text(text, encoding="utf-8")


def check(header, mutants):
    text = pathlib.Path(header).read_text(encoding="utf-8")
    promises = re.findall(r"^  (\w+),", text.split("enum class Promise {")[1].split("};")[0], re.M)
    words = re.findall(r'"(\w+)"', text.split("kPromises[] = {")[1].split("};")[0])
    if promises != words:
        sys.exit(f"{header}: the words are not those of the promises")
    shown = {read(mutant)["shows"].strip() for mutant in mutants}
    problems = [f"{name}: no mutant breaks it" for name in promises if name not in shown]
    problems += [f"{name}: no such promise" for name in shown - set(promises) - {"assertion"}]
    if problems:
        sys.exit("\n".join(problems))


def main():
    if sys.argv[1] == "--part":
        print(read(sys.argv[3])[sys.argv[2]].strip(), end="")
    elif sys.argv[1] == "--check":
        check(sys.argv[2], sys.argv[3:])
    else:
        plant(*sys.argv[1:])


main()
