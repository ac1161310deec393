#!/usr/bin/env python3
"""Does the model discover anything? Trains variants of one small model for equal time, scores them, and writes a table.

    discover.py --out DIR [--corpora synthetic,ptb] [--data-dir DIR] [--minutes 5] [--seeds 1,2,3] [--only WORDS] [--table]

An epoch is 300,000 characters: of the synthetic language, or the first of the Penn Treebank's training text (a copy is
in DIR/ptb-head). Every run is a folder DIR/CORPUS/VARIANT/SEED with the files of `char_lm train` and result.json (`eval --json` and
`align --json` of the test split). Finished runs are not repeated, so that the script can be stopped and started again.
DIR/results.md and DIR/results.svg (bits against products) are rewritten after each run; --table only writes them,
without training.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys

SIZES = "--units 128 --layers 3 --embedding 64 --output-embedding 128 --batch 32 --window 100 --lr 0.002 --clip 1 --layer-norm on --threads 1 --device cpu"
# A training text of so many characters is an epoch, short enough for the slope to rise from 1 to 5 within minutes.
EPOCH = 300000
ANNEALED = "--slope-rate 1 --slope-max 5"
PLAIN = "--slope-rate 0"
VARIANTS = {
    # The paper's ablation: how boundaries are decided, with and without slope annealing.
    "step, annealed": "--boundary step " + ANNEALED,
    "step": "--boundary step " + PLAIN,
    "Bernoulli, annealed": "--boundary bernoulli " + ANNEALED,
    "Bernoulli": "--boundary bernoulli " + PLAIN,
    "soft, annealed": "--boundary soft " + ANNEALED,
    "soft": "--boundary soft " + PLAIN,
    # A cost of firing, in nats.
    "step, annealed, cost 0.01": "--boundary step --update-cost 0.01 " + ANNEALED,
    "step, annealed, cost 0.03": "--boundary step --update-cost 0.03 " + ANNEALED,
    # A cost that adapts until the layers fire at these rates.
    "step, annealed, rates 0.4, 0.15": "--boundary step --target-rate 0.4,0.15 " + ANNEALED,
    # Controls that discover nothing: true ends of words and phrases (lines), clocks, an LSTM.
    "given: spaces and line ends": "--boundaries spaces",
    "given: a clock, 4 and 16": "--boundaries clock:4,16",
    "given: a clock, 6 and 30": "--boundaries clock:6,30",
    "LSTM": "--core lstm",
}
CORPORA = ("synthetic", "ptb")


def fail(message):
    print("discover: " + message, file=sys.stderr)
    sys.exit(2)


class CallFailed(Exception):
    pass


def call(program, *arguments):
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise CallFailed("%s %s: %s" % (program, arguments[0], done.stderr.strip().split("\n")[-1]))
    return done.stdout


def folder_of(out, corpus, variant, seed):
    name = "".join(c if c.isalnum() or c == "." else "_" for c in variant)
    return out / corpus / name / str(seed)


def ptb_folder(options):
    """Where char_lm looks too: --data-dir, $HMRNN_DATA_DIR/ptb, data/ptb."""
    if options.data_dir:
        return pathlib.Path(options.data_dir)
    shared = pathlib.Path(os.environ.get("HMRNN_DATA_DIR", "data")) / "ptb"
    return shared if shared.is_dir() else pathlib.Path("data/ptb")


def head_of_ptb(options):
    """A folder with the beginning of the Penn Treebank's training text, and the whole of its other splits."""
    head = options.out / "ptb-head"
    if head.is_dir():
        return head
    source = ptb_folder(options)
    for stem, symbol in (("ptb.char.", 2), ("ptb.", 1)):  # a symbol is one character and a space, or one character
        files = [source / (stem + split + ".txt") for split in ("train", "valid", "test")]
        if all(file.exists() for file in files):
            break
    else:
        fail("neither ptb.char.{train,valid,test}.txt nor ptb.{train,valid,test}.txt is in %s" % source)
    unfinished = options.out / ("ptb-head.%d" % os.getpid())
    unfinished.mkdir(parents=True)
    for file in files:
        text = file.read_bytes()
        (unfinished / file.name).write_bytes(text[: EPOCH * symbol] if ".train." in file.name else text)
    unfinished.rename(head)
    return head


def corpus_options(options, corpus):
    if corpus == "synthetic":
        return ["--corpus", "synthetic", "--synthetic-length", str(EPOCH)]
    return ["--corpus", "ptb", "--data-dir", str(head_of_ptb(options))]


def run(options, corpus, variant, seed):
    """Trains and evaluates, unless the result exists."""
    folder = folder_of(options.out, corpus, variant, seed)
    result = folder / "result.json"
    if result.exists():
        return
    length = ["--steps", str(options.steps)] if options.steps else ["--minutes", str(options.minutes)]
    print("%s, %s, seed %d" % (corpus, variant, seed), flush=True)
    try:
        if (folder / "last" / "state.safetensors").exists():
            call(options.program, "train", "--out", str(folder), "--resume")
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            call(options.program, "train", *corpus_options(options, corpus), *SIZES.split(), *VARIANTS[variant].split(), "--eval-every", "500", *length,
                 "--seed", str(seed), "--out", str(folder))
    except CallFailed as error:
        if "is not finite" not in str(error):
            raise
        result.write_text(json.dumps({"failed": str(error)}))  # a result too: the table counts it
        return
    scored = {"eval": json.loads(call(options.program, "eval", str(folder), "--streams", "16", "--json"))}
    if "--core" not in VARIANTS[variant]:
        # Events are the true syllables, words and phrases on the synthetic corpus, spaces and words on PTB. The end
        # of a word can be recognised only at the space after it: --shift 1 for ends of words.
        for shift in (0, 1):
            text = call(options.program, "align", str(folder), "--characters", "50000", "--shift", str(shift), "--json")
            scored["align%d" % shift] = json.loads(text)
    result.write_text(json.dumps(scored))


def results(options, corpus, variant):
    """The results of the trainings that came to their end, and how many ended because nothing was finite any more."""
    files = [folder_of(options.out, corpus, variant, seed) / "result.json" for seed in options.seeds]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    return [result for result in found if "failed" not in result], sum("failed" in result for result in found)


def spread(values):
    """Mean and standard deviation over the seeds, as text."""
    if not values:
        return ""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return "%.3f" % mean
    return "%.3f ± %.3f" % (mean, math.sqrt(sum((x - mean) ** 2 for x in values) / (len(values) - 1)))


def best_agreement(result, kind, shift):
    """The highest F1 of any layer for events of a kind, and the F1 of a clock with that layer's rate."""
    layers = result.get("align%d" % shift, {"layers": []})["layers"]
    found = max((layer[kind] for layer in layers if kind in layer), key=lambda x: x["f1"], default=None)
    return None if found is None else (found["f1"], max(found["clock"]["f1"], found["chance"]["f1"]))


def table(options, corpus):
    kinds = [("syllables", 0), ("words", 0), ("words", 1), ("phrases", 0)] if corpus == "synthetic" else [("spaces", 0), ("words", 0)]
    names = ["F1 %s%s" % (kind, ", a symbol late" if shift else "") for kind, shift in kinds]
    lines = ["| variant | seeds | bits a character | updates of layers 2, 3 | MFLOP a character | " + " | ".join(names) + " |",
             "|---" * (5 + len(kinds)) + "|"]
    for variant in VARIANTS:
        found, failed = results(options, corpus, variant)
        seeds = str(len(found)) + (", %d failed" % failed if failed else "")
        if not found:
            if failed:
                lines.append("| %s | %s |%s" % (variant, seeds, " |" * (3 + len(kinds))))
            continue
        updates = ", ".join(spread([r["eval"]["updates"][l] for r in found]) for l in (1, 2))
        cells = [variant, seeds, spread([r["eval"]["bpc"] for r in found]), updates,
                 spread([r["eval"]["cost"]["flops"] / 1e6 for r in found])]
        for kind, shift in kinds:
            pairs = [p for p in (best_agreement(r, kind, shift) for r in found) if p is not None]
            cells.append("%s (%s)" % (spread([p[0] for p in pairs]), spread([p[1] for p in pairs])) if pairs else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def write_table(options):
    lines = ["# What was discovered", "", "3×128, equal sizes and equal time (%s) on one core. F1 is that of the better layer; in brackets what the better of a clock "
             "and of chance makes at the same rate." % ("%d steps" % options.steps if options.steps else "%g minutes" % options.minutes)]
    for corpus in options.corpora:
        lines += ["", "## " + corpus, ""] + table(options, corpus)
    (options.out / "results.md").write_text("\n".join(lines) + "\n")


def write_plot(options):
    """Bits against products, a point for each training and a name for each variant, a panel for each corpus."""
    width, height, left, top = 560, 420, 60, 40
    out = []
    for panel, corpus in enumerate(options.corpora):
        points = [(r["eval"]["cost"]["flops"] / 1e6, r["eval"]["bpc"], variant)
                  for variant in VARIANTS for r in results(options, corpus, variant)[0]]
        if not points:
            continue
        y0 = panel * (height + top + 70) + top
        high, low = max(p[1] for p in points), min(p[1] for p in points)
        right = 1.1 * max(p[0] for p in points)
        at = lambda x, y: (left + width * x / right, y0 + 15 + (height - 30) * (high - y) / max(high - low, 1e-9))
        out += ['<text x="%d" y="%d" font-weight="bold">%s</text>' % (left, y0 - 14, corpus),
                '<text x="%d" y="%d">MFLOP a character</text>' % (left + width - 120, y0 + height + 32),
                '<text x="%d" y="%d">bits a character</text>' % (left + 90, y0 - 14),
                '<path d="M%d %dV%dH%d" fill="none" stroke="#888"/>' % (left, y0, y0 + height, left + width)]
        for i in range(5):
            value = low + (high - low) * i / 4
            out.append('<text x="%d" y="%.1f" text-anchor="end">%.3f</text>' % (left - 6, at(0, value)[1] + 4, value))
            out.append('<text x="%.1f" y="%d" text-anchor="middle">%.2f</text>' % (at(right * i / 4, low)[0], y0 + height + 16, right * i / 4))
        labels = []
        for number, variant in enumerate(VARIANTS):
            mine = [at(x, y) for x, y, name in points if name == variant]
            if not mine:
                continue
            colour = "hsl(%d,70%%,38%%)" % (number * 360 // len(VARIANTS))
            out += ['<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>' % (x, y, colour) for x, y in mine]
            labels.append([sum(y for _, y in mine) / len(mine), variant, colour])
        labels.sort()
        for i, (y, variant, colour) in enumerate(labels):  # names keep their distance
            y = labels[i][0] = max(y, labels[i - 1][0] + 14) if i else y
            out.append('<text x="%d" y="%.1f" fill="%s">%s</text>' % (left + width + 12, y + 4, colour, variant))
    if out:
        size = 'width="%d" height="%d"' % (left + width + 260, len(options.corpora) * (height + top + 70))
        (options.out / "results.svg").write_text(
            '<svg xmlns="http://www.w3.org/2000/svg" %s font-family="sans-serif" font-size="12">\n<rect %s fill="white"/>\n%s\n</svg>\n'
            % (size, size, "\n".join(out)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--program", default="build/release/bin/char_lm")
    parser.add_argument("--corpora", default="synthetic,ptb")
    parser.add_argument("--data-dir")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--steps", type=int, default=0, help="in place of minutes, for a trial")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", default="", help="variants whose name has these words in it")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    options.corpora = options.corpora.split(",")
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    for corpus in options.corpora:
        if corpus not in CORPORA:
            fail("corpus '%s' is not one of %s" % (corpus, ", ".join(CORPORA)))
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        if not options.table:
            for seed in options.seeds:  # so that a table of one seed is complete first
                for corpus in options.corpora:
                    for variant in VARIANTS:
                        if options.only in variant:
                            run(options, corpus, variant, seed)
                            write_table(options)
        write_table(options)
        write_plot(options)
    except CallFailed as error:
        fail(str(error))


if __name__ == "__main__":
    main()
