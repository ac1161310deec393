// ---------------------------------------------------------------- handwriting by strokes and by segments
function inkView() {
  const runs = data.runs, many = runs.length > 1;
  const state = {line: 0, kept: null};
  const holder = element("div", {class: "ink", id: "ink"});
  const inspector = element("output", {id: "inspector"}, "Point at a stroke, or tap it. A click keeps its segment marked in all drawings.");
  const buttons = data.lines.map((line, k) => element("button", {type: "button", "aria-pressed": k === 0, onclick: () => {
    state.line = k;
    state.kept = null;
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", other === k));
    render();
  }}, line.name));

  /// A drawing in which each line from point to point has the colour of its segment.
  function drawing(caption, points, ends, colour) {
    const xs = points.map(p => p[0]), ys = points.map(p => p[1]), pad = 40;
    const left = Math.min(...xs) - pad, top = Math.max(...ys) + pad;
    const width = Math.max(...xs) - left + pad, height = top - Math.min(...ys) + pad;
    const svg = element("svg", {viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": caption});
    let segment = 0;
    points.forEach((p, i) => {
      const fresh = i === 0 || points[i - 1][2] === 1;
      const from = fresh ? p : points[i - 1];
      const kept = state.kept && i >= state.kept.begin && i <= state.kept.end;
      svg.append(element("path", {"data-i": i, class: kept ? "kept" : "",
        d: "M" + (from[0] - left) + " " + (top - from[1]) + "L" + (p[0] - left) + " " + (top - p[1]),
        style: "stroke:" + (segment % 2 === 0 ? colour : "color-mix(in srgb, " + colour + " 45%, var(--ground))")}));
      if (ends(i)) ++segment;
    });
    svg.addEventListener("pointerover", event => { if (event.target.dataset.i) point(Number(event.target.dataset.i)); });
    svg.addEventListener("click", event => { if (event.target.dataset.i) keep(Number(event.target.dataset.i), ends); });
    return element("figure", {}, element("figcaption", {}, caption), svg);
  }

  function render() {
    const line = data.lines[state.line], points = line.points;
    const penUps = i => points[i][2] === 1;
    const strokes = points.filter(p => p[2] === 1).length;
    const parts = [drawing(line.name + ": " + strokes + " strokes of the pen, " + points.length + " points", points, penUps, "var(--ink)")];
    runs.forEach((run, r) => {
      run.lines[state.line].z.forEach((z, l) => {
        const boundaries = [...z].filter(mark => mark === "1").length;
        parts.push(drawing((many ? run.name + ", " : "") + "segments of layer " + (l + 1) + ": " + boundaries + " boundaries", points,
          i => z[i] === "1", many ? runColour(r) : layerColour(l)));
      });
    });
    holder.replaceChildren(...parts);
  }

  function point(i) {
    for (const old of holder.querySelectorAll(".here")) old.classList.remove("here");
    for (const path of holder.querySelectorAll('[data-i="' + i + '"]')) path.classList.add("here");
    const lines = [element("div", {}, "point " + (i + 1) + (data.lines[state.line].points[i][2] === 1 ? ", the pen is lifted after it" : ""))];
    runs.forEach((run, r) => {
      const s = run.lines[state.line], parts = [];
      if (i > 0 && i < s.operations[0].length) parts.push((level(s.nats, i) * s.nats_most - s.nats_most / 2).toFixed(1) + " nats");
      s.operations.forEach((of, l) => {
        if (i >= of.length) return;
        let text = "layer " + (l + 1) + ": " + operations[of[i]];
        if (l < s.z.length) text += ", z\u0303 " + level(s.probability[l], i).toFixed(2) + (s.z[l][i] === "1" ? ", ends a segment" : "");
        text += ", |h| " + (level(s.norms[l], i) * s.norms_most[l]).toFixed(1);
        parts.push(text);
      });
      lines.push(element("div", {}, (many ? run.name + " \u00b7 " : "") + parts.join(" \u00b7 ")));
    });
    inspector.replaceChildren(...lines);
  }

  function keep(i, ends) {
    let begin = i, end = i;
    const length = data.lines[state.line].points.length;
    while (begin > 0 && !ends(begin - 1)) --begin;
    while (end + 1 < length && !ends(end)) ++end;
    const same = state.kept && state.kept.begin === begin && state.kept.end === end;
    state.kept = same ? null : {begin, end};
    render();
    point(i);
  }

  render();
  return [element("p", {class: "quiet"}, "The same line by the strokes of the pen and by the segments of each layer: a segment is dark, the next one light."),
    element("div", {class: "controls"}, buttons), holder, inspector];
}
