#!/usr/bin/env python3
"""Each test that docs/promises.md names exists, in the test program that is named with it.

Usage: check_promises.py ROOT   or   check_promises.py --self-test

A row is `| promise | PROGRAM Suite.Name, Suite.Name; PROGRAM ... |`, or `none: why` for its tests.
"""
import pathlib
import re
import sys

PROGRAM = re.compile(r"kportal_test\(\s*(\w+)(.*?)\bDEPS\b", re.S)
SOURCE = re.compile(r"[\w./]+\.cc")
TEST = re.compile(r"^\s*TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
ROW = re.compile(r"^\| (?!-)(.+?) \| (.+?) \|$", re.M)
HEAD = "promise"


def programs(root):
    """The tests of each program: {program: {"Suite.Name"}}."""
    found = {}
    for cmake in (root / "tests").rglob("CMakeLists.txt"):
        for name, rest in PROGRAM.findall(cmake.read_text(encoding="utf-8")):
            tests = found.setdefault(name, set())
            for source in SOURCE.findall(rest):
                path = cmake.parent / source
                if path.is_file():
                    tests |= {".".join(t) for t in TEST.findall(path.read_text(encoding="utf-8"))}
    return found


def problems(page, tests_of):
    rows = [row for row in ROW.findall(page) if row[0] != HEAD]
    if not rows:
        yield "no promises"
    for promise, tests in rows:
        if re.fullmatch(r"none: \S.*", tests):
            continue
        for group in tests.split("; "):
            program, _, names = group.partition(" ")
            if program not in tests_of:
                yield f"{promise}: there is no test program {program}"
                continue
            for name in names.split(", "):
                if name not in tests_of[program]:
                    yield f"{promise}: {program} has no test '{name}'"


def self_test():
    tests_of = {"a_test": {"A.One", "A.Two"}, "b_test": {"B.One"}}
    good = ["| x | a_test A.One |", "| x | a_test A.One, A.Two; b_test B.One |", "| x | none: why |",
            "| promise | tests |\n|---|---|\n| x | b_test B.One |"]
    bad = ["", "| x | a_test A.Three |", "| x | a_test B.One |", "| x | c_test A.One |",
           "| x | a_test A.One, |", "| x | none |", "| x | A.One |", "| x | a_test |"]
    for page in good:
        assert not list(problems(page, tests_of)), page
    for page in bad:
        assert list(problems(page, tests_of)), page


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        self_test()
        sys.exit(0)
    top = pathlib.Path(sys.argv[1])
    wrong = list(problems((top / "docs/promises.md").read_text(encoding="utf-8"), programs(top)))
    print("\n".join(wrong) or "promises: each test that is named exists")
    sys.exit(1 if wrong else 0)
