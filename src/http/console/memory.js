// Where memory goes: by part of the server, by type of value (from a sample), by prefix, by database.

const SAMPLE = 50000; // keys that are weighed
const PAUSE = 250; // ms between some of them and the next
const TYPES = { string: "c1", hash: "c2", list: "c3", zset: "c4", stream: "c5", set: "c6" };
const typeTag = (name) => h("span", { class: "type " + (TYPES[name] ? name : "") }, name);

pages.memory = {
  title: "Memory",
  open(view) {
    this.parts = h("div", {});
    this.figures = h("dl", { class: "pairs" });
    this.types = h("div", {});
    this.typesNote = h("span", { class: "muted" });
    this.prefixes = h("div", {}, note("…"));
    this.dbs = h("div", {});
    this.chart = new Chart(live.times, live.data, [line("used", "in use", 1), line("rss", "resident", 5)], { title: "In use", format: bytes, nice: niceBytes, width: "w7" });
    const card = (title, width, body, aside) => h("div", { class: "card flush " + width }, h("div", { class: "head" }, h("h2", {}, title), aside), body);
    fill(view, h("div", { class: "grid" },
      h("div", { class: "card w12" }, h("div", { class: "head" }, h("h2", {}, "What it is used for")), this.parts),
      this.chart.card, h("div", { class: "card w5" }, h("div", { class: "head" }, h("h2", {}, "Figures")), this.figures),
      card("By type", "w6", this.types, this.typesNote), card("By prefix", "w6", this.prefixes),
      card("Databases", "w12", this.dbs)));
    this.sample = this.sample && this.sample.run === live.fields.run_id ? this.sample : null;
    this.round = 0;
    this.drawTypes();
  },
  refresh() {
    const f = field, used = f("used_memory");
    const data = f("used_memory_dataset"), clients = f("mem_clients_normal"), backlog = f("mem_total_replication_buffers");
    const scripts = f("used_memory_scripts") + f("used_memory_vm_total"), startup = f("used_memory_startup");
    const tables = f("used_memory_overhead") - startup - clients;
    fill(this.parts, stack([
      { name: "keys and values", value: data, dot: "c1" }, { name: "tables", value: tables, dot: "c2" }, { name: "clients", value: clients, dot: "c3" },
      { name: "replication", value: backlog, dot: "c4" }, { name: "scripts", value: scripts, dot: "c6" }, { name: "server", value: startup, dot: "c5" }], bytes));
    const max = f("maxmemory");
    const pairs = [["In use", bytes(used)], ["Peak", bytes(f("used_memory_peak"))], ["Resident", bytes(f("used_memory_rss"))], ["Limit", max ? `${bytes(max)} (${percent(used / max)} used)` : "none"],
      ["Policy", live.fields.maxmemory_policy], ["Resident to used", live.fields.mem_fragmentation_ratio], ["Evicted keys", whole(f("evicted_keys"))], ["Waiting to be freed", whole(f("lazyfree_pending_objects"))], ["Machine", bytes(f("total_system_memory"))]];
    fill(this.figures, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    this.chart.draw();
    const most = Math.max(1, ...live.dbs.map((db) => +db.keys));
    fill(this.dbs, table([{ name: "Database" }, { name: "Keys", class: "r" }, { name: "" }, { name: "With a time to live", class: "r" }, { name: "Mean time to live", class: "r" }],
      live.dbs.map((db) => h("tr", {}, h("td", { class: "mono" }, h("a", { href: "#keys?db=" + db.number }, "db" + db.number)), h("td", { class: "r" }, whole(+db.keys)), h("td", { class: "share" }, meter(db.keys / most)),
        h("td", { class: "r" }, whole(+db.expires)), h("td", { class: "r" }, +db.expires ? span(db.avg_ttl / 1000) : "–"))), "There are no keys."));
    if (this.round++ % 3 === 0) this.ask();
    this.weigh();
  },
  async ask() {
    const answer = (await api("prefixes")).prefixes;
    if (failed(answer)) return fill(this.prefixes, note(readable(failed(answer))));
    const rows = answer.map((pairs) => Object.fromEntries(pairs)).sort((a, b) => b.bytes - a.bytes);
    const most = Math.max(1, ...rows.map((row) => row.bytes));
    fill(this.prefixes, table([{ name: "Prefix" }, { name: "Keys", class: "r" }, { name: "Bytes", class: "r" }, { name: "" }, { name: "Operations", class: "r" }],
      rows.map((row) => h("tr", {}, h("td", { class: "keyname" }, show(row.prefix)), h("td", { class: "r" }, whole(row.keys), row.complete ? "" : " …"), h("td", { class: "r" }, bytes(row.bytes)), h("td", { class: "share" }, meter(row.bytes / most, "c2")), h("td", { class: "r" }, compact(row.operations)))),
      "No prefix is tracked. CONFIG SET track-prefix \"user:* session:*\" counts keys, bytes and operations as they come."));
  },
  // Some keys after the other, in the order of SCAN, which is as good as chance.
  async weigh() {
    const db = live.dbs.reduce((best, d) => (best && +best.keys >= +d.keys ? best : d), null);
    if (!db || this.weighing) return this.drawTypes();
    if (!this.sample || this.sample.db !== db.number) this.sample = { db: db.number, run: live.fields.run_id, cursor: "0", seen: 0, types: {}, done: false };
    const s = this.sample;
    if (current !== this) return;
    if (s.done) {
      // Much has come or gone since: look again.
      const stale = Date.now() - s.at > 20000 && Math.abs(db.keys - s.seen) > 0.02 * s.seen;
      if (s.cursor === "0" && stale) this.sample = null;
      return;
    }
    this.weighing = true;
    try {
      const answer = await api(`keys?db=${s.db}&cursor=${s.cursor}&count=400`);
      if (failed(answer.keys)) { s.done = true; s.why = readable(failed(answer.keys)); return; }
      for (const key of answer.keys) {
        const type = (s.types[key.type] = s.types[key.type] || { keys: 0, bytes: 0 });
        type.keys += 1;
        type.bytes += key.memory || 0;
        s.seen += 1;
      }
      s.cursor = answer.cursor;
      s.done = s.cursor === "0" || s.seen >= SAMPLE;
      s.at = Date.now();
    } finally { this.weighing = false; this.drawTypes(); }
    if (current === this && !document.hidden) setTimeout(() => this.weigh(), PAUSE);
  },
  drawTypes() {
    const s = this.sample;
    if (!s || s.why) { this.typesNote.textContent = ""; return fill(this.types, note(s ? s.why : "There are no keys.")); }
    const total = +(live.dbs.find((db) => db.number === s.db) || { keys: 0 }).keys;
    const all = s.cursor === "0" && s.seen > 0, scale = all || !s.seen ? 1 : Math.max(1, total / s.seen);
    this.typesNote.textContent = all ? `all ${whole(s.seen)} keys of db${s.db}` : `estimated from ${whole(s.seen)} of ${whole(total)} keys of db${s.db}`;
    const rows = Object.entries(s.types).sort((a, b) => b[1].bytes - a[1].bytes);
    const most = Math.max(1, ...rows.map(([, t]) => t.bytes));
    const about = all ? "" : "≈ ";
    fill(this.types, table([{ name: "Type" }, { name: "Keys", class: "r" }, { name: "Bytes", class: "r" }, { name: "" }, { name: "A key", class: "r" }],
      rows.map(([name, t]) => h("tr", {}, h("td", {}, typeTag(name)), h("td", { class: "r" }, about + compact(t.keys * scale)), h("td", { class: "r" }, about + bytes(t.bytes * scale)), h("td", { class: "share" }, meter(t.bytes / most, TYPES[name] || "c5")), h("td", { class: "r" }, bytes(t.bytes / t.keys)))),
      "…"));
  },
};
