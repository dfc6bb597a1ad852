// The key browser: SCAN on the left, a value by pages on the right. It only reads.

const GLOB = /[*?[\]\\]/;
const quoteGlob = (text) => text.replace(/[*?[\]\\]/g, "\\$&");

pages.keys = {
  title: "Keys",
  open(view, params) {
    this.db = params.get("db") || "0";
    this.input = h("input", { type: "search", placeholder: "Pattern such as user:*, or a part of a name", "aria-label": "Pattern", value: params.get("match") || "" });
    this.type = h("select", { "aria-label": "Type", onchange: () => this.search() }, ["", "string", "list", "set", "zset", "hash", "stream"].map((t) => h("option", { value: t }, t || "All types")));
    this.type.value = params.get("type") || "";
    this.dbs = h("select", { "aria-label": "Database", onchange: () => { this.db = this.dbs.value; this.search(); } });
    const form = h("form", { class: "tools", onsubmit: (event) => { event.preventDefault(); this.search(); } }, this.input, this.type, this.dbs, h("button", { class: "solid", type: "submit" }, "Search"));
    this.rows = h("tbody", {});
    this.more = h("div", { class: "more" });
    this.value = h("div", { class: "sticky" });
    const head = h("tr", {}, h("th", {}, "Key"), h("th", {}, "Type"), h("th", { class: "r" }, "Time to live"), h("th", { class: "r" }, "Memory"), h("th", { class: "hide-narrow" }, "Encoding"));
    fill(view, h("div", { class: "grid" },
      h("div", { class: "card flush w7" }, h("div", { class: "head" }, form), h("div", { class: "scroll" }, h("table", { id: "keys" }, h("thead", {}, head), this.rows)), this.more),
      h("div", { class: "w5" }, this.value)));
    fill(this.value, h("div", { class: "card" }, note("Choose a key to see its value.")));
    this.options();
    this.search();
    if (params.has("key")) this.show(params.get("key"));
  },
  options() {
    const known = new Set(live.dbs.map((d) => String(d.number)).concat(this.db, "0"));
    const list = [...known].sort((a, b) => a - b);
    if (this.listed === list.join() && this.dbs.options.length) return;
    this.listed = list.join();
    fill(this.dbs, list.map((d) => h("option", { value: d }, "db" + d)));
    this.dbs.value = this.db;
  },
  refresh() { this.options(); },
  search() {
    const text = this.input.value;
    this.cursor = "0";
    this.found = 0;
    this.query = `db=${this.db}`;
    if (this.type.value) this.query += "&type=" + this.type.value;
    if (text) this.query += "&match=" + encodeURIComponent(GLOB.test(text) ? text : `*${quoteGlob(text)}*`);
    this.exact = text && !this.type.value && !GLOB.test(text) ? "&exact=" + encodeURIComponent(text) : "";
    this.seen = new Set();
    fill(this.rows);
    history.replaceState(null, "", "#keys?db=" + this.db + (text ? "&match=" + encodeURIComponent(text) : "") + (this.type.value ? "&type=" + this.type.value : ""));
    this.load();
  },
  // Goes on until something is found or all is seen; a later search ends it.
  async load() {
    const query = this.query, goal = this.found + 1;
    fill(this.more, "Searching …");
    try {
      do {
        const answer = await api(`keys?${query}&cursor=${this.cursor}${this.cursor === "0" ? this.exact : ""}`);
        if (query !== this.query) return;
        if (failed(answer.keys)) return fill(this.more, readable(failed(answer.keys)));
        this.cursor = answer.cursor;
        this.add(answer.keys);
      } while (this.cursor !== "0" && this.found < goal);
      this.tell();
    } catch (error) { fill(this.more, error.message); }
  },
  add(keys) {
    for (const key of keys) {
      const id = JSON.stringify(key.key);
      // SCAN may give a key twice.
      if (this.seen.has(id)) continue;
      this.seen.add(id);
      this.found += 1;
      const open = () => { this.rows.querySelectorAll(".picked").forEach((old) => old.classList.remove("picked")); row.classList.add("picked"); this.show(param(key.key)); };
      const row = h("tr", { class: "pick", tabindex: "0", onclick: open, onkeydown: (event) => { if (event.key === "Enter") open(); } },
        h("td", { class: "keyname" }, show(key.key)), h("td", {}, key.type ? typeTag(key.type) : "–"), h("td", { class: "r" }, ttl(key.pttl)), h("td", { class: "r" }, bytes(key.memory ?? NaN)), h("td", { class: "hide-narrow muted" }, key.encoding || "–"));
      this.rows.append(row);
    }
  },
  tell() {
    const done = this.cursor === "0";
    const text = this.found ? `${whole(this.found)} ${this.found === 1 ? "key" : "keys"}${done ? "" : ", there may be more"}` : "No key matches.";
    fill(this.more, h("span", {}, text), done ? null : h("button", { class: "plain", type: "button", onclick: () => this.load() }, "More"));
  },

  async show(key) {
    if (key === null) return fill(this.value, h("div", { class: "card" }, note("This name is too long to be asked for here.")));
    this.open_key = key;
    const first = await this.ask(key, "");
    if (!first || this.open_key !== key) return;
    if (first.type === "none" || failed(first.type)) return fill(this.value, h("div", { class: "card" }, note(failed(first.type) ? readable(failed(first.type)) : "This key is gone.")));
    const meta = [["", typeTag(first.type)], ["time to live", ttl(first.pttl)], ["memory", bytes(typeof first.memory === "number" ? first.memory : NaN)], ["encoding", failed(first.encoding) ? "–" : first.encoding], [first.type === "string" ? "bytes" : "length", typeof first.len === "number" ? whole(first.len) : "–"]];
    const body = h("div", {}), foot = h("div", { class: "more" });
    fill(this.value, h("div", { class: "card flush", id: "value" }, h("div", { class: "head" }, h("div", { class: "keyname" }, show(first.key)), h("div", { class: "meta" }, meta.map(([name, value]) => h("span", {}, name ? name + " " : "", typeof value === "string" ? h("b", {}, value) : value)))), body, foot));
    this.append(body, foot, first, key, 0);
  },
  async ask(key, from) {
    try { return await api(`value?db=${this.db}&key=${key}&from=${from}`); }
    catch (error) { fill(this.value, h("div", { class: "card" }, note(error.message))); return null; }
  },
  append(body, foot, page, key, offset) {
    const error = failed(page.items);
    if (error) body.append(note(readable(error)));
    else this.items(body, page, offset);
    const count = Array.isArray(page.items) ? page.items.length : 0;
    const next = async () => {
      fill(foot, "…");
      const more = await this.ask(key, page.next);
      if (more && this.open_key === key) this.append(body, foot, more, key, offset + count);
    };
    foot.hidden = !page.next;
    fill(foot, h("span", {}, "There is more."), h("button", { class: "plain", type: "button", onclick: next }, "Next page"));
  },
  items(body, page, offset) {
    if (page.type === "string") return body.append(h("pre", { class: "value" }, show(page.items, true)));
    const rows = {
      list: (item, at) => [h("td", { class: "r faint" }, String(offset + at)), h("td", { class: "mono wrap" }, show(item))],
      set: (item) => [h("td", { class: "mono wrap" }, show(item))],
      hash: (pair) => [h("td", { class: "mono wrap" }, show(pair[0])), h("td", { class: "mono wrap" }, show(pair[1]))],
      zset: (pair) => [h("td", { class: "mono nowrap" }, show(pair[1])), h("td", { class: "mono wrap" }, show(pair[0]))],
      stream: ([id, fields]) => [h("td", { class: "mono nowrap" }, show(id)), h("td", { class: "mono wrap" }, (fields || []).map((text, at) => [at ? (at % 2 ? " = " : ", ") : "", show(text)]))],
    }[page.type];
    if (!rows) return body.append(note("Values of this type are not shown."));
    let items = page.items;
    if (page.type === "hash") items = items.reduce((all, item, at) => (at % 2 ? all[all.length - 1].push(item) : all.push([item]), all), []);
    const old = body.querySelector("tbody");
    const made = items.map((item, at) => h("tr", {}, rows(item, at)));
    if (old) return old.append(...made);
    const heads = { list: ["At", "Element"], set: ["Member"], hash: ["Field", "Value"], zset: ["Score", "Member"], stream: ["Entry", "Fields"] }[page.type];
    body.append(h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((name) => h("th", {}, name)))), h("tbody", {}, made))));
    if (Array.isArray(page.groups) && page.groups.length) body.append(h("div", { class: "more" }, `${page.groups.length} consumer groups: `, page.groups.map((g, at) => [at ? ", " : "", show(Object.fromEntries(g).name)])));
  },
};
