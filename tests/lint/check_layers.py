#!/usr/bin/env python3
"""Includes may only point down the floors of docs/architecture.md; strangers on one floor stay so.

Usage: check_layers.py ROOT   or   check_layers.py --self-test
"""
import pathlib
import re
import sys

FLOORS = {"cmd": 7, "lab": 6, "doctor": 6, "forward": 5, "k8s": 4, "healthcheck": 4,
          "net": 3, "events": 3, "config": 3, "base": 2}
# Headers that only one file of a folder may see (the folder, the pattern, who may).
ONLY_IN = [(re.compile(r"<curl/"), {"k8s/curl_multi.cc"}),
           (re.compile(r"<CLI/"), {"cmd/options.cc"}),
           (re.compile(r"<spdlog/"), {"base/log.cc"})]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"][^>"]+[>"])', re.M)


def problems(name, text):
    folder = name.split("/")[0]
    for include in INCLUDE.findall(text):
        for pattern, allowed in ONLY_IN:
            if pattern.match(include) and name not in allowed:
                yield f"{name}: includes {include}, which only {', '.join(sorted(allowed))} may"
        target = include[1:-1].split("/")[0]
        if include[0] != '"' or target == folder:
            continue
        if target not in FLOORS:
            yield f"{name}: includes {include}, which is not rooted at a folder of the project"
        elif FLOORS[target] >= FLOORS[folder]:
            yield f"{name}: {folder}/ must not include {include}"


def self_test():
    assert not list(problems("net/a.cc", '#include "base/x.h"\n#include "net/b.h"\n#include <map>'))
    assert list(problems("net/a.cc", '#include "forward/x.h"'))
    assert list(problems("net/a.cc", '#include "events/x.h"'))
    assert list(problems("net/a.cc", '#include "b.h"'))
    assert list(problems("net/a.cc", "#include <curl/curl.h>"))


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        self_test()
        sys.exit(0)
    root = pathlib.Path(sys.argv[1])
    found = [p for folder in FLOORS for f in sorted((root / folder).rglob("*.[hc]*"))
             if f.suffix in (".h", ".cc")
             for p in problems(f.relative_to(root).as_posix(), f.read_text(encoding="utf-8"))]
    print("\n".join(found) or "layers: no arrow points up")
    sys.exit(1 if found else 0)
