// ---------------------------------------------------------------- the text, its segments, its bits
const kCellsOfPage = 1200;
const letters = ["A", "B", "C", "D", "E", "F", "G", "H"];
const operations = {U: "UPDATE", C: "COPY", F: "FLUSH"};
const level = (hex, i) => parseInt(hex.substr(2 * i, 2), 16) / 255;

/// The first and last cell of the segment that contains cell i.
function segmentAround(z, i) {
  let begin = i, end = i;
  while (begin > 0 && z[begin - 1] !== "1") --begin;
  while (end + 1 < z.length && z[end] !== "1") ++end;
  return [begin, end];
}

function textView() {
  const cells = data.cells, runs = data.runs, many = runs.length > 1;
  const state = {begin: 0, here: -1, kept: null, bits: true, norms: false};
  const holder = element("div", {id: "text", tabindex: 0, role: "application", "aria-label": "the text with the segments of each layer"});
  const inspector = element("output", {id: "inspector"}, "Point at a character or a cell, or tap it. A click keeps its segment marked in all rows.");
  const slider = element("input", {type: "range", min: 0, max: Math.max(0, Math.ceil(cells.length / kCellsOfPage) - 1), value: 0,
    "aria-label": "place in the text", oninput: () => turn(slider.value * kCellsOfPage)});
  const place = element("span", {class: "quiet"});
  const toggle = (name, label) => element("label", {}, element("input", {type: "checkbox", ...(state[name] ? {checked: ""} : {}),
    onchange: event => { state[name] = event.target.checked; render(); }}), " " + label);

  function turn(begin) {
    state.begin = Math.max(0, Math.min(begin, Math.floor((cells.length - 1) / kCellsOfPage) * kCellsOfPage));
    slider.value = state.begin / kCellsOfPage;
    render();
  }

  function row(kind, label, run, layer, from, to, content) {
    const out = element("div", {class: "row " + kind}, element("b", {}, label));
    for (let i = from; i < to; ++i) {
      const {text, share, colour, end} = content(i);
      const kept = state.kept && i >= state.kept.begin && i <= state.kept.end;
      out.append(element("span", {class: "cell" + (end ? " end" : "") + (kept ? " kept" : ""), "data-i": i, "data-run": run, "data-layer": layer,
        style: "--p:" + Math.round(share * 100) + ";--c:" + colour}, text));
    }
    return out;
  }

  function line(from, to) {
    const shown = i => cells[i] === "\n" ? "\u21b5" : cells[i];
    const bits = (run, i) => run.signals.bits ? Math.min(1, level(run.signals.bits, i) * run.signals.bits_most / 8) : 0;
    const out = element("div", {class: "line"}, row("text", "", 0, -1, from, to, i =>
      ({text: shown(i), share: state.bits && !many ? bits(runs[0], i) * 0.9 : 0, colour: "var(--heat)", end: false})));
    runs.forEach((run, r) => {
      const s = run.signals, top = s.operations.length - 1, name = many ? letters[r % 8] + " " : "";
      if (many && state.bits && s.bits) {
        out.append(row("norm", name + "bits", r, -1, from, to, i => ({text: "", share: bits(run, i), colour: "var(--heat)", end: false})));
      }
      for (let l = 0; l <= top; ++l) {
        if (l < s.z.length) {
          out.append(row("layer", name + "layer " + (l + 1), r, l, from, to, i =>
            ({text: "", share: 0.05 + 0.8 * level(s.probability[l], i), colour: layerColour(l), end: s.z[l][i] === "1"})));
        } else if (top > 0) {
          out.append(row("layer", name + "layer " + (l + 1), r, l, from, to, i =>
            ({text: "", share: s.operations[l][i] === "C" ? 0.04 : 0.75, colour: layerColour(l), end: false})));
        }
        if (state.norms && s.norms) {
          out.append(row("norm", name + "norm " + (l + 1), r, l, from, to, i =>
            ({text: "", share: level(s.norms[l], i), colour: "var(--ink)", end: false})));
        }
      }
    });
    return out;
  }

  function render() {
    const room = Math.max(8, Math.floor(((holder.clientWidth || 336) - 54) / 12));
    const end = Math.min(cells.length, state.begin + kCellsOfPage);
    const out = [];
    for (let from = state.begin; from < end;) {
      let to = from;
      while (to < end && to - from < room && cells[to] !== "\n") ++to;
      if (to < end && to - from < room) ++to;  // include the line end
      out.push(line(from, to));
      from = to;
    }
    holder.replaceChildren(...out);
    place.textContent = (state.begin + 1) + " to " + end + " of " + cells.length;
    if (state.here >= state.begin && state.here < end) point(state.here);
  }

  function point(i) {
    state.here = i;
    for (const old of holder.querySelectorAll(".here")) old.classList.remove("here");
    for (const cell of holder.querySelectorAll('[data-i="' + i + '"]')) cell.classList.add("here");
    const lines = [element("div", {}, "character " + (i + 1) + " ", element("code", {}, cells[i] === "\n" ? "line end" : cells[i] === " " ? "space" : cells[i]))];
    runs.forEach((run, r) => {
      const s = run.signals, parts = [];
      if (s.bits && i > 0) parts.push((level(s.bits, i) * s.bits_most).toFixed(1) + " bits");
      s.operations.forEach((of, l) => {
        let text = "layer " + (l + 1) + ": " + operations[of[i]];
        if (l < s.z.length) text += ", z\u0303 " + level(s.probability[l], i).toFixed(2) + (s.z[l][i] === "1" ? ", ends a segment" : "");
        if (s.norms) text += ", |h| " + (level(s.norms[l], i) * s.norms_most[l]).toFixed(1);
        parts.push(text);
      });
      lines.push(element("div", {}, (many ? letters[r % 8] + " \u00b7 " : "") + parts.join(" \u00b7 ")));
    });
    inspector.replaceChildren(...lines);
  }

  function keep(i, run, layer) {
    const z = runs[run].signals.z;
    if (z.length === 0) return;
    const l = Math.max(0, Math.min(layer, z.length - 1)), [begin, end] = segmentAround(z[l], i);
    const same = state.kept && state.kept.begin === begin && state.kept.end === end;
    state.kept = same ? null : {begin, end};
    render();
    point(i);
  }

  const cellOf = event => event.target.closest ? event.target.closest(".cell") : null;
  holder.addEventListener("pointerover", event => { const cell = cellOf(event); if (cell) point(Number(cell.dataset.i)); });
  holder.addEventListener("click", event => {
    const cell = cellOf(event);
    if (cell) keep(Number(cell.dataset.i), Number(cell.dataset.run), Number(cell.dataset.layer));
  });
  holder.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (step) {
      const next = Math.max(0, Math.min(cells.length - 1, state.here + step));
      if (next < state.begin || next >= state.begin + kCellsOfPage) turn(Math.floor(next / kCellsOfPage) * kCellsOfPage);
      point(next);
      event.preventDefault();
    } else if (event.key === "Enter" && state.here >= 0) {
      keep(state.here, 0, 0);
    }
  });
  redraws.push(render);
  const several = cells.length > kCellsOfPage;
  return [
    element("p", {class: "quiet"}, "A row is a layer: the stronger the colour of a cell, the surer its detector was of a boundary (z\u0303); a line closes each segment, and there the layer above is updated. " +
      "The last layer has no detector: its row shows where it was updated." + (runs[0].signals.bits ? " Behind the text, the redder the more bits a character took." : "")),
    many ? element("p", {class: "quiet"}, runs.map((run, r) => letters[r % 8] + ": " + run.name).join("; ")) : null,
    element("div", {class: "controls"},
      several ? element("button", {type: "button", onclick: () => turn(state.begin - kCellsOfPage), "aria-label": "back"}, "\u2039") : null,
      several ? slider : null,
      several ? element("button", {type: "button", onclick: () => turn(state.begin + kCellsOfPage), "aria-label": "on"}, "\u203a") : null, place,
      runs[0].signals.bits ? toggle("bits", "bits") : null, runs[0].signals.norms ? toggle("norms", "norms of states") : null),
    holder, inspector].filter(part => part !== null);
}
