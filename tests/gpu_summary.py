#!/usr/bin/env python3
"""Writes summary.md and summary.json from what the stages of tests/gpu.sh left in a folder.

    gpu_summary.py DIR

DIR holds stages.jsonl, and, of the stages that were reached, tests.xml and persistent.xml (JUnit), bench.json
(hmrnn_bench) and training/metrics.jsonl (char_lm train). What is missing is said to be missing. Exit code 1 if a test
failed or was skipped.
"""
import json
import pathlib
import statistics
import sys
import xml.etree.ElementTree as ET

PTB_CHARACTERS = 5_017_482  # of the training text, an epoch


def read_lines(path):
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:  # the last line of a run that was killed
            pass
    return lines


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def read_tests(*paths):
    """Counts by case, the names of those that failed or were skipped, the files that were not written; None where no
    tests were run."""
    roots, missing = [], []
    for path in paths:
        try:
            roots.append(ET.parse(path).getroot())
        except (OSError, ET.ParseError):
            missing.append(path.name)
    if not roots:
        return None
    failed, cases, skipped = [], set(), []
    for case in (case for root in roots for case in root.iter("testcase")):
        # A case of several sections is listed once a section: "name/section".
        name = case.get("name", "").split("/")[0]
        cases.add(name)
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.get("name", ""))
        lines = (case.findtext("system-out") or "").splitlines()  # the suite repeats what its cases printed
        skipped += [f"{name}: {line.strip()}" for line in lines if line.strip().startswith("skipped:")]
    return {"cases": len(cases), "failed": sorted(set(failed)), "skipped": skipped, "missing": missing}


def speed(rows, case, units, dtype, launch=None, layer_norm=None):
    for row in rows:
        if (row["case"], row["units"], row["dtype"], row.get("launch")) != (case, units, dtype, launch):
            continue
        if layer_norm is None or row["layer_norm"] == layer_norm:
            return row["characters_per_second"]
    return None


def targets(rows):
    """What the package wants to reach on a GPU: ratios of speeds measured in one run."""
    def ratio(a, b):
        return a / b if a and b else None

    out = []
    for units, batch, dtype, wanted in ((512, 64, "bfloat16", 0.5), (512, 64, "float32", None),
                                        (1024, 128, "bfloat16", 0.6), (1024, 128, "float32", None)):
        for launch in ("persistent", "graph", "launches"):
            if launch == "persistent" and (units, dtype) != (512, "bfloat16"):  # elsewhere the weights do not fit
                continue
            ours = speed(rows, "core/hm_lstm", units, dtype, launch, layer_norm=True)
            backend = next((row.get("backend", "?") for row in rows
                            if (row["case"], row["units"], row["dtype"]) == ("core/lstm", units, dtype)), "?")
            out.append({"what": f"3x{units}, batch {batch}, {dtype}, {launch} / {backend}'s LSTM",
                        "ratio": ratio(ours, speed(rows, "core/lstm", units, dtype)),
                        "wanted": {"persistent": 1.0, "graph": wanted}.get(launch)})
    cell = speed(rows, "core/hm_lstm_cell", 512, "float32")
    out.append({"what": "3x512, float32, graph / HMLSTMCell stepped by autograd",
                "ratio": ratio(speed(rows, "core/hm_lstm", 512, "float32", "graph", layer_norm=True), cell),
                "wanted": 20})
    return out


def read_training(records):
    train = [r for r in records if r.get("event") == "train"]
    evals = [r for r in records if r.get("event") == "eval"]
    if not train:
        return None
    # The first record holds the warm-up.
    speeds = [r["characters_per_second"] for r in train[1:] or train if r.get("characters_per_second")]
    per_second = statistics.median(speeds) if speeds else None
    best = min((r for r in evals if r.get("bpc") is not None), key=lambda r: r["bpc"], default=None)
    return {"steps": train[-1]["step"], "epochs": train[-1]["epoch"], "characters_per_second": per_second,
            "seconds_a_ptb_epoch": PTB_CHARACTERS / per_second if per_second else None,
            "best_validation_bpc": best and best["bpc"], "best_step": best and best["step"],
            "skipped_updates": sum(r.get("skipped_updates", 0) for r in train)}


def summarise(folder):
    stages = read_lines(folder / "stages.jsonl")
    start = next((s for s in stages if s.get("stage") == "start"), {})
    bench = read_json(folder / "bench.json")
    choice = next((s for s in stages if s.get("stage") == "choice"), {})
    return {"gpu": start.get("gpu", "unknown"), "commit": start.get("commit", ""),
            "cuda_persistent": choice.get("cuda_persistent", "off"),
            "stages": [s for s in stages if s.get("stage") not in ("start", "choice")],
            "tests": read_tests(folder / "tests.xml", folder / "persistent.xml"),
            "benchmark": bench and {"device": bench["device"], "targets": targets(bench["rows"]),
                                    "rows": bench["rows"]},
            "training": read_training(read_lines(folder / "training" / "metrics.jsonl"))}


def number(value, digits=2):
    return "not measured" if value is None else f"{value:,.{digits}f}"


def markdown(summary):
    text = [f"# {summary['gpu']}", ""]
    if summary["commit"]:
        text += [f"Commit {summary['commit']}.", ""]
    text += ["| stage | seconds | exit code |", "|---|---|---|"]
    text += [f"| {s['stage']} | {s['seconds']} | {s['code']} |" for s in summary["stages"]]
    tests = summary["tests"]
    text += ["", "## Tests tagged [cuda]", ""]
    if tests is None:
        text += ["Not run to their end."]
    else:
        text += [f"{tests['cases']} cases, {len(tests['failed'])} failures."]
        text += [f"* FAILED: {name}" for name in tests["failed"]]
        text += [f"* {line}" for line in tests["skipped"]]
        text += [f"* {name}: not run to its end" for name in tests["missing"]]
    text += ["", "## hmrnn_bench", ""]
    bench = summary["benchmark"]
    if bench is None:
        text += ["Not run to its end."]
    else:
        text += [f"On {bench['device']}; float32 with TF32.", "", "| ratio of training speeds | measured | wanted |",
                 "|---|---|---|"]
        text += [f"| {t['what']} | {number(t['ratio'])} | {'' if t['wanted'] is None else '≥ %g' % t['wanted']} |"
                 for t in bench["targets"]]
        text += ["", "| case | size | dtype | norm | characters/s | / LSTM of the dtype | peak MB |",
                 "|---|---|---|---|---|---|---|"]
        for row in bench["rows"]:
            name = " ".join(filter(None, (row["case"], row.get("launch"), row.get("backend"))))
            size = f"3x{row['units']}, batch {row['batch']}, window {row['window']}"
            peak = "" if row["peak_bytes"] is None else number(row["peak_bytes"] / 1e6, 0)
            text += [f"| {name} | {size} | {row['dtype']} | {'on' if row['layer_norm'] else 'off'} "
                     f"| {number(row['characters_per_second'], 0)} | {number(row['ratio_same_dtype'])} | {peak} |"]
    text += ["", f"## char_lm train --preset ptb --cuda-persistent {summary['cuda_persistent']}", ""]
    training = summary["training"]
    if training is None:
        text += ["Not run."]
    else:
        text += [f"{training['steps']:,} steps, {training['epochs']} epochs completed; "
                 f"{number(training['characters_per_second'], 0)} characters/s (median), "
                 f"{number(training['seconds_a_ptb_epoch'], 1)} s for an epoch of PTB (wanted: under 12 s); "
                 f"best validation {number(training['best_validation_bpc'], 4)} bits per character at step "
                 f"{training['best_step']}; {training['skipped_updates']} updates skipped."]
    return "\n".join(text) + "\n"


def main():
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1]).is_dir():
        print("usage: gpu_summary.py DIR", file=sys.stderr)
        return 2
    folder = pathlib.Path(sys.argv[1])
    summary = summarise(folder)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (folder / "summary.md").write_text(markdown(summary))
    tests = summary["tests"]
    return 1 if tests is not None and (tests["failed"] or tests["skipped"] or tests["missing"]) else 0


if __name__ == "__main__":
    sys.exit(main())
