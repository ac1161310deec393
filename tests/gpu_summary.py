#!/usr/bin/env python3
"""Writes summary.md and summary.json from what the stages of tests/gpu.sh left in a folder.

    gpu_summary.py DIR [RUN]

DIR contains stages.jsonl and, for the stages that ran, tests.xml, persistent.xml and sizes.xml (Catch2's XML),
benchmark.json and profile.json (hmrnn_bench), sanitizer_*.txt, training.txt and evaluation.json; RUN (default
DIR/training) is the folder of the run, with metrics.jsonl. Missing parts are named; of a stage
that was cut off, the results so far count. Exit code 1 if a test failed, was skipped or was cut off.
"""
import json
import pathlib
import re
import statistics
import sys
import xml.etree.ElementTree as ET

PTB_CHARACTERS = 5_017_482  # of the training text, i.e. of an epoch


def read_lines(path):
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:  # the last line of a killed run
            pass
    return lines


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def read_cases(path):
    """The cases of one run in Catch2's XML: (name, whether it passed, where it failed, lines "skipped: …"), and the name
    of the one that was not ended, or None."""
    parser = ET.XMLPullParser(("start", "end"))
    try:
        parser.feed(path.read_text(errors="replace"))
        events = list(parser.read_events())  # all complete events: the file may be cut off
    except ET.ParseError:
        events = list(parser.read_events())
    cases, open_case = [], None
    for event, element in events:
        if element.tag != "TestCase":
            continue
        open_case = element.get("name", "") if event == "start" else None
        if event == "start":
            continue
        result = element.find("OverallResult")
        if result is None:
            continue
        if any("SIGTERM" in (e.text or "") for e in element.iter("FatalErrorCondition")):  # Catch2 ended in good order
            return cases, element.get("name", "")
        where = next((f"{re.sub(r'^.*/(?=tests/)', '', e.get('filename'))}:{e.get('line')}" for e in element.iter()
                      if e.get("success") == "false" and e.get("filename")
                      or e.tag in ("Exception", "FatalErrorCondition")), "")
        lines = (result.findtext("StdOut") or "").splitlines()
        cases.append((element.get("name", ""), result.get("success") == "true", where,
                      [line.strip() for line in lines if line.strip().startswith("skipped:")]))
    return cases, open_case


def read_tests(folder, stages):
    """Counts, the cases that failed, were skipped or cut off, the runs that left no file; None where no tests were
    run."""
    ran = {s["stage"] for s in stages if "code" in s}
    cases, failed, skipped, missing = 0, [], [], []
    files = 0
    for name in ("tests", "persistent", "sizes"):
        path = folder / f"{name}.xml"
        if not path.exists():
            if name in ran:
                missing.append(f"{name}.xml: was not written")
            continue
        files += 1
        ended, open_case = read_cases(path)
        cases += len(ended)
        failed += [f"{case} ({where})" if where else case for case, passed, where, _ in ended if not passed]
        skipped += [f"{case}: {line}" for case, _, _, lines in ended for line in lines]
        if open_case is not None:
            missing.append(f"{name}.xml: cut off in \"{open_case}\"")
        elif not ended:
            missing.append(f"{name}.xml: no case was run")
    if not files and not missing:
        return None
    return {"cases": cases, "failed": failed, "skipped": skipped, "missing": missing}


def read_sanitizer(folder):
    """The summary line of each tool, or None if the tool did not run to its end."""
    out = {}
    for path in sorted(folder.glob("sanitizer_*.txt")):
        found = [line.strip("= ").strip() for line in path.read_text(errors="replace").splitlines() if "SUMMARY:" in line]
        out[path.stem.removeprefix("sanitizer_")] = found[-1] if found else None
    return out


def speed(rows, case, units, dtype, launch=None, layer_norm=None):
    for row in rows:
        if (row["case"], row["units"], row["dtype"], row.get("launch")) != (case, units, dtype, launch):
            continue
        if layer_norm is None or row["layer_norm"] == layer_norm:
            return row["characters_per_second"]
    return None


def targets(rows):
    """The targets on a GPU: ratios of speeds measured in one run, and the values wanted."""
    def ratio(a, b):
        return a / b if a and b else None

    out = []
    for units, batch, dtype, wanted in ((512, 64, "bfloat16", 0.5), (512, 64, "float32", None),
                                        (1024, 128, "bfloat16", 0.6), (1024, 128, "float32", None)):
        for launch in ("persistent", "graph", "launches"):
            if launch == "persistent" and (units, dtype) != (512, "bfloat16"):  # only there the weights fit
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
    # The first record includes the warm-up.
    speeds = [r["characters_per_second"] for r in train[1:] or train if r.get("characters_per_second")]
    per_second = statistics.median(speeds) if speeds else None
    best = min((r for r in evals if r.get("bpc") is not None), key=lambda r: r["bpc"], default=None)
    return {"steps": train[-1]["step"], "epochs": train[-1]["epoch"], "characters_per_second": per_second,
            "seconds_a_ptb_epoch": PTB_CHARACTERS / per_second if per_second else None,
            "best_validation_bpc": best and best["bpc"], "best_step": best and best["step"],
            "skipped_updates": sum(r.get("skipped_updates", 0) for r in train)}


def read_evaluation(folder):
    evaluation = read_json(folder / "evaluation.json")
    if not evaluation:
        return None
    return {**evaluation, "total_bits": evaluation["bpc"] * evaluation["characters"]}


def summarise(folder, run):
    records = read_lines(folder / "stages.jsonl")
    start = next((s for s in records if s.get("stage") == "start"), {})
    options = [s["train"] for s in records if s.get("stage") == "options"]
    stages = [s for s in records if s.get("stage") not in ("start", "options")]
    bench, profile = read_json(folder / "benchmark.json"), read_json(folder / "profile.json")
    training = read_training(read_lines(run / "metrics.jsonl"))
    if training:
        text = folder / "training.txt"
        said = text.read_text(errors="replace").splitlines() if text.exists() else []
        training["options"] = options
        training["cuda_persistent"] = [line for line in said if line.startswith("--cuda-persistent")]
        training["evaluation"] = read_evaluation(folder)
    return {"gpu": start.get("gpu", "unknown"), "commit": start.get("commit", ""), "torch": start.get("torch", ""),
            "stages": stages,
            "tests": read_tests(folder, stages),
            "benchmark": bench and {"device": bench["device"], "targets": targets(bench["rows"]),
                                    "rows": bench["rows"]},
            "profiles": profile and profile["profiles"],
            "sanitizer": read_sanitizer(folder),
            "training": training}


def number(value, digits=2):
    return "not measured" if value is None else f"{value:,.{digits}f}"


def row_name(row):
    return " ".join(filter(None, (row["case"], row.get("launch"), row.get("backend"))))


def benchmark_lines(bench):
    text = [f"On {bench['device']}; float32 with TF32.", "", "| ratio of training speeds | measured | wanted |",
            "|---|---|---|"]
    text += [f"| {t['what']} | {number(t['ratio'])} | {'' if t['wanted'] is None else '≥ %g' % t['wanted']} |"
             for t in bench["targets"]]
    text += ["", "| case | size | dtype | norm | characters/s | / LSTM of the dtype | peak MB |", "|---|---|---|---|---|---|---|"]
    for row in bench["rows"]:
        size = f"3x{row['units']}, batch {row['batch']}, window {row['window']}"
        peak = "" if row["peak_bytes"] is None else number(row["peak_bytes"] / 1e6, 0)
        text += [f"| {row_name(row)} | {size} | {row['dtype']} | {'on' if row['layer_norm'] else 'off'} "
                 f"| {number(row['characters_per_second'], 0)} | {number(row['ratio_same_dtype'])} | {peak} |"]
    return text


def profile_lines(profiles, shown=8):
    """The longest kernels of the graphs and of LibTorch's LSTM; the rest is in summary.json."""
    text = []
    for profile in profiles:
        if profile.get("launch") == "launches":
            continue
        norm = ", norm" if profile["layer_norm"] else ""
        text += ["", f"{row_name(profile)}, 3x{profile['units']}, {profile['dtype']}{norm}:"]
        times = profile.get("times")
        if not times:
            text += ["nothing was recorded."]
            continue
        whole = sum(t["microseconds"] for t in times)
        text += ["", f"| of {number(whole, 0)} µs | calls | µs | share |", "|---|---|---|---|"]
        text += [f"| `{t['name'][:80].replace('|', '/')}` | {t['calls']} | {number(t['microseconds'], 1)} "
                 f"| {number(100 * t['microseconds'] / whole if whole else 0, 1)}% |" for t in times[:shown]]
    return text[1:]


def training_lines(training):
    wanted = training["seconds_a_ptb_epoch"]
    text = [*training["cuda_persistent"],
            f"{training['steps']} steps, {training['epochs']} epochs completed; "
            f"{number(training['characters_per_second'], 0)} characters/s (median), "
            f"{number(wanted, 1)} s for an epoch of PTB (wanted: under 12 s); "
            f"best validation {number(training['best_validation_bpc'], 4)} bits per character at step "
            f"{training['best_step']}; {training['skipped_updates']} updates skipped."]
    evaluation = training["evaluation"]
    text += ["The test text was not evaluated." if evaluation is None else
             f"Test: {number(evaluation['bpc'], 4)} bits per character, {number(evaluation['total_bits'], 0)} bits over "
             f"{number(evaluation['characters'], 0)} characters (64 streams)."]
    return [line for pair in zip(text, [""] * len(text)) for line in pair][:-1]


def stage_line(stage):
    if "left_out" in stage:
        return f"| {stage['stage']} |  |  | left out: {stage['left_out']} |"
    code = {124: "124 (cut off)", 137: "137 (cut off)"}.get(stage["code"], stage["code"])
    return f"| {stage['stage']} | {stage.get('at', '')} | {stage['seconds']} | {code}{', ' + stage['what'] if 'what' in stage else ''} |"


def markdown(summary):
    text = [f"# {summary['gpu']}", ""]
    if summary["commit"]:
        text += [f"Commit {summary['commit']}{', LibTorch ' + summary['torch'] if summary['torch'] else ''}.", ""]
    text += ["| stage | at second | seconds | exit code |", "|---|---|---|---|", *map(stage_line, summary["stages"])]
    tests = summary["tests"]
    text += ["", "## Tests tagged [cuda]", ""]
    if tests is None:
        text += ["Not run."]
    else:
        text += [f"{tests['cases']} cases, {len(tests['failed'])} failures."]
        text += [f"* FAILED: {name}" for name in tests["failed"]]
        text += [f"* {line}" for line in tests["skipped"] + tests["missing"]]
    text += ["", "## hmrnn_bench", "", *(benchmark_lines(summary["benchmark"]) if summary["benchmark"] else ["Not run to its end."])]
    if summary["profiles"]:
        text += ["", "## Where a window's time goes", "", *profile_lines(summary["profiles"])]
    if summary["sanitizer"]:
        text += ["", "## compute-sanitizer", ""]
        text += [f"* {tool}: {line or 'not run to its end'}" for tool, line in summary["sanitizer"].items()]
    training = summary["training"]
    text += ["", "## char_lm train", ""]
    if training is None:
        text += ["Not run to its first record."]
    else:
        text += [f"`{options}`\n" for options in training["options"]] + training_lines(training)
    return "\n".join(text) + "\n"


def main():
    if len(sys.argv) not in (2, 3) or not pathlib.Path(sys.argv[1]).is_dir():
        print("usage: gpu_summary.py DIR [RUN]", file=sys.stderr)
        return 2
    folder = pathlib.Path(sys.argv[1])
    summary = summarise(folder, pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else folder / "training")
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (folder / "summary.md").write_text(markdown(summary))
    tests = summary["tests"]
    return 1 if tests is not None and (tests["failed"] or tests["skipped"] or tests["missing"]) else 0


if __name__ == "__main__":
    sys.exit(main())
