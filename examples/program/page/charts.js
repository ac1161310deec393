// ---------------------------------------------------------------- elements, figures, charts
/// element("td", {class: "x"}, child, …); children are elements or text.
function element(name, attributes, ...children) {
  const svg = ["svg", "path", "line", "text", "g", "rect", "polyline"].includes(name);
  const out = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) out.addEventListener(key.slice(2), value);
    else out.setAttribute(key, value);
  }
  for (const child of children.flat()) if (child !== null) out.append(child);
  return out;
}

/// An element with the number at a path of data ("runs.0.eval.bpc"); its attribute names the path.
function figure(path, show) {
  let value = data;
  for (const key of path.split(".")) value = value === null || value === undefined ? null : value[key];
  if (typeof value !== "number") return element("span", {}, "\u2013");
  return element("span", {"data-figure": path}, (show || fixed(3))(value));
}
const fixed = digits => value => value.toFixed(digits);
const percent = value => (100 * value).toFixed(1) + "%";
const whole = value => Math.round(value).toLocaleString("en");
const mega = value => (value / 1e6).toPrecision(3) + " M";
const count = value => value >= 1e6 ? (value / 1e6).toPrecision(3) + " M" : whole(value);

function table(head, rows) {
  const cell = (kind, content) => element(kind, {}, content);
  return element("div", {class: "scroll"}, element("table", {},
    element("thead", {}, element("tr", {}, head.map(content => cell("th", content)))),
    element("tbody", {}, rows.map(row => element("tr", {}, row.map(content => cell("td", content)))))));
}

const runColour = i => "var(--run" + i % 6 + ")";
const layerColour = l => "var(--layer" + l % 5 + ")";

/// About `wanted` round values from low to high.
function ticks(low, high, wanted) {
  const step = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(step || 1));
  const nice = [1, 2, 5, 10].find(factor => factor * power >= step) * power;
  const out = [];
  for (let value = Math.ceil(low / nice) * nice; value <= high + nice * 1e-9; value += nice) out.push(value);
  return out;
}

const shortNumber = value => Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3)
  ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(3)));

/// A chart over steps. series: [{label, colour, steps, values, points}] (null values are gaps), resumes: [{step, colour}]
function chart(caption, series, resumes, options) {
  series = series.filter(s => s.values && s.values.some(v => v !== null));
  if (series.length === 0) return null;
  const log = options && options.log;
  const usable = v => v !== null && (!log || v > 0);
  const all = series.flatMap(s => s.values.filter(usable));
  if (all.length === 0) return null;
  const scale = log ? Math.log10 : v => v;
  let low = Math.min(...all.map(scale)), high = Math.max(...all.map(scale));
  if (options && options.share) low = 0, high = Math.max(high, 0.05);
  if (high - low < 1e-12) low -= Math.abs(low) * 0.1 + 0.01, high += Math.abs(high) * 0.1 + 0.01;
  const last = Math.max(...series.map(s => s.steps[s.steps.length - 1]), 1);
  const readout = element("output", {});
  const holder = element("div", {});
  const out = element("figure", {}, element("figcaption", {}, caption),
    series.length > 1 ? element("div", {class: "legend"}, series.map(s => element("span", {},
      element("i", {class: "swatch", style: "background:" + s.colour}), s.label))) : null, holder, readout);

  function draw() {
    const width = Math.max(240, Math.min(holder.clientWidth || 460, 640)), height = 190;
    const left = 44, right = 10, top = 8, bottom = 24;
    const x = step => left + (width - left - right) * step / last;
    const y = value => top + (height - top - bottom) * (1 - (scale(value) - low) / (high - low));
    const svg = element("svg", {width, height, viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": caption});
    const levels = log ? ticks(low, high, 4).map(v => 10 ** v) : ticks(low, high, 4);
    for (const level of levels) {
      svg.append(element("line", {class: "grid", x1: left, x2: width - right, y1: y(level), y2: y(level)}),
        element("text", {x: left - 6, y: y(level) + 4, "text-anchor": "end"}, shortNumber(level)));
    }
    for (const step of ticks(0, last, width > 400 ? 5 : 3)) {
      svg.append(element("text", {x: x(step), y: height - 6, "text-anchor": "middle"}, shortNumber(step)));
    }
    for (const r of resumes) {
      svg.append(element("line", {class: "resume", x1: x(r.step), x2: x(r.step), y1: top, y2: height - bottom, stroke: r.colour}));
    }
    for (const s of series) {
      let path = "", pen = false;
      s.values.forEach((value, i) => {
        if (!usable(value)) { pen = false; return; }
        path += (pen ? "L" : "M") + x(s.steps[i]).toFixed(1) + " " + y(value).toFixed(1);
        if (s.values.length === 1) path += "h3";
        pen = true;
      });
      svg.append(element("path", {class: "curve", d: path, stroke: s.colour, ...(s.dashed ? {"stroke-dasharray": "5 3"} : {})}));
    }
    const cursor = element("line", {class: "cursor", y1: top, y2: height - bottom, visibility: "hidden"});
    svg.append(cursor);
    svg.addEventListener("pointermove", event => {
      const at = (event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right) * last;
      const nearest = s => s.steps.reduce((best, step, i) => Math.abs(step - at) < Math.abs(s.steps[best] - at) ? i : best, 0);
      const place = nearest(series[0]);
      cursor.setAttribute("x1", x(series[0].steps[place]));
      cursor.setAttribute("x2", x(series[0].steps[place]));
      cursor.setAttribute("visibility", "visible");
      readout.textContent = "step " + series[0].steps[place] + ": " + series.map(s => {
        const value = s.values[nearest(s)];
        return (series.length > 1 ? s.label + " " : "") + (value === null ? "\u2013" : shortNumber(value));
      }).join(", ");
    });
    holder.replaceChildren(svg);
  }
  redraws.push(draw);
  return out;
}
const redraws = [];

/// Bars of a histogram [[length, number], …], and the number of longer segments.
function histogram(bars, longer) {
  const most = Math.max(1, ...bars.map(bar => bar[1]), longer), longest = Math.max(1, ...bars.map(bar => bar[0]));
  const each = Math.max(2, Math.min(8, Math.floor(130 / (longest + 1))));
  const svg = element("svg", {width: each * (longest + 1) + 1, height: 28, role: "img",
    "aria-label": bars.map(bar => bar[1] + " of length " + bar[0]).join(", ")});
  for (const [length, number] of bars) {
    const height = 26 * number / most;
    svg.append(element("rect", {x: each * (length - 1), y: 27 - height, width: each - 1, height: Math.max(height, 0.7),
      fill: "var(--quiet)"}, element("title", {}, number + " of length " + length)));
  }
  return svg;
}
