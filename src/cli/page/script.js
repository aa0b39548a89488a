"use strict";
// Names and other texts are inserted as text, never as HTML. Nothing is loaded: the page's Content-Security-Policy forbids it.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const make = (tag, text, of) => { const node = document.createElement(tag); if (text !== undefined) node.textContent = text; if (of) of.append(node); return node; };
const size = (bytes) => {
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  if (bytes < 1024) return bytes + (bytes === 1 ? " byte" : " bytes");
  let unit = -1;
  while (bytes >= 1024 && unit < 4) { bytes /= 1024; unit++; }
  return bytes.toFixed(1) + " " + units[unit];
};
const tensors = data.tensors.map(([name, dtype, shape, bytes, tied, file], order) => ({
  name, dtype: data.dtypes[dtype], shape: "[" + shape.join(", ") + "]", bytes, tied, file: data.files[file], order,
  text: (name + " " + data.dtypes[dtype] + " [" + shape.join(", ") + "] " + (tied || "") + " " + (data.files[file] || "")).toLowerCase(),
}));
const palette = ["#3e63dd", "#d6409f", "#30a46c", "#f76b15", "#8e4ec6", "#00a2c7", "#e5484d", "#ad7f58", "#978365", "#5b5bd6", "#46a758", "#e2a336"];
const color = new Map(data.dtypes.map((dtype, index) => [dtype, palette[index % palette.length]]));

// ---- totals, legend, and the lists below the table
at("totals").textContent = data.totals;
if (data.dangerous.length) {
  at("danger").hidden = false;
  at("danger").textContent = "The pickle imports " + data.dangerous.join(", ") + ", which can execute code when it is loaded.";
}
for (const dtype of data.dtypes) {
  const own = tensors.filter((tensor) => tensor.dtype === dtype && tensor.tied === null);
  const item = make("li", undefined, at("legend"));
  const swatch = make("span", undefined, item);
  swatch.className = "swatch";
  swatch.style.background = color.get(dtype);
  item.append(dtype + "  " + own.length.toLocaleString("en") + (own.length === 1 ? " tensor, " : " tensors, ") + size(own.reduce((sum, tensor) => sum + tensor.bytes, 0)));
}
const list = (title, pairs) => {
  if (!pairs.length) return;
  make("h2", title + " (" + pairs.length.toLocaleString("en") + ")", at("more"));
  const table = make("dl", undefined, at("more"));
  for (const [key, value] of pairs.slice(0, 1000)) { make("dt", key, table); make("dd", value, table); }
};
list("Dropped names", tensors.filter((tensor) => tensor.tied !== null).map((tensor) => [tensor.name, "tied to " + tensor.tied]));
list("Ignored", data.ignored);
list("Metadata", data.metadata);
list("Notes", data.notes.map((note) => [note, ""]));

// ---- the table: only the visible rows are elements of the page
const columns = [["name", "Name"], ["dtype", "Dtype"], ["shape", "Shape"], ["bytes", "Bytes"], ["tied", data.files.length > 1 ? "Tied to, shard" : "Tied to"]];
const HEIGHT = 26;
// Browsers limit the height of an element: the table ends at this many rows, and the search finds the others.
const MOST = 500000;
let sorted = "order", down = false, found = tensors, wanted = "";
for (const [key, title] of columns) {
  make("button", title, at("head")).onclick = () => {
    [sorted, down] = sorted === key ? [key, !down] : [key, key === "bytes"];
    arrange();
  };
}
const order = (a, b) => (typeof a === "number" ? a - b : (a || "").localeCompare(b || "", "en", { numeric: true }));
function arrange() {
  found = tensors.filter((tensor) => wanted.split(/\s+/).every((word) => tensor.text.includes(word)));
  found.sort((a, b) => (down ? -1 : 1) * order(a[sorted], b[sorted]) || a.order - b.order);
  columns.forEach(([key, title], index) => { at("head").children[index].textContent = title + (key === sorted ? (down ? " ▾" : " ▴") : ""); });
  at("count").textContent = found.length.toLocaleString("en") + " of " + tensors.length.toLocaleString("en");
  at("space").style.height = Math.min(found.length, MOST) * HEIGHT + "px";
  at("rows").scrollTop = 0;
  rows();
  draw();
}
function rows() {
  const from = Math.max(0, Math.floor(at("rows").scrollTop / HEIGHT) - 5);
  const shown = found.slice(from, Math.min(MOST, from + Math.ceil(at("rows").clientHeight / HEIGHT) + 10));
  at("space").replaceChildren(...shown.map((tensor, index) => {
    const row = make("div");
    row.className = "row";
    row.style.top = (from + index) * HEIGHT + "px";
    const last = [tensor.tied, data.files.length > 1 ? tensor.file : null].filter((text) => text !== null).join(" · ");
    for (const text of [tensor.name, tensor.dtype, tensor.shape, tensor.bytes.toLocaleString("en"), last]) make("span", text, row).title = text;
    return row;
  }));
}
at("rows").onscroll = rows;
at("search").oninput = (event) => { wanted = event.target.value.trim().toLowerCase(); arrange(); };

// ---- the map: a tree of the name parts, drawn as a treemap with a rectangle per tensor
const root = { name: "", bytes: 0, below: new Map() };
for (const tensor of tensors) {
  if (tensor.tied !== null) continue;
  let node = root;
  node.bytes += tensor.bytes;
  const parts = tensor.name.split(".");
  parts.forEach((part, depth) => {
    const key = depth === parts.length - 1 ? "\0" + part : part;
    if (!node.below.has(key)) node.below.set(key, { name: part, bytes: 0, below: new Map(), up: node });
    node = node.below.get(key);
    node.bytes += tensor.bytes;
  });
  node.tensor = tensor;
}
const single = (node) => (node.below.size === 1 && !node.tensor ? [...node.below.values()][0] : null);
let opened = root, drawn = [];
const canvas = at("map"), pen = canvas.getContext("2d");
function divide(nodes, x, y, width, height, put) {
  // This is the squarified layout: each row along the shorter side grows while its rectangles become more square.
  let rest = nodes.reduce((sum, node) => sum + node.bytes, 0), first = 0;
  while (first < nodes.length && rest > 0 && width > 0 && height > 0) {
    const short = Math.min(width, height), scale = (width * height) / rest;
    let sum = 0, last = first, worst = Infinity;
    while (last < nodes.length) {
      const more = sum + nodes[last].bytes, thick = (more * scale) / short;
      const ratio = Math.max(thick / ((nodes[last].bytes * scale) / thick), (nodes[first].bytes * scale) / thick / thick);
      if (ratio > worst) break;
      [sum, worst] = [more, ratio];
      last++;
    }
    const thick = (sum * scale) / short;
    let along = 0;
    for (const node of nodes.slice(first, last)) {
      const long = (node.bytes * scale) / thick;
      if (width >= height) put(node, x, y + along, thick, long); else put(node, x + along, y, long, thick);
      along += long;
    }
    if (width >= height) [x, width] = [x + thick, width - thick]; else [y, height] = [y + thick, height - thick];
    [rest, first] = [rest - sum, last];
  }
}
function draw() {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const style = getComputedStyle(document.body), ink = style.color, page = style.backgroundColor;
  const chosen = wanted ? new Set(found) : null;
  drawn = [];
  const put = (node, x, y, w, h, depth) => {
    if (w < 0.5 || h < 0.5) return;
    let title = node.name;
    for (let next = single(node); next && depth > 0; next = single(node)) [node, title] = [next, title + "." + next.name];
    drawn.push({ node, x, y, w, h });
    if (node.tensor) {
      pen.globalAlpha = chosen && !chosen.has(node.tensor) ? 0.15 : 1;
      pen.fillStyle = color.get(node.tensor.dtype);
      pen.fillRect(x, y, w > 4 ? w - 1 : w, h > 4 ? h - 1 : h);
      pen.globalAlpha = 1;
      if (w > 60 && h > 18) label(title, x + 5, y + h / 2, w - 10, "#fff");
      return;
    }
    const titled = depth > 0 && w > 70 && h > 40, edge = w > 24 && h > 24 ? 2 : 0, above = titled ? 18 : edge;
    if (titled) label(title, x + 5, y + 10, w - 10, ink);
    const below = [...node.below.values()].filter((one) => one.bytes > 0).sort((a, b) => b.bytes - a.bytes);
    divide(below, x + edge, y + above, w - 2 * edge, h - above - edge, (one, ...place) => put(one, ...place, depth + 1));
  };
  pen.fillStyle = page;
  pen.fillRect(0, 0, width, height);
  put(opened, 0, 0, width, height, 0);
}
function label(text, x, y, width, fill) {
  pen.fillStyle = fill;
  let shown = text;
  if (pen.measureText(shown).width > width) {
    const most = Math.floor(width / 7) - 1;
    if (most < 2) return;
    shown = [...text].slice(0, most).join("") + "…";
  }
  pen.fillText(shown, x, y);
}
const named = (node) => { const parts = []; for (let one = node; one.up; one = one.up) parts.unshift(one.name); return parts.join("."); };
function go(node) {
  for (let next = single(node); next && !next.tensor; next = single(node)) node = next;
  opened = node;
  const line = [];
  for (let one = node; one; one = one.up) line.unshift(one);
  at("path").replaceChildren(...line.map((one) => {
    const button = make("button", one.up ? one.name : "all");
    button.onclick = () => go(one);
    return button;
  }));
  at("about").textContent = size(node.bytes) + " of " + size(root.bytes);
  draw();
}
const hit = (event) => {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  return drawn.filter((one) => x >= one.x && x < one.x + one.w && y >= one.y && y < one.y + one.h).map((one) => one.node);
};
canvas.onmousemove = (event) => {
  const node = hit(event).pop();
  if (node) at("about").textContent = (named(node) || "all") + " · " + (node.tensor ? node.tensor.dtype + " " + node.tensor.shape + " · " : "") + size(node.bytes);
};
canvas.onclick = (event) => { const node = hit(event).find((one) => one !== opened); if (node && !node.tensor) go(node); };
canvas.onkeydown = (event) => {
  if (event.key !== "Escape") return;
  let up = opened.up;
  while (up && up.up && single(up)) up = up.up;
  go(up && !(single(up) && !up.up) ? up : root);
};
window.onresize = () => { draw(); rows(); };
window.matchMedia("(prefers-color-scheme: dark)").onchange = draw;
// A link can contain a search: page.html#attention
try { wanted = decodeURIComponent(location.hash.slice(1)).trim().toLowerCase(); } catch { wanted = ""; }
at("search").value = wanted;
arrange();
go(root);
