// Replication, persistence, and what a Sentinel sees.

// A picture of one server at the top and those that follow it.
function tree(top, below) {
  const width = 720, wide = 190, gap = 24, high = 52, perRow = 3;
  const rows = Math.ceil(below.length / perRow), height = 20 + high + (rows ? 30 : 0) + rows * (high + 18);
  const out = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "map", role: "img" });
  const box = (x, y, node) => {
    const cut = (text) => (text.length > 27 ? text.slice(0, 26) + "…" : text);
    const name = svg("text", { x: x + 12, y: y + 22 }), sub = svg("text", { x: x + 12, y: y + 39, class: "sub" });
    name.textContent = cut(node.name);
    sub.textContent = cut(node.sub);
    out.append(svg("rect", { x, y, width: wide, height: high, rx: 8, class: node.me ? "me" : "" }), name, sub);
  };
  const middle = width / 2;
  below.forEach((node, at) => {
    const row = Math.floor(at / perRow), inRow = Math.min(perRow, below.length - row * perRow);
    const x = middle - (inRow * wide + (inRow - 1) * gap) / 2 + (at % perRow) * (wide + gap), y = 10 + high + 30 + row * (high + 18);
    const from = 10 + high, bend = (from + y) / 2;
    if (row === 0) out.append(svg("path", { d: `M${middle} ${from} C${middle} ${bend} ${x + wide / 2} ${bend} ${x + wide / 2} ${y}`, class: "edge " + (node.up ? "on" : "off") }));
    box(x, y, node);
  });
  box(middle - wide / 2, 10, top);
  return out;
}

const pairs = (list) => h("dl", { class: "pairs" }, list.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const good = (on, yes, no) => h("span", { class: "badge " + (on ? "good" : "bad") }, on ? yes : no);

pages.replication = {
  title: "Replication",
  open(view) {
    this.map = h("div", {});
    this.state = h("div", {});
    this.table = h("div", {});
    this.disk = h("div", {});
    fill(view, h("div", { class: "grid" },
      h("div", { class: "card w7" }, h("div", { class: "head" }, h("h2", {}, "Topology")), this.map), h("div", { class: "card w5" }, h("div", { class: "head" }, h("h2", {}, "State")), this.state),
      h("div", { class: "card flush w7" }, h("div", { class: "head" }, h("h2", {}, "Replicas")), this.table), h("div", { class: "card w5" }, h("div", { class: "head" }, h("h2", {}, "Persistence")), this.disk)));
  },
  refresh() {
    const f = live.fields, offset = field("master_repl_offset"), replica = f.role === "slave";
    const me = { name: location.hostname + ":" + f.tcp_port, sub: `${replica ? "replica" : "master"}, offset ${compact(offset)}`, me: true };
    const followers = live.replicas.map((r) => ({ name: `${r.ip}:${r.port}`, sub: `${r.state}, ${compact(offset - r.offset)} bytes behind`, up: r.state === "online" }));
    const up = f.master_link_status === "up";
    fill(this.map, replica ? tree({ name: `${f.master_host}:${f.master_port}`, sub: "master" }, [{ ...me, up, sub: me.sub + (followers.length ? `, ${followers.length} replicas` : "") }]) : tree(me, followers));
    const backlog = field("repl_backlog_histlen"), room = field("repl_backlog_size");
    fill(this.state, pairs([
      ["Role", replica ? "replica" : "master"],
      ...(replica ? [["Link with the master", good(up, "up", f.master_sync_in_progress === "1" ? "syncing" : "down")], ["Heard of it", +f.master_last_io_seconds_ago >= 0 ? span(+f.master_last_io_seconds_ago) + " ago" : "–"], ...(f.master_sync_perc ? [["Copied", f.master_sync_perc + " %"]] : [])] : []),
      ["Connected replicas", whole(field("connected_slaves"))], ["Offset", whole(offset)], ["History", h("span", { class: "mono", title: f.master_replid }, (f.master_replid || "").slice(0, 12))],
      ["Backlog", f.repl_backlog_active === "1" ? `${bytes(backlog)} of ${bytes(room)}` : "none"], ["Full copies given", whole(field("sync_full"))], ["Resumed · not resumed", `${whole(field("sync_partial_ok"))} · ${whole(field("sync_partial_err"))}`],
      ["Failover", (f.master_failover_state || "").replace("no-failover", "none")], ...(+f.divergence_saved_commands ? [["Saved before a copy", `${f.divergence_saved_commands} commands`]] : [])]));
    fill(this.table, table([{ name: "Replica" }, { name: "State" }, { name: "Offset", class: "r" }, { name: "Behind", class: "r" }, { name: "Lag", class: "r" }],
      live.replicas.map((r) => h("tr", {}, h("td", { class: "mono" }, show(`${r.ip}:${r.port}`)), h("td", {}, h("span", { class: "badge " + (r.state === "online" ? "good" : "warn") }, r.state)), h("td", { class: "r" }, whole(+r.offset)), h("td", { class: "r" }, bytes(Math.max(0, offset - r.offset))), h("td", { class: "r" }, r.lag + " s"))),
      "No replica is connected."));
    this.persistence();
  },
  persistence() {
    const f = live.fields, aof = f.aof_enabled === "1";
    const seconds = (text) => (+text >= 0 ? text + " s" : "–");
    fill(this.disk, pairs([
      ["Last save", field("rdb_last_save_time") ? clock(field("rdb_last_save_time")) : "–"], ["It went", good(f.rdb_last_bgsave_status === "ok", "well", "wrong")], ["It took", seconds(f.rdb_last_bgsave_time_sec)], ["Changes since", whole(field("rdb_changes_since_last_save"))],
      ["Save in progress", f.rdb_bgsave_in_progress === "1" ? `${whole(field("current_save_keys_processed"))} of ${whole(field("current_save_keys_total"))} keys` : "no"],
      ["Append-only file", aof ? good(f.aof_last_write_status === "ok", "on", "fails") : "off"],
      ...(aof ? [["Its size", bytes(field("aof_current_size"))], ["Not synced yet", bytes(field("aof_unsynced_bytes"))], ["Rewrite", f.aof_rewrite_in_progress === "1" ? "in progress" : f.aof_last_bgrewrite_status === "ok" ? "–" : "the last one failed"]] : [])]));
  },
};

pages.sentinel = {
  title: "Sentinel",
  open(view) { this.body = h("div", { class: "grid" }, h("div", { class: "card w12" }, note("…"))); fill(view, this.body); },
  refresh() { this.ask(); },
  async ask() {
    const answer = (await api("sentinel")).masters;
    if (failed(answer)) return fill(this.body, h("div", { class: "card w12" }, note(readable(failed(answer)))));
    const fields = (list) => Object.fromEntries(list);
    fill(this.body, answer.length ? answer.flatMap((entry) => this.master(fields(entry.master), Array.isArray(entry.replicas) ? entry.replicas.map(fields) : [], Array.isArray(entry.sentinels) ? entry.sentinels.map(fields) : [])) : h("div", { class: "card w12" }, note("No master is monitored.")));
  },
  master(m, replicas, sentinels) {
    const down = (node) => /[so]_down|disconnected/.test(node.flags || "");
    const status = (node) => h("span", { class: "badge " + (down(node) ? "bad" : "good") }, down(node) ? node.flags.split(",").filter((x) => /down|disconnected/.test(x)).join(", ").replace(/_/g, "-") : "up");
    const rows = [...replicas.map((r) => ["replica", r]), ...sentinels.map((s) => ["Sentinel", s])];
    return [
      h("div", { class: "card w7" }, h("div", { class: "head" }, h("h2", {}, show(m.name)), h("div", { class: "badges" }, status(m), m["failover-state"] ? h("span", { class: "badge warn" }, "failover: " + m["failover-state"]) : null)),
        tree({ name: `${m.ip}:${m.port}`, sub: "master" }, replicas.map((r) => ({ name: `${r.ip}:${r.port}`, sub: `offset ${compact(+r["slave-repl-offset"])}, priority ${r["slave-priority"]}`, up: !down(r) })))),
      h("div", { class: "card w5" }, h("div", { class: "head" }, h("h2", {}, "Settings")), pairs([["Quorum", m.quorum], ["Sentinels", `${sentinels.filter((s) => !down(s)).length + 1} of ${sentinels.length + 1} up`], ["Replicas", `${replicas.filter((r) => !down(r)).length} of ${replicas.length} up`], ["Epoch of the configuration", m["config-epoch"]], ["Down after", micros(m["down-after-milliseconds"] * 1000)], ["Failover may take", span(m["failover-timeout"] / 1000)], ["Answered a ping", micros(m["last-ok-ping-reply"] * 1000) + " ago"]])),
      h("div", { class: "card flush w12" }, h("div", { class: "head" }, h("h2", {}, "Instances")), table([{ name: "What" }, { name: "Address" }, { name: "State" }, { name: "Link with the master" }, { name: "Answered a ping", class: "r" }],
        rows.map(([what, node]) => h("tr", {}, h("td", {}, what), h("td", { class: "mono" }, show(`${node.ip}:${node.port}`)), h("td", {}, status(node)), h("td", {}, node["master-link-status"] || "–"), h("td", { class: "r" }, micros(node["last-ok-ping-reply"] * 1000) + " ago"))), "Nobody but this Sentinel is known.")),
    ];
  },
};
