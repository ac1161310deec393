#!/usr/bin/env bash
# Tests the pages of `report` in a headless Chromium: figures equal to those of `eval --json` and `align --json`,
# boundaries of a known text, hover, click and tap, both colour schemes, a width of 360 pixels, print; no console
# messages, no network requests.
set -euo pipefail
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 0; }
root=$PWD
. tests/support/program.sh char_lm
if [ -z "$(PYTHONPATH=$tests/support python3 -c 'import browser; print(browser.find() or "")')" ]; then
  echo "skipped: no chromium (apt-get install chromium)"
  exit 0
fi
ink=$(dirname "$bin")/handwriting

train() { "$bin" train --corpus synthetic --synthetic-length 20000 --units 12 --layers 3 --embedding 6 --output-embedding 10 --batch 4 --window 20 \
  --threads 1 --device cpu --log-every 2 --eval-every 20 "$@" >/dev/null; }
train --seed 3 --steps 40 --out run
train --resume --steps 60 --out run
train --seed 4 --steps 20 --boundaries clock:3,9 --out clock
"$bin" report run --characters 900 --out page.html || fail "report"
"$bin" eval run --characters 900 --json >eval.json
"$bin" align run --characters 900 --json >align.json
"$bin" report run clock --characters 600 --out two.html || fail "report of two runs"
printf 'monsel ten\nselmon ten mon\n' >known.txt
"$bin" report run --text known.txt --out known.html || fail "report --text"
"$bin" segment run --json <known.txt >known.json
"$ink" train --corpus synthetic --synthetic-lines 60 --units 8 --layers 3 --output-embedding 8 --batch 8 --window 100 --threads 1 --device cpu --seed 2 \
  --steps 12 --log-every 2 --eval-every 6 --out ink >/dev/null
"$ink" report ink --out ink.html || fail "handwriting report"
"$ink" eval ink --json >ink_eval.json
"$ink" align ink --json >ink_align.json

PYTHONPATH=$tests/support python3 - <<'PYTHON' || fail "a page is not what it should be"
import json, re
from browser import Browser

def data(page):
    text = open(page, encoding="utf-8").read()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))

def line(file):
    return [json.loads(row) for row in open(file, encoding="utf-8")]

def check(condition, what):
    if not condition:
        raise SystemExit("FAILED: %s" % (what,))

def figures(browser, runs):
    """Every figure shown is the number at its path, in as many digits as are shown."""
    shown = browser.run("[...document.querySelectorAll('[data-figure]')].map(e => [e.dataset.figure, e.textContent])")
    check(len(shown) > 10, shown)
    for path, text in shown:
        value = {"runs": runs}
        for key in path.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        number = float(re.sub(r"[^0-9.e-]", "", text.replace(" M", "")))
        if text.endswith("%"):
            value *= 100
        if text.endswith("M"):
            value /= 1e6
        digits = len(text.rstrip("% M").split(".")[1]) if "." in text else 0
        check(abs(number - value) <= 0.5001 * 10 ** -digits, (path, text, value))
    return {path for path, _ in shown}

# The page contains the output of eval and align.
page = data("page.html")["runs"][0]
check(page["eval"] == line("eval.json")[0], "eval")
check(page["align"] == line("align.json")[0], "align")
check(page["training"]["resumes"] == [40], page["training"]["resumes"])
ink = data("ink.html")["runs"][0]
check(ink["eval"] == line("ink_eval.json")[0] and ink["align"] == line("ink_align.json")[0], "ink")

with Browser() as browser:
    seconds = browser.open("page.html")
    check(browser.complaints == [], browser.complaints)
    names = figures(browser, data("page.html")["runs"])
    for name in ("eval.bpc", "eval.bits", "eval.characters", "eval.updates.0", "eval.cost.flops", "eval.cost.dense_flops", "segments.0.mean",
                 "align.layers.0.words.f1", "align.layers.0.words.chance.f1", "align.layers.0.words.clock.f1", "align.layers.1.syllables.precision"):
        check("runs.0." + name in names, name)
    check(browser.run("document.querySelectorAll('#training figure svg').length") >= 6, "charts")
    check(browser.run("document.querySelectorAll('#training .resume').length") >= 6, "marks of the resume")

    # Hover describes a cell, a click selects its segment in all rows, another one deselects it.
    signals = page["signals"]
    browser.hover('.cell[data-i="7"][data-layer="0"]')
    told = browser.run("document.getElementById('inspector').textContent")
    name = {"U": "UPDATE", "C": "COPY", "F": "FLUSH"}
    check("character 8" in told and "layer 1: " + name[signals["operations"][0][7]] in told, told)
    check("layer 2: " + name[signals["operations"][1][7]] in told and "layer 3: " + name[signals["operations"][2][7]] in told, told)
    check(("%.2f" % (int(signals["probability"][0][14:16], 16) / 255)) in told, told)
    z, begin, end = signals["z"][0], 7, 7
    while begin > 0 and z[begin - 1] != "1": begin -= 1
    while end + 1 < len(z) and z[end] != "1": end += 1
    kept = "[...new Set([...document.querySelectorAll('.cell.kept')].map(e => Number(e.dataset.i)))]"
    browser.click('.cell[data-i="7"][data-layer="0"]')
    check(browser.run(kept) == list(range(begin, end + 1)), (browser.run(kept), begin, end))
    check(browser.run("new Set([...document.querySelectorAll('.cell.kept')].map(e => e.parentElement.className + e.dataset.layer)).size") >= 4, "rows")
    browser.click('.cell[data-i="7"][data-layer="0"]')
    check(browser.run(kept) == [], "a second click")

    # The DOM contains the boundaries of a known text.
    browser.open("known.html")
    cells = data("known.html")["cells"]
    check("".join(cells) == "monsel ten\nselmon ten mon", cells)
    found = line("known.json")
    for layer in (0, 1):
        marks = browser.run("[...document.querySelectorAll('.row.layer .cell[data-layer=\"%d\"]')].map(e => e.classList.contains('end') ? 1 : 0)" % layer)
        # segment reads the line ends too, but does not show them
        expected = found[0]["z"][layer] + marks[10:11] + found[1]["z"][layer]
        check(marks == expected[:len(marks)] and len(marks) == 25, (layer, marks, expected))

    # A phone: nothing is wider than the screen. Taps act like clicks.
    for name in ("page.html", "two.html", "ink.html"):
        browser.open(name, width=360, height=740)
        check(browser.complaints == [], (name, browser.complaints))
        check(browser.run("document.documentElement.scrollWidth") <= 360, (name, browser.run("document.documentElement.scrollWidth")))
    browser.open("page.html", width=360, height=740)
    x, y = browser.place('.cell[data-i="5"][data-layer="1"]')
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        browser.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    browser.run("new Promise(done => setTimeout(() => done(1), 400))")
    check(browser.run("document.querySelectorAll('.cell.kept').length") > 0, "a tap")

    # In both colour schemes text and background contrast, and they swap.
    def luminance(element, what):
        parts = [int(x) / 255 for x in re.findall(r"\d+", browser.run("getComputedStyle(document.%s).%s" % (element, what)))[:3]]
        return sum(f * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for f, c in zip((0.2126, 0.7152, 0.0722), parts))
    for dark in (False, True):
        browser.open("two.html", dark=dark)
        ground, text = luminance("body", "backgroundColor"), luminance("body", "color")
        check((ground < text) == dark, (dark, ground, text))
        check((max(ground, text) + 0.05) / (min(ground, text) + 0.05) > 7, "contrast")
    figures(browser, data("two.html")["runs"])
    check(browser.run("document.querySelectorAll('#figures thead th').length") == 3, "two runs side by side")

    browser.open("ink.html")
    check(browser.complaints == [], browser.complaints)
    figures(browser, data("ink.html")["runs"])
    points = len(data("ink.html")["lines"][0]["points"])
    check(browser.run("document.querySelectorAll('#ink figure').length") == 3, "strokes and two layers")
    check(browser.run("document.querySelectorAll('#ink svg path').length") == 3 * points, "points")
    browser.run("document.querySelector('#ink figure:nth-of-type(2) path[data-i=\"20\"]').dispatchEvent(new PointerEvent('click', {bubbles: true}))")
    check(browser.run("document.querySelectorAll('#ink path.kept').length") % 3 == 0 and browser.run("document.querySelectorAll('#ink path.kept').length") > 0, "a segment of ink")
    check("point 21" in browser.run("document.getElementById('inspector').textContent"), "the inspector of ink")

    browser.open("page.html", media="print")
    check(browser.run("getComputedStyle(document.querySelector('.controls')).display") == "none", "print")
    browser.pdf("page.pdf")
    check(open("page.pdf", "rb").read(5) == b"%PDF-", "pdf")
PYTHON

# A page of 10,000 updates and 20,000 characters has less than 3 MB and loads in 2 s.
python3 - <<'PYTHON'
import json, random
random.seed(1)
with open("run/metrics.jsonl", "w") as out:
    for step in range(1, 10001):
        record = {"event": "train", "step": step, "epoch": 0, "loss": random.random(), "bpc": random.random(), "grad_norm": random.random(),
                  "lr": 0.002, "slope": 1.0, "updates": [1.0, random.random(), random.random()], "characters_per_second": 1e4 * random.random()}
        out.write(json.dumps(record) + "\n")
        if step % 100 == 0:
            out.write(json.dumps({**record, "event": "eval"}) + "\n")
PYTHON
"$bin" train --corpus synthetic --synthetic-length 410000 --units 12 --layers 3 --embedding 6 --output-embedding 10 --batch 4 --window 20 --seed 3 --steps 1 \
  --threads 1 --device cpu --out long >/dev/null
cp run/metrics.jsonl long/
"$bin" report long --out long.html || fail "a long report"
[ "$(stat -c %s long.html)" -lt 3000000 ] || fail "the page has $(stat -c %s long.html) bytes"
PYTHONPATH=$tests/support python3 - <<'PYTHON' || fail "the long page"
from browser import Browser
with Browser() as browser:
    seconds = min(browser.open("long.html") for _ in range(3))
    print("a page of 20,000 characters is there in %.2f s" % seconds)
    assert browser.complaints == [] and browser.run("JSON.parse(document.getElementById('data').textContent).cells.length") == 19999
    assert seconds < 2, seconds
PYTHON

# Records that are none.
cp -r run odd
rm odd/metrics.jsonl && mkfifo odd/metrics.jsonl
refuse "not a regular file" report odd --out odd.html
rm odd/metrics.jsonl
python3 -c 'n = 200000; print("{\"event\":\"train\",\"step\":1,\"updates\":" + n * "[" + n * "]" + "}")' > odd/metrics.jsonl
refuse "metrics.jsonl:1: not a record of training" report odd --out odd.html
echo '{"event":"train","step":1,"updates":5}' > odd/metrics.jsonl
"$bin" report odd --out odd.html || fail "report of a record whose updates are no list"

refuse "must end in .html" report run --out page.txt
refuse "out is missing" report run
refuse "does not exist" report run nothing --out new.html
finish
