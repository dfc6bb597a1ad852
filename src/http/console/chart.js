// Plots of the last minutes: lines over time on a canvas, with the values under the pointer.

const KEPT = 300; // points: ten minutes
// Seconds that the plots show: more as there is more to show.
const windowOf = (times) => [60, 120, 300, 600].find((seconds) => times.length * 2 <= seconds) || 600;
const charts = new Set();
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A round number not below x, so that an axis has round steps.
function nice(x) {
  if (!(x > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(x));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * size >= x * 0.999) * size;
}
function niceBytes(x) {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log(Math.max(x, 1)) / Math.log(1024)));
  return nice(x / unit) * unit;
}

class Chart {
  // lines: [{ key, name, color }], format: value to text.
  constructor(times, data, lines, options) {
    Object.assign(this, { times, data, lines, options });
    this.canvas = h("canvas", { role: "img", "aria-label": options.title });
    this.legend = h("div", { class: "legend" });
    this.card = h("div", { class: "card " + (options.width || "w6") }, h("div", { class: "head" }, h("h2", {}, options.title), this.legend), this.canvas);
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => { this.hover = null; $("tip").hidden = true; this.draw(); });
    charts.add(this);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  draw() {
    const { canvas } = this;
    if (!canvas.isConnected) return;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = "11px system-ui, sans-serif";
    this.seconds = windowOf(this.times);
    const values = this.lines.flatMap((line) => this.data[line.key]).filter(Number.isFinite);
    const top = (this.options.nice || nice)(Math.max(this.options.least || 0, ...values));
    const labels = [0, 0.5, 1].map((part) => this.options.format(top * part));
    const left = Math.ceil(Math.max(...labels.map((text) => g.measureText(text).width))) + 10;
    this.box = { left, top: 8, right: width - 4, bottom: height - 20, max: top };
    this.axes(g, labels);
    this.lines.forEach((line, at) => this.line(g, line, at === 0 && this.options.area !== false));
    this.mark(g);
    this.write();
  }

  axes(g, labels) {
    const { left, right, top, bottom } = this.box;
    g.textBaseline = "middle";
    g.textAlign = "right";
    labels.forEach((text, at) => {
      const y = Math.round(bottom - ((bottom - top) * at) / 2) + 0.5;
      g.strokeStyle = color("--line");
      g.lineWidth = 1;
      g.beginPath(); g.moveTo(left, y); g.lineTo(right, y); g.stroke();
      g.fillStyle = color("--faint");
      g.fillText(text, left - 8, y);
    });
    g.textBaseline = "alphabetic";
    const steps = right - left > 380 ? 5 : 2;
    for (let step = 0; step <= steps; step += 1) {
      const ago = (this.seconds * step) / steps, x = right - ((right - left) * step) / steps;
      g.textAlign = step === 0 ? "right" : step === steps ? "left" : "center";
      g.fillText(step === 0 ? "now" : ago < 120 ? `${ago} s` : `${ago / 60} min`, x, bottom + 15);
    }
  }

  x(at) {
    const { left, right } = this.box;
    const last = this.times[this.times.length - 1];
    return right - ((right - left) * (last - this.times[at])) / (this.seconds * 1000);
  }
  y(value) {
    const { top, bottom, max } = this.box;
    return bottom - ((bottom - top) * Math.min(value, max)) / max;
  }

  line(g, line, area) {
    const values = this.data[line.key], { left, bottom } = this.box;
    let runs = [], run = [];
    values.forEach((value, at) => {
      if (Number.isFinite(value) && this.x(at) >= left - 1) run.push([this.x(at), this.y(value)]);
      else if (run.length) { runs.push(run); run = []; }
    });
    if (run.length) runs.push(run);
    const stroke = color(line.color);
    for (const points of runs) {
      const path = new Path2D();
      points.forEach(([x, y], at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
      if (points.length === 1) path.arc(points[0][0], points[0][1], 1.5, 0, 7);
      if (area && points.length > 1) {
        const under = new Path2D(path);
        under.lineTo(points[points.length - 1][0], bottom);
        under.lineTo(points[0][0], bottom);
        const shade = g.createLinearGradient(0, this.box.top, 0, bottom);
        shade.addColorStop(0, stroke + "33");
        shade.addColorStop(1, stroke + "03");
        g.fillStyle = shade;
        g.fill(under);
      }
      g.strokeStyle = stroke;
      g.lineWidth = 1.6;
      g.lineJoin = "round";
      g.stroke(path);
    }
  }

  point(event) {
    if (!this.box || !this.times.length) return;
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    let best = 0;
    this.times.forEach((_, at) => { if (Math.abs(this.x(at) - x) < Math.abs(this.x(best) - x)) best = at; });
    this.hover = this.times[best];
    this.draw();
    const tip = $("tip");
    fill(tip, h("div", { class: "muted" }, new Date(this.hover).toLocaleTimeString()), this.lines.map((line) =>
      h("div", { class: "row" }, h("span", {}, h("i", { class: "dot " + line.dot }), " " + line.name), h("b", { class: "num" }, this.options.format(this.data[line.key][best])))));
    tip.hidden = false;
    const flip = event.clientX + 170 > window.innerWidth;
    tip.style.left = (flip ? event.clientX - tip.offsetWidth - 14 : event.clientX + 14) + "px";
    tip.style.top = event.clientY + 14 + "px";
  }

  mark(g) {
    const at = this.times.indexOf(this.hover);
    if (!this.hover || at < 0) return;
    const x = this.x(at), { top, bottom } = this.box;
    g.strokeStyle = color("--faint");
    g.lineWidth = 1;
    g.beginPath(); g.moveTo(x, top); g.lineTo(x, bottom); g.stroke();
    for (const line of this.lines) {
      const value = this.data[line.key][at];
      if (!Number.isFinite(value)) continue;
      g.fillStyle = color(line.color);
      g.beginPath(); g.arc(x, this.y(value), 3, 0, 7); g.fill();
    }
  }

  write() {
    const last = (key) => { const data = this.data[key]; return data[data.length - 1]; };
    fill(this.legend, this.lines.map((line) => h("span", {}, h("i", { class: "dot " + line.dot }), line.name, h("b", {}, this.options.format(last(line.key))))));
  }
}

const line = (key, name, n) => ({ key, name, color: "--s" + n, dot: "c" + n });

// Parts of a whole, side by side.
function stack(parts, format) {
  const sum = parts.reduce((all, part) => all + Math.max(0, part.value), 0) || 1;
  const bar = h("div", { class: "bar tall" }, parts.filter((part) => part.value > 0).map((part) => {
    const piece = h("i", { class: part.dot, title: `${part.name}: ${format(part.value)}` });
    piece.style.width = (100 * Math.max(0, part.value)) / sum + "%";
    return piece;
  }));
  return h("div", {}, bar, h("div", { class: "legend" }, parts.map((part) => h("span", {}, h("i", { class: "dot " + part.dot }), part.name, h("b", {}, format(part.value))))));
}

function meter(part, dot) {
  const piece = h("i", { class: dot || "c1" });
  piece.style.width = 100 * Math.min(1, Math.max(0, part)) + "%";
  return h("div", { class: "bar" }, piece);
}
