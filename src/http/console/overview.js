// Pages: each is { title, open(view, params), refresh(), close() }. `open` builds, `refresh` fills in after a poll.

const pages = {};

function tile(label) {
  const value = h("div", { class: "value" }, "–"), sub = h("div", { class: "sub" }, "\u00a0");
  const set = (text, unit, line) => { fill(value, text, unit ? h("small", {}, unit) : null); fill(sub, line || "\u00a0"); };
  return { card: h("div", { class: "card stat w2" }, h("div", { class: "label" }, label), value, sub), set };
}

function table(columns, rows, empty) {
  if (!rows.length) return note(empty);
  const head = columns.map((column) => h("th", { class: column.class }, column.head || column.name));
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}

pages.overview = {
  title: "Overview",
  open(view) {
    this.tiles = Object.fromEntries([["ops", "Throughput"], ["p99", "Latency p99"], ["memory", "Memory"], ["clients", "Clients"], ["hits", "Hit ratio"], ["keys", "Keys"]].map(([key, label]) => [key, tile(label)]));
    const chart = (lines, options) => new Chart(live.times, live.data, lines, options);
    this.charts = [
      chart([line("ops", "commands/s", 1)], { title: "Throughput", format: compact, least: 10, width: "w7" }),
      chart([line("p999", "p99.9", 4), line("p99", "p99", 3), line("p50", "p50", 2)], { title: "Latency", format: micros, least: 10, area: false, width: "w5" }),
      chart([line("used", "in use", 1), line("rss", "resident", 5)], { title: "Memory", format: bytes, nice: niceBytes, width: "w4" }),
      chart([line("output", "out", 2), line("input", "in", 1)], { title: "Network", format: (x) => bytes(x) + "/s", nice: niceBytes, least: 1024, width: "w4" }),
      chart([line("cpu", "of one processor", 6)], { title: "Processor", format: (x) => trim(x || 0) + " %", least: 10, width: "w4" }),
      chart([line("hits", "hits", 2), line("misses", "misses", 3)], { title: "Lookups a second", format: compact, least: 10, width: "w6" }),
      chart([line("expired", "expired", 5), line("evicted", "evicted", 4)], { title: "Keys that went, a second", format: compact, least: 10, width: "w6" }),
    ];
    this.commands = h("div", {});
    const sentinel = live.fields.redis_mode === "sentinel";
    const shown = sentinel ? [this.charts[0], this.charts[4]] : this.charts;
    const tiles = sentinel ? ["ops", "clients"] : Object.keys(this.tiles);
    fill(view, h("div", { class: "grid" }, tiles.map((key) => this.tiles[key].card), shown.map((c) => c.card),
      h("div", { class: "card flush w12" }, h("div", { class: "head" }, h("h2", {}, "Commands"), h("span", { class: "muted" }, "percentiles since the start")), this.commands)));
  },
  refresh() {
    const t = this.tiles, f = live.fields;
    t.ops.set(compact(latest("ops")), "/s", `${compact(+f.total_commands_processed)} in all`);
    const p99 = latest("p99");
    const [number, unit] = p99 === undefined ? ["–", ""] : micros(p99).split(" ");
    t.p99.set(number, unit, live.latencyRefused ? "not permitted" : p99 === undefined ? "no commands yet" : `p50 ${micros(latest("p50"))}`);
    const used = field("used_memory"), max = field("maxmemory");
    const [size, of] = bytes(used).split(" ");
    t.memory.set(size, of, max ? `${percent(used / max)} of ${bytes(max)}` : `peak ${bytes(field("used_memory_peak"))}`);
    t.clients.set(whole(field("connected_clients")), "", `${whole(field("blocked_clients"))} blocked, ${whole(field("pubsub_clients"))} subscribe`);
    const hits = field("keyspace_hits"), misses = field("keyspace_misses");
    t.hits.set(percent(hits + misses > 0 ? hits / (hits + misses) : NaN), "", `${compact(misses)} misses in all`);
    const keys = live.dbs.reduce((sum, db) => sum + +db.keys, 0), volatile = live.dbs.reduce((sum, db) => sum + +db.expires, 0);
    t.keys.set(compact(keys), "", `${compact(volatile)} with a time to live`);
    this.charts.forEach((c) => c.draw());
    this.list();
  },
  list() {
    const rows = live.commands.filter((c) => +c.calls || +c.failed_calls || +c.rejected_calls);
    const most = Math.max(1e-9, ...rows.map((c) => c.rate || 0));
    rows.sort((a, b) => (b.rate || 0) - (a.rate || 0) || b.calls - a.calls);
    fill(this.commands, table(
      [{ name: "Command" }, { name: "Calls/s", class: "r" }, { name: "", class: "hide-narrow" }, { name: "Calls", class: "r" }, { name: "Mean", class: "r" }, { name: "p50", class: "r hide-narrow" }, { name: "p99", class: "r" }, { name: "Failed", class: "r" }, { name: "Refused", class: "r hide-narrow" }],
      rows.slice(0, 40).map((c) => h("tr", {}, h("td", { class: "mono" }, c.name.replace("|", " ")), h("td", { class: "r" }, compact(c.rate)), h("td", { class: "share hide-narrow" }, meter((c.rate || 0) / most)),
        h("td", { class: "r" }, whole(+c.calls)), h("td", { class: "r" }, micros(+c.usec_per_call)), h("td", { class: "r hide-narrow" }, micros(+(c.percentiles || {}).p50)), h("td", { class: "r" }, micros(+(c.percentiles || {}).p99)),
        h("td", { class: "r" }, whole(+c.failed_calls)), h("td", { class: "r hide-narrow" }, whole(+c.rejected_calls)))),
      "No command has run yet."));
  },
};
