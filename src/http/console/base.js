"use strict";
// Elements are made of text nodes only: nothing that comes from the server is ever markup.

const $ = (id) => document.getElementById(id);

function h(tag, props, ...kids) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "class") el.className = value;
    else if (name === "value") el.value = value;
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false));
  return el;
}

function svg(tag, props, ...kids) {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props || {})) el.setAttribute(name, value);
  el.append(...kids.flat(Infinity));
  return el;
}

const fill = (el, ...kids) => el.replaceChildren(...kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false));

// ---- numbers for people ----

function compact(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return "–";
  const abs = Math.abs(n);
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (abs >= size * 0.9995) return trim(n / size) + unit;
  }
  return abs > 0 && abs < 10 && !Number.isInteger(n) ? n.toFixed(1) : String(Math.round(n));
}
const trim = (x) => (Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2)).replace(/\.0+$/, "");
const whole = (n) => (Number.isFinite(n) ? Math.round(n).toLocaleString("en-US") : "–");

function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (Math.abs(n) >= 1023.5 && at < units.length - 1) { n /= 1024; at += 1; }
  return (at === 0 ? String(Math.round(n)) : trim(n)) + " " + units[at];
}

function micros(us) {
  if (!Number.isFinite(us)) return "–";
  if (us >= 999500) return trim(us / 1e6) + " s";
  if (us >= 999.5) return trim(us / 1e3) + " ms";
  return (us < 10 ? trim(us) : Math.round(us)) + " µs";
}

function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

function ttl(ms) {
  if (typeof ms !== "number") return "–";
  if (ms < 0) return "none";
  return ms < 10000 ? (ms / 1000).toFixed(1) + " s" : span(ms / 1000);
}

const percent = (x) => (Number.isFinite(x) ? (x >= 0.9995 || x === 0 ? Math.round(x * 100) : (x * 100).toFixed(1)) + " %" : "–");
function clock(unix) {
  const at = new Date(unix * 1000), two = (n) => String(n).padStart(2, "0");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return at.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

// ---- texts of strangers ----

// Characters that would hide, or move, or join others.
const ODD = /([\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff])/u;

function escaped(c) {
  const names = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const code = c.codePointAt(0);
  return names[c] || (code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0"));
}

const esc = (text) => h("span", { class: "esc" }, text);

// A value of the API as nodes. With `lines`, line ends and tabs stay what they are.
function show(value, lines) {
  const out = document.createDocumentFragment();
  if (value === null || value === undefined) { out.append(h("span", { class: "cut" }, "nil")); return out; }
  if (typeof value === "object" && "error" in value) { out.append(h("span", { class: "cut" }, readable(value.error))); return out; }
  if (typeof value === "object" && "hex" in value) showHex(out, value.hex);
  else {
    const text = typeof value === "object" ? value.text : String(value);
    for (const part of text.split(ODD)) {
      if (part === "") continue;
      if (!ODD.test(part) || (lines && (part === "\n" || part === "\t"))) out.append(part);
      else out.append(esc(escaped(part)));
    }
    if (text === "") out.append(h("span", { class: "cut" }, "(empty)"));
  }
  const shown = typeof value !== "object" ? undefined : "hex" in value ? value.hex.length / 2 : new TextEncoder().encode(value.text).length;
  if (shown !== undefined && value.len > shown) out.append(h("span", { class: "cut" }, ` … ${bytes(value.len)} in all`));
  return out;
}

function showHex(out, hex) {
  let text = "", raw = "";
  const flush = () => {
    if (text) out.append(text);
    if (raw) out.append(esc(raw));
    text = raw = "";
  };
  for (let at = 0; at < hex.length; at += 2) {
    const byte = parseInt(hex.slice(at, at + 2), 16);
    if (byte >= 0x20 && byte < 0x7f) { if (raw) flush(); text += String.fromCharCode(byte); }
    else { if (text) flush(); raw += "\\x" + hex.slice(at, at + 2); }
  }
  flush();
}

// The bytes of a text for a URL. Nothing if they are not known whole.
function param(value) {
  if (typeof value === "string") return encodeURIComponent(value);
  if (value && "hex" in value && value.hex.length / 2 === value.len) return value.hex.replace(/../g, "%$&");
  return null;
}

const readable = (error) => error.replace(/^(ERR|TOOLARGE|TOOMANY) /, "");
const failed = (answer) => (answer && typeof answer === "object" && typeof answer.error === "string" ? answer.error : null);
const note = (text) => h("div", { class: "empty" }, text);

// ---- the server ----

class Refused extends Error {}

async function api(path) {
  // Not a relative URL: the page's own may hold a name and a password.
  const response = await fetch(location.origin + "/api/" + path, { cache: "no-store" });
  if (response.ok) return response.json();
  throw new Refused((await response.text()).trim() || "HTTP " + response.status);
}

function banner(text) {
  $("banner").hidden = !text;
  $("banner").textContent = text || "";
}
