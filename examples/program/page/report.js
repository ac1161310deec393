// ---------------------------------------------------------------- the page
const swatch = colour => element("i", {class: "swatch", style: "background:" + colour});

function section(id, title, ...content) {
  const parts = content.flat().filter(part => part !== null);
  return parts.length === 0 ? null : element("section", {id}, element("h2", {}, title), parts);
}

/// The summary of one run, in sentences.
function inShort(run, r) {
  const unit = run.unit, of = "runs." + r + ".", out = [];
  if (run.eval) {
    const key = ["bpc", "bpb"].find(name => name in run.eval);
    out.push(element("p", {}, key ? ["It takes ", figure(of + "eval." + key, fixed(4)), " bits to write a " + unit + "."]
      : ["A line has a log-likelihood of ", figure(of + "eval.log_likelihood", fixed(1)), " nats."]));
    const cost = run.eval.cost;
    out.push(element("p", {}, "Layer 1 reads every " + unit + ". ", run.eval.updates.slice(1).map((share, l) =>
      element("span", {}, "Layer " + (l + 2) + " is updated at ", figure(of + "eval.updates." + (l + 1), percent), " of the " + unit + "s. ")),
      "Its products take ", percent(cost.flops / cost.dense_flops), " of the FLOPs of a model that skips nothing, and ",
      percent(cost.flops / cost.lstm_flops), " of those of an LSTM of the same sizes."));
  }
  for (const [l, layer] of (run.segments || []).entries()) {
    const agree = run.align.layers[l], kinds = Object.keys(agree).filter(name => typeof agree[name] === "object");
    const best = kinds.sort((a, b) => agree[b].f1 - agree[a].f1)[0];
    if (layer.count === 0) {
      out.push(element("p", {}, "Layer " + (l + 1) + " never ends a segment."));
      continue;
    }
    const control = Math.max(agree[best].chance.f1, agree[best].clock.f1);
    out.push(element("p", {}, "Layer " + (l + 1) + " ends ", figure(of + "segments." + l + ".count", whole), " segments of ", figure(of + "segments." + l + ".mean", fixed(2)), " " + unit +
      "s on average. Its detector is certain (a probability of at most 0.25 or at least 0.75) at ", figure(of + "certainty." + l + ".sure", percent), " of the " + unit + "s. Against ",
      best.replace("_", " "), " its boundaries have an F1 of ", figure(of + "align.layers." + l + "." + best + ".f1"), "; random boundaries or a clock of the same rate reach ", control.toFixed(3), "."));
  }
  return out;
}

function comparison() {
  const runs = data.runs.filter(run => run.eval);
  if (runs.length === 0) return [];
  const at = (suffix, show) => data.runs.map((run, r) => figure("runs." + r + "." + suffix, show));
  const row = (label, cells) => [label, ...cells];
  const rows = [row("core", data.runs.map(run => run.model.core + " " + run.model.hidden_sizes.join("\u00b7"))),
    row("parameters", at("model.parameters", count)), row("steps of training", at("model.step", whole)), row("boundaries", data.runs.map(run => run.model.boundary)),
    row("slope", at("model.slope", fixed(2)))];
  const unit = runs[0].unit;
  if ("log_likelihood" in runs[0].eval) {
    rows.push(row("log-likelihood of a line, nats", at("eval.log_likelihood", fixed(2))), row("nats a point", at("eval.nll_per_point", fixed(4))),
      row("points", at("eval.points", whole)));
  } else {
    const key = "bpb" in runs[0].eval ? "bpb" : "bpc";
    rows.push(row("bits a " + unit, at("eval." + key, fixed(4))), row("bits in all", at("eval.bits", whole)),
      row(unit + "s", at("eval." + unit + "s", whole)));
  }
  rows.push(row("FLOP a " + unit + ", made", at("eval.cost.flops", mega)), row("by a dense HM-LSTM", at("eval.cost.dense_flops", mega)),
    row("by an LSTM", at("eval.cost.lstm_flops", mega)), row(unit + "s a second, read here", at("per_second", whole)),
    row(unit + "s a second, training (median)", data.runs.map(run => {
      const speeds = run.training ? run.training.train.per_second.filter(v => v !== null).sort((a, b) => a - b) : [];
      return speeds.length > 0 ? whole(speeds[Math.floor(speeds.length / 2)]) : "\u2013";
    })));
  const head = ["", ...data.runs.map((run, r) => element("span", {class: "runname"}, data.runs.length > 1 ? swatch(runColour(r)) : null, run.name))];
  return [table(head, rows)];
}

function layers() {
  const rows = [];
  data.runs.forEach((run, r) => {
    if (!run.eval) return;
    run.eval.updates.forEach((share, l) => {
      const of = "runs." + r + ".", has = run.segments && l < run.segments.length, s = of + "segments." + l + ".";
      rows.push([...(data.runs.length > 1 ? [run.name] : []), element("span", {}, swatch(layerColour(l)), String(l + 1)), figure(of + "eval.updates." + l, fixed(4)),
        share > 0 ? (1 / share).toFixed(1) : "never", figure(of + "eval.cost.rows.recurrent." + l, fixed(3)), figure(of + "eval.cost.rows.bottom_up." + l, fixed(3)), figure(of + "eval.cost.rows.top_down." + l, fixed(3)),
        figure(of + "eval.cost.rows.output." + l, fixed(3)), has ? figure(s + "count", whole) : "\u2013",
        has ? element("span", {}, figure(s + "mean", fixed(2)), " \u00b1 ", figure(s + "deviation", fixed(2))) : "\u2013",
        has ? figure(s + "median", whole) : "\u2013", has ? figure(of + "certainty." + l + ".sure", percent) : "\u2013",
        has ? histogram(run.segments[l].histogram, run.segments[l].longer) : ""]);
    });
  });
  if (rows.length === 0) return [];
  const head = [...(data.runs.length > 1 ? ["run"] : []), "layer", "updates", "one in", "U h", "W x", "V h", "W\u1d49 h", "segments", "length", "median", "certain", "lengths"];
  return [table(head, rows), element("p", {class: "quiet"}, "Updates, and products with each matrix (U own state, W from below, V from above, W\u1d49 to the output): rows a " +
    data.runs[0].unit + ". Sure: the share of steps at which z\u0303 is at most \u00bc or at least \u00be. The last segment, which has not ended, is none.")];
}

function agreement() {
  const rows = [];
  data.runs.forEach((run, r) => {
    if (!run.align) return;
    run.align.layers.forEach((layer, l) => {
      for (const kind of Object.keys(layer).filter(name => typeof layer[name] === "object")) {
        const of = "runs." + r + ".align.layers." + l + "." + kind + ".";
        rows.push([...(data.runs.length > 1 ? [run.name] : []), String(l + 1), kind.replace("_", " "), figure(of + "boundaries", whole), figure(of + "events", whole),
          figure(of + "precision"), figure(of + "recall"), element("b", {}, figure(of + "f1")), figure(of + "chance.f1"), figure(of + "clock.f1")]);
      }
    });
  });
  if (rows.length === 0) return [];
  const first = data.runs.find(run => run.align).align;
  return [table([...(data.runs.length > 1 ? ["run"] : []), "layer", "against", "boundaries", "events", "precision", "recall", "F1", "F1 by chance", "F1 of a clock"], rows),
    element("p", {class: "quiet"}, "Pairs of one boundary and one event at most " + first.tolerance + " apart, boundaries expected " + first.shift +
      " after their event. By chance: as many boundaries, thrown anywhere; a clock: as many at equal distances, at the phase that fits best.")];
}

function training() {
  const runs = data.runs.map((run, r) => ({...run, r})).filter(run => run.training);
  if (runs.length === 0) return [];
  const many = runs.length > 1, ink = data.kind === "ink";
  const resumes = runs.flatMap(run => run.training.resumes.map(step => ({step, colour: runColour(run.r)})));
  const of = (name, key, extra) => runs.map(run => ({label: many ? run.name : name === "eval" ? "validation" : "training", colour: many ? runColour(run.r) : name === "eval" ? "var(--run1)" : "var(--run0)",
    steps: run.training[name].step, values: run.training[name][key] || [], ...extra}));
  const inUnits = series => series.map(s => ({...s, values: s.values.map(v => v === null ? null : ink ? v : v / Math.LN2)}));
  const unit = ink ? "nats a point" : "bits a " + runs[0].unit;
  const out = many ? [chart("training loss, " + unit, inUnits(of("train", "loss")), resumes), chart("validation loss, " + unit, inUnits(of("eval", "loss")), resumes)]
    : [chart("loss, " + unit, inUnits([...of("train", "loss"), ...of("eval", "loss")]), resumes)];
  const depth = Math.max(...runs.map(run => run.model.hidden_sizes.length));
  const share = {share: true};
  const firing = l => runs.filter(run => run.model.core !== "lstm").map(run => ({label: many ? run.name : "layer " + l, colour: many ? runColour(run.r) : layerColour(l - 1),
    steps: run.training.train.step, values: run.training.train.updates[l] || []}));
  if (many) {
    for (let l = 1; l < depth; ++l) out.push(chart("how often layer " + l + " fires", firing(l), resumes, share));
  } else {
    out.push(chart("how often each layer fires", Array.from({length: depth - 1}, (unused, l) => firing(l + 1)).flat(), resumes, share));
  }
  out.push(chart("gradient norm", of("train", "grad_norm"), resumes, {log: true}), chart("learning rate", of("train", "lr"), resumes),
    chart("slope of the detectors", of("train", "slope"), resumes), chart(runs[0].unit + "s a second", of("train", "per_second"), resumes));
  const records = Math.max(...runs.map(run => run.training.records));
  const notes = [resumes.length > 0 ? "Dashed lines: where a run was taken up again." : "", records > 1000 ? "Points are means of neighbouring records." : ""].filter(note => note).join(" ");
  return [element("div", {class: "charts"}, out.filter(one => one !== null)), notes ? element("p", {class: "quiet"}, notes) : null];
}

function frequent() {
  return data.runs.flatMap(run => (run.frequent || []).map((list, l) => list.length === 0 ? null : element("div", {},
    element("h3", {}, (data.runs.length > 1 ? run.name + ", " : "") + "layer " + (l + 1)),
    element("ol", {class: "frequent"}, list.map(([text, number]) => element("li", {}, element("code", {}, text), " " + number))))));
}

function show() {
  const page = document.getElementById("page");
  const words = element("p", {class: "quiet"}, "A hierarchical multiscale LSTM decides at each step and in each layer whether a segment ends there (its boundary fires). " +
    "A layer UPDATEs its state where the layer below has ended a segment, COPYs it elsewhere, which costs nothing, and FLUSHes it after it has ended one itself.");
  const source = data.text ? element("p", {}, "Read: " + (data.text.split === "all" ? "" : "the " + data.text.split + " split of ") + data.text.corpus +
    (data.cells ? ", " + whole(data.cells.length) + " characters of it" : "") + ".") : null;
  const lists = frequent().filter(one => one !== null);
  const several = data.runs.length > 1;
  const parts = [element("h1", {}, data.title), words, source,
    section("short", "In short", data.runs.flatMap((run, r) => {
      const sentences = inShort(run, r);
      return several && sentences.length > 0 ? [element("h3", {}, swatch(runColour(r)), run.name), ...sentences] : sentences;
    })),
    section("view", data.kind === "ink" ? "The ink" : "The text", data.kind === "ink" ? inkView() : textView()),
    section("figures", "Figures", comparison()), section("layers", "Layers", layers()), section("agreement", "Agreement", agreement()),
    section("frequent", "Most frequent segments", lists.length > 0 ? [element("div", {class: "lists"}, lists)] : []),
    section("training", "Training", training())];
  page.replaceChildren(...parts.filter(part => part !== null));
  redraws.forEach(draw => draw());
  let width = page.clientWidth;
  addEventListener("resize", () => {
    if (page.clientWidth === width) return;
    width = page.clientWidth;
    redraws.forEach(draw => draw());
  });
  addEventListener("beforeprint", () => redraws.forEach(draw => draw()));
}
