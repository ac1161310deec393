#!/usr/bin/env bash
# cmake/Unity.cmake compiles small sources of a folder as one, and the grouping depends on their lengths. So no two
# sources of a folder may define the same name in anonymous namespaces, and none may contain `using namespace` or a
# macro that another one would see.
set -euo pipefail
cd "$(git rev-parse --show-toplevel 2>/dev/null || pwd)"
python3 - "$@" <<'PY'
import os, re, sys
from collections import defaultdict

def anonymous_blocks(text):
    """The text between `namespace {` and the brace that closes it."""
    for start in re.finditer(r'^namespace \{', text, re.M):
        depth, i = 1, start.end()
        while depth and i < len(text):
            depth += {'{': 1, '}': -1}.get(text[i], 0)
            i += 1
        yield text[start.end():i - 1]

def without_comments(text):
    text = re.sub(r'R"(\w*)\(.*?\)\1"', '""', text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    text = re.sub(r"'(\\.|[^'\\\n])'", "' '", text)
    return re.sub(r'//[^\n]*|/\*.*?\*/', '', text, flags=re.S)

def heads(block):
    """What stands outside of all braces, cut at braces and semicolons."""
    depth, head = 0, ''
    for c in block:
        if depth == 0 and c in '{;':
            yield ' '.join(head.split())
            head = ''
        elif depth == 0 and c not in '}':
            head += c
        depth += {'{': 1, '}': -1}.get(c, 0)

def types(parameters):
    """Types of parameters without names and defaults, roughly."""
    out, depth = [''], 0
    for c in parameters:
        depth += {'<': 1, '(': 1, '>': -1, ')': -1}.get(c, 0)
        if c == ',' and depth == 0:
            out.append('')
        else:
            out[-1] += c
    return tuple(re.sub(r'\s*\b\w+$', '', p.split('=')[0].strip()) for p in out)

def definitions(path):
    text = without_comments(open(path, encoding='utf-8').read())
    if '#define ' in text:
        for name in re.findall(r'^#define (\w+)', text, re.M):
            if not re.search(rf'^#undef {name}\b', text, re.M):
                yield ('macro', name)
    for block in anonymous_blocks(text):
        for head in heads(block):
            if head.startswith('using '):
                continue
            if match := re.match(r'(?:template <.*?> )?(?:class|struct|enum(?: class)?|union) (\w+)', head):
                yield ('type', match[1])
            elif match := re.search(r'(\w+)\s*\((.*)\)', head):
                yield ('function', match[1], types(match[2]))
            elif match := re.search(r'(\w+)(?:\[.*\])?(?: =.*)?$', head):
                yield ('variable', match[1])

folders = sys.argv[1:] or ['hmrnn', 'examples', 'tests']
bad = 0
for root in folders:
    for folder, _, files in os.walk(root):
        if os.path.basename(folder) in ('cuda', 'emulated_gpu', 'fuzz') or os.path.exists(folder + '/CMakeLists.txt') and root == 'examples' and folder != root:
            continue
        where = defaultdict(list)
        for name in sorted(files):
            if name.endswith('.cpp') and not name.endswith('_kernel.cpp'):
                for what in set(definitions(os.path.join(folder, name))):
                    where[what].append(name)
        for what, names in sorted(where.items()):
            if len(names) > 1:
                bad += 1
                print(f'{folder}: {what[0]} {what[1]} is in {", ".join(names)}')
sys.exit(1 if bad else 0)
PY
