// Clients and slow commands.

function parseClients(text) {
  return text.split("\n").filter(Boolean).map((row) => {
    const client = {};
    for (const part of row.split(" ")) {
      const at = part.indexOf("=");
      if (at > 0) client[part.slice(0, at)] = part.slice(at + 1);
    }
    return client;
  });
}

const CLIENT_COLUMNS = [
  { name: "Id", key: "id", number: true, class: "r" }, { name: "Address", key: "addr" }, { name: "Name", key: "name" }, { name: "User", key: "user" }, { name: "db", key: "db", number: true, class: "r" },
  { name: "Last command", key: "cmd" }, { name: "Connected", key: "age", number: true, class: "r" }, { name: "Idle", key: "idle", number: true, class: "r" },
  { name: "Memory", key: "tot-mem", number: true, class: "r" }, { name: "In", key: "tot-net-in", number: true, class: "r" }, { name: "Out", key: "tot-net-out", number: true, class: "r" }, { name: "Commands", key: "tot-cmds", number: true, class: "r" },
];
const FLAGS = { S: "replica", M: "master", O: "monitor", P: "subscribes", x: "in MULTI", b: "blocked", t: "tracking", U: "unix socket", e: "no-evict", T: "no-touch" };

pages.clients = {
  title: "Clients",
  sort: { key: "tot-mem", down: true },
  open(view) {
    this.filter = h("input", { type: "search", placeholder: "Filter by address, name, user or command", oninput: () => this.list() });
    this.body = h("div", {}, note("…"));
    this.tiles = ["Connected", "Blocked", "Subscribe", "Tracking", "Output that waits", "Refused connections"].map(tile);
    fill(view, h("div", { class: "grid" }, this.tiles.map((t) => t.card),
      h("div", { class: "card flush w12" }, h("div", { class: "head" }, h("div", { class: "tools", role: "search" }, this.filter)), this.body)));
    this.round = 0;
  },
  refresh() {
    const sum = this.rows ? this.rows.reduce((all, c) => all + +c.omem, 0) : NaN;
    [[whole(field("connected_clients")), `of ${whole(field("maxclients"))}`], [whole(field("blocked_clients")), ""], [whole(field("pubsub_clients")), `${whole(field("pubsub_channels"))} channels`], [whole(field("tracking_clients")), ""], [bytes(sum), ""], [whole(field("rejected_connections")), ""]]
      .forEach(([value, sub], at) => this.tiles[at].set(value, "", sub));
    if (this.round++ % 2 === 0) this.ask();
  },
  async ask() {
    const answer = (await api("clients")).clients;
    if (failed(answer)) { this.rows = null; return fill(this.body, note(readable(failed(answer)))); }
    this.rows = parseClients(answer);
    this.list();
  },
  list() {
    if (!this.rows) return;
    const wanted = this.filter.value.toLowerCase(), { key, down } = this.sort;
    const column = CLIENT_COLUMNS.find((c) => c.key === key);
    const rows = this.rows.filter((c) => [c.addr, c.name, c.user, c.cmd, c["lib-name"]].some((text) => (text || "").toLowerCase().includes(wanted)));
    rows.sort((a, b) => (column.number ? a[key] - b[key] : a[key] < b[key] ? -1 : 1) * (down ? -1 : 1));
    const heads = CLIENT_COLUMNS.map((c) => ({ class: c.class, head: h("button", { type: "button", onclick: () => { this.sort = { key: c.key, down: this.sort.key === c.key ? !this.sort.down : !!c.number }; this.list(); } }, c.name, c.key === key ? (down ? " ↓" : " ↑") : "") }));
    const flags = (c) => [...(c.flags || "")].map((flag) => FLAGS[flag]).filter(Boolean).map((name) => h("span", { class: "badge" }, name));
    fill(this.body, table(heads, rows.slice(0, 500).map((c) => h("tr", {}, h("td", { class: "r" }, c.id), h("td", { class: "mono nowrap" }, show(c.addr)), h("td", {}, c.name ? show(c.name) : h("span", { class: "faint" }, "–"), " ", flags(c)), h("td", {}, show(c.user)), h("td", { class: "r" }, c.db),
      h("td", { class: "mono nowrap" }, (c.cmd || "").replace("|", " ")), h("td", { class: "r" }, span(+c.age)), h("td", { class: "r" }, span(+c.idle)), h("td", { class: "r" }, bytes(+c["tot-mem"])), h("td", { class: "r" }, bytes(+c["tot-net-in"])), h("td", { class: "r" }, bytes(+c["tot-net-out"])), h("td", { class: "r" }, compact(+c["tot-cmds"])))),
      "No client matches."));
    if (rows.length > 500) this.body.append(h("div", { class: "more" }, `500 of ${whole(rows.length)} are shown.`));
  },
};

pages.slowlog = {
  title: "Slow log",
  open(view) {
    this.chart = new Chart(live.times, live.data, [line("p999", "p99.9", 4), line("p99", "p99", 3)], { title: "Latency of commands", format: micros, least: 10, area: false, width: "w7" });
    this.spikes = h("div", {});
    this.body = h("div", {}, note("…"));
    fill(view, h("div", { class: "grid" }, this.chart.card,
      h("div", { class: "card flush w5" }, h("div", { class: "head" }, h("h2", {}, "Latency spikes")), this.spikes),
      h("div", { class: "card flush w12" }, h("div", { class: "head" }, h("h2", {}, "Slow commands"), h("span", { class: "muted" }, "newest first")), this.body)));
    this.round = 0;
  },
  refresh() {
    this.chart.draw();
    fill(this.spikes, table([{ name: "Event" }, { name: "Last" }, { name: "Took", class: "r" }, { name: "Worst", class: "r" }],
      live.spikes.map(([event, at, ms, worst]) => h("tr", {}, h("td", { class: "mono" }, show(event)), h("td", { class: "nowrap" }, clock(at)), h("td", { class: "r" }, ms + " ms"), h("td", { class: "r" }, worst + " ms"))),
      "None. CONFIG SET latency-monitor-threshold 10 keeps events of 10 ms and more."));
    if (this.round++ % 2 === 0) this.ask();
  },
  async ask() {
    const answer = (await api("slowlog")).slowlog;
    if (failed(answer)) return fill(this.body, note(readable(failed(answer))));
    const most = Math.max(1, ...answer.map((entry) => entry[2]));
    fill(this.body, table([{ name: "Took", class: "r" }, { name: "", class: "hide-narrow" }, { name: "Command" }, { name: "Client", class: "hide-narrow" }, { name: "When", class: "r" }],
      answer.map(([, at, us, args, addr, name]) => h("tr", {}, h("td", { class: "r" }, micros(us)), h("td", { class: "share hide-narrow" }, meter(us / most, "c3")), h("td", { class: "mono wrap" }, args.map((arg, n) => [n ? " " : "", show(arg)])), h("td", { class: "mono nowrap hide-narrow" }, name ? [show(name), " "] : "", show(addr)), h("td", { class: "r" }, clock(at)))),
      "No command has been slow (see slowlog-log-slower-than)."));
  },
};
