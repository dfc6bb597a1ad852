// The state of the server, asked every two seconds, and what follows from two states.

const PERIOD = 2000;
const SERIES = ["ops", "p50", "p99", "p999", "used", "rss", "input", "output", "hits", "misses", "clients", "blocked", "cpu", "expired", "evicted", "ratio"];
// What the page itself asks does not count as the server's work.
const OWN = new Set(["info", "latency|histogram", "latency|latest", "acl|whoami", "slowlog|get", "client|list", "ferrite|prefixes", "sentinel|masters", "sentinel|replicas", "sentinel|sentinels"]);

const live = {
  times: [], data: Object.fromEntries(SERIES.map((name) => [name, []])),
  fields: {}, commands: [], dbs: [], replicas: [], masters: [], spikes: [], user: "", refused: null, latencyRefused: null,
};

function parseInfo(text) {
  const fields = {}, commands = new Map(), dbs = [], replicas = [], masters = [];
  const words = (value) => Object.fromEntries(value.split(",").map((part) => { const at = part.indexOf("="); return [part.slice(0, at), part.slice(at + 1)]; }));
  const command = (name) => { if (!commands.has(name)) commands.set(name, { name }); return commands.get(name); };
  for (const row of text.split("\r\n")) {
    const at = row.indexOf(":");
    if (at < 1 || row[0] === "#") continue;
    const name = row.slice(0, at), value = row.slice(at + 1);
    if (name.startsWith("cmdstat_")) Object.assign(command(name.slice(8)), words(value));
    else if (name.startsWith("latency_percentiles_usec_")) command(name.slice(25)).percentiles = words(value);
    else if (/^db\d+$/.test(name)) dbs.push({ number: +name.slice(2), ...words(value) });
    else if (/^slave\d+$/.test(name)) replicas.push(words(value));
    else if (/^master\d+$/.test(name)) masters.push(words(value));
    else fields[name] = value;
  }
  return { fields, commands: [...commands.values()], dbs, replicas, masters };
}

const field = (name) => { const value = parseFloat(live.fields[name]); return Number.isNaN(value) ? undefined : value; };

// Counts by upper bound in µs of all commands that are not the page's own.
function buckets(histogram) {
  const sum = new Map();
  for (const [name, details] of histogram) {
    if (OWN.has(name)) continue;
    const found = details.find(([key]) => key === "histogram_usec");
    let before = 0;
    for (const [us, seen] of found ? found[1] : []) {
      sum.set(+us, (sum.get(+us) || 0) + seen - before);
      before = seen;
    }
  }
  return sum;
}

function percentiles(now, before, wanted) {
  const counts = [...now].map(([us, n]) => [us, n - (before.get(us) || 0)]).filter(([, n]) => n > 0).sort((a, b) => a[0] - b[0]);
  const total = counts.reduce((all, [, n]) => all + n, 0);
  return wanted.map((part) => {
    let seen = 0;
    for (const [us, n] of counts) {
      if (seen + n >= total * part) {
        const low = us > 1 ? us / 2 : 0;
        return low + ((us - low) * (total * part - seen)) / n;
      }
      seen += n;
    }
    return undefined;
  });
}

function push(name, value) {
  const list = live.data[name];
  list.push(Number.isFinite(value) ? value : undefined);
  if (list.length > KEPT) list.shift();
}

let before = null;

async function poll() {
  const wantsLatency = !live.latencyRefused && live.fields.redis_mode !== "sentinel";
  const [info, latency] = await Promise.all([api("info"), wantsLatency ? api("latency") : null]);
  const time = Date.now();
  live.user = failed(info.user) ? "" : info.user;
  live.refused = failed(info.info);
  if (live.refused) return;
  Object.assign(live, parseInfo(info.info));
  live.latencyRefused = latency && failed(latency.histogram);
  live.spikes = latency && Array.isArray(latency.spikes) ? latency.spikes : [];
  const now = { time, fields: live.fields, sums: latency && Array.isArray(latency.histogram) ? buckets(latency.histogram) : null };
  live.times.push(time);
  if (live.times.length > KEPT) live.times.shift();
  derive(now);
  before = now;
}

// Takes the next point of every line.
function derive(now) {
  const same = before && before.fields.run_id === now.fields.run_id;
  const seconds = same ? (now.time - before.time) / 1000 : 0;
  const rate = (name) => {
    const growth = parseFloat(now.fields[name]) - (same ? parseFloat(before.fields[name]) : NaN);
    return seconds > 0 && growth >= 0 ? growth / seconds : undefined;
  };
  push("ops", rate("total_commands_processed"));
  push("input", rate("total_net_input_bytes"));
  push("output", rate("total_net_output_bytes"));
  const hits = rate("keyspace_hits"), misses = rate("keyspace_misses");
  push("hits", hits);
  push("misses", misses);
  push("ratio", hits + misses > 0 ? hits / (hits + misses) : undefined);
  push("expired", rate("expired_keys"));
  push("evicted", rate("evicted_keys"));
  push("cpu", (rate("used_cpu_sys") + rate("used_cpu_user")) * 100);
  push("used", field("used_memory"));
  push("rss", field("used_memory_rss"));
  push("clients", field("connected_clients"));
  push("blocked", field("blocked_clients"));
  const shares = same && now.sums && before.sums ? percentiles(now.sums, before.sums, [0.5, 0.99, 0.999]) : [];
  ["p50", "p99", "p999"].forEach((name, at) => push(name, shares[at]));
  for (const command of live.commands) {
    const known = same && lastCalls.get(command.name);
    command.rate = seconds > 0 && known !== undefined && known !== false ? Math.max(0, command.calls - known) / seconds : undefined;
  }
  lastCalls = new Map(live.commands.map((command) => [command.name, +command.calls]));
}

let lastCalls = new Map();
const latest = (name) => { const list = live.data[name]; for (let at = list.length - 1; at >= 0; at -= 1) if (list[at] !== undefined) return list[at]; return undefined; };
