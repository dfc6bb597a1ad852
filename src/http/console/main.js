// Which page is shown, and the beat of the polls.

const ORDER = ["overview", "memory", "keys", "clients", "slowlog", "replication"];
let current = null;

function route() {
  const [name, query] = location.hash.slice(1).split("?");
  const sentinel = live.fields.redis_mode === "sentinel";
  const names = sentinel ? ["sentinel", "overview", "clients"] : ORDER;
  const page = names.includes(name) ? name : names[0];
  tabs(names, page);
  $("tabs").querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  charts.clear();
  $("tip").hidden = true;
  current = pages[page];
  $("title").textContent = current.title;
  document.title = current.title + " · Ferrite";
  current.open($("view"), keysOf(query || ""));
}

// The query as it stands: the bytes of keys stay encoded.
function keysOf(query) {
  const map = new Map();
  for (const part of query.split("&").filter(Boolean)) {
    const at = part.indexOf("=");
    const name = part.slice(0, at);
    let value = part.slice(at + 1);
    if (name !== "key") { try { value = decodeURIComponent(value); } catch { continue; } }
    map.set(name, value);
  }
  return map;
}

function tabs(names, page) {
  const count = { clients: field("connected_clients"), replication: live.replicas.length || undefined, keys: live.dbs.reduce((sum, db) => sum + +db.keys, 0) || undefined };
  fill($("tabs"), names.map((name) => h("a", { class: "tab", href: "#" + name, "aria-current": name === page ? "page" : undefined }, pages[name].title, h("span", { class: "count" }, count[name] === undefined ? "" : compact(count[name])))));
}

function frame() {
  const f = live.fields, badge = (text, kind) => h("span", { class: "badge " + (kind || "") }, text);
  const name = Object.keys(pages).find((key) => pages[key] === current);
  tabs(f.redis_mode === "sentinel" ? ["sentinel", "overview", "clients"] : ORDER, name);
  $("instance").textContent = `${location.hostname}:${f.tcp_port} · ${f.ferrite_version} · up ${span(field("uptime_in_seconds"))}`;
  $("who").textContent = live.user ? live.user : "";
  const badges = [];
  if (f.redis_mode === "sentinel") badges.push(f.sentinel_tilt === "1" ? badge("TILT", "bad") : badge("Sentinel", "accent"));
  else badges.push(badge(f.role === "slave" ? "replica" : "master", "accent"));
  if (f.loading === "1") badges.push(badge(`loading ${f.loading_loaded_perc || ""} %`, "warn"));
  if (f.role === "slave" && f.master_link_status !== "up") badges.push(badge("no link with the master", "bad"));
  if (f.rdb_last_bgsave_status === "err") badges.push(badge("the last save failed", "bad"));
  if (f.aof_last_write_status === "err") badges.push(badge("the log can't be written", "bad"));
  if (f.rdb_bgsave_in_progress === "1") badges.push(badge("saving", "warn"));
  if (field("maxmemory") && field("used_memory") > 0.95 * field("maxmemory")) badges.push(badge("memory is nearly full", "warn"));
  fill($("badges"), badges);
}

// Beats that are left out: who may not see the figures is not to ask for them all the time.
let rest = 0;

async function beat() {
  if (document.hidden || rest-- > 0) return;
  rest = 0;
  try {
    await poll();
    banner(live.refused ? `The user ${live.user || "of this page"} may not see the server's figures: ${readable(live.refused)}` : "");
    if (!current) route();
    if (live.refused) { rest = 30; return; }
    frame();
    current.refresh();
  } catch (error) {
    banner(error instanceof Refused ? error.message : "The server does not answer. Trying again …");
  }
}

// ---- light and dark ----

const themes = { auto: "Auto", light: "Light", dark: "Dark" };
const wishes = window.matchMedia("(prefers-color-scheme: dark)");
function theme(wish) {
  const dark = wish === "dark" || (wish !== "light" && wishes.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").textContent = themes[wish] || themes.auto;
  charts.forEach((chart) => chart.draw());
}
const wish = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
$("theme").addEventListener("click", () => {
  const names = Object.keys(themes), next = names[(names.indexOf(wish()) + 1) % names.length];
  try { localStorage.setItem("theme", next); } catch { /* Then it holds for this page only. */ }
  theme(next);
});
wishes.addEventListener("change", () => theme(wish()));
window.addEventListener("hashchange", () => {
  route();
  if (live.times.length) current.refresh();
});
window.addEventListener("unhandledrejection", (event) => { if (event.reason instanceof Refused) banner(event.reason.message); });
document.addEventListener("visibilitychange", beat);

theme(wish());
beat();
setInterval(beat, PERIOD);
