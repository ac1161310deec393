#!/usr/bin/env bash
# cmake/Unity.cmake compiles several sources of a target as one, and the grouping depends on their lengths. So no two
# sources of a target may define the same name in anonymous namespaces, or the same macro without undefining it, and a
# source may not open a backend's namespace for the sources behind it (`using namespace hmrnn::cuda` at file scope).
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
    return tuple(re.sub(r'\s*\b\w+$', '', p.split('=')[0].strip()).replace('hmrnn::', '') for p in out)

OPEN = re.compile(r'hmrnn(::test)?|std::\w+_literals')  # namespaces that every source may open

def opened(path):
    """Namespaces that a source opens for those behind it."""
    for head in heads(without_comments(open(path, encoding='utf-8').read())):
        if (match := re.search(r'\busing namespace ([\w:]+)$', head)) and not OPEN.fullmatch(match[1]):
            yield match[1]

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
            elif match := re.match(r'TORCH_MODULE\((\w+)\)', head):
                yield ('type', match[1])
            elif match := re.search(r'(\w+)\s*\((.*)\)', head):
                yield ('function', match[1], types(match[2]))
            elif match := re.search(r'(\w+)(?:\[.*\])?(?: =.*)?$', head):
                yield ('variable', match[1])

# The folders that are compiled into one target. Each folder given as an argument is a target.
targets = [[folder] for folder in sys.argv[1:]] or [
    ['hmrnn/ops', 'hmrnn/nn', 'hmrnn/models', 'hmrnn/io'], ['hmrnn/ops/cuda'],
    ['hmrnn/data', 'hmrnn/train', 'hmrnn/tasks', 'hmrnn/run', 'hmrnn/analysis'],
    ['examples/program'], ['examples/char_lm'], ['examples/handwriting'], ['tests/bench'],
    ['hmrnn/ops/cuda', 'tests/analysis', 'tests/data', 'tests/io', 'tests/models', 'tests/nn', 'tests/ops', 'tests/run',
     'tests/support', 'tests/tasks', 'tests/train']]
apart = ('emulated_grid.cpp', 'host_kernels.cpp')  # compiled separately
bad = 0
for target in targets:
    where = defaultdict(list)
    for root in target:
        if not os.path.isdir(root):
            sys.exit(f'there is no folder {root}')
        for folder, _, files in os.walk(root):
            if folder == 'hmrnn/ops/cuda' and root == 'hmrnn/ops':
                continue
            for name in sorted(files):
                if name.endswith('.cpp') and not name.endswith('_kernel.cpp') and name not in apart:
                    path = os.path.join(folder, name)
                    for what in set(definitions(path)):
                        where[what].append(path)
                    for name in opened(path):
                        bad += 1
                        print(f'{path} opens namespace {name} for the sources behind it')
    # Tests use the namespace of their support's headers, whose functions must have other names too.
    for name in sorted(os.listdir('tests/support')) if target[-1].startswith('tests/') else []:
        if name.endswith('.h'):
            text = without_comments(open('tests/support/' + name, encoding='utf-8').read())
            for function, parameters in re.findall(r'^inline [\w:<>,& ]+?(\w+)\(([^;{}]*?)\)\s*\{', text, re.M):
                what = ('function', function, types(parameters))
                if what in where:
                    where[what].append('tests/support/' + name)
            for function in re.findall(r'^template <.*>\n[\w:<>,& ]+?(\w+)\(', text, re.M):
                for what in [w for w in where if w[:2] == ('function', function)]:
                    where[what].append('tests/support/' + name)
    for what, names in sorted(where.items()):
        if len(names) > 1:
            bad += 1
            print(f'{what[0]} {what[1]} is in {", ".join(names)}')
sys.exit(1 if bad else 0)
PY
