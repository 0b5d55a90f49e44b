// What the page holds, and what of it is shown: the address has all of that, so that a copied one shows the same.
const all = (what, where = document) => [...where.querySelectorAll(what)];
const one = (what, where = document) => where.querySelector(what);
const make = (tag, text, cls) => { const made = document.createElement(tag); if (text !== undefined) made.textContent = text; if (cls) made.className = cls; return made; };
const { suites: data, texts } = JSON.parse(one("#_data").textContent);
const sections = all(".suite"), dialog = one("#_dialog"), tray = one("#_tray");
let current = sections[0];

// a suite's part of the page, what it holds, and what is chosen: sort, down, q, by, cols (more columns), less (fewer), row, col, beside
class View {
  constructor(section) {
    this.section = section;
    this.data = data[section.id];
    this.table = one(".main", section);
    this.first = this.data.heads[0] || "";
    this.rows = this.table ? all("tbody tr", this.table) : [];
    this.original = new Map(this.rows.map(tr => [tr, tr.cells[0].textContent]));
    this.clear();
  }
  clear() { Object.assign(this, { sort: this.first, down: false, q: "", by: "", cols: [], less: [], row: "", col: "", beside: "" }); }
  read(query) {
    this.clear();
    const asked = new URLSearchParams(query), known = list => list.split(",").filter(key => key in this.data.columns);
    const sort = asked.get("sort") || "", key = sort.replace(/^-/, "");
    if (key in this.data.columns) { this.sort = key; this.down = sort[0] === "-"; }
    this.q = asked.get("q") || "";
    this.by = asked.get("by") || "";
    this.cols = known(asked.get("cols") || "");
    this.less = known(asked.get("less") || "");
    this.row = asked.get("row") || "";
    this.col = asked.get("col") || "";
    this.beside = asked.get("beside") || "";
  }
  address(more = {}) {
    const said = { sort: this.sort === this.first && !this.down ? "" : (this.down ? "-" : "") + this.sort, q: this.q, by: this.by, cols: this.cols.join(","), less: this.less.join(","), row: this.row, col: this.col, beside: this.beside, ...more };
    const query = new URLSearchParams(Object.entries(said).filter(([, value]) => value)).toString();
    return `#${encodeURIComponent(this.section.id)}${query ? "?" + query : ""}`;
  }
  remember() { history.replaceState(null, "", this.address()); }
  number(name) { return this.data.rows.indexOf(name); }
}

const views = new Map(sections.filter(section => section.id in data).map(section => [section, new View(section)]));
const view = () => views.get(current);
const columnOf = (v, key) => { const [described, order, tiers] = v.data.columns[key], [name, ...about] = texts[described].split("\n"); return { name, about: about.join(" "), order, tiers }; };
const title = (v, key) => columnOf(v, key).name;

// the ranks that a row's tier fills by a column; "" where it has none
function place(v, key, row) {
  const { order, tiers } = columnOf(v, key), at = order.indexOf(row), ranked = tiers.at(-1);
  if (at < 0 || at >= ranked) return "";
  const next = tiers.findIndex(start => start > at), from = tiers[next - 1] + 1, to = tiers[next];
  return from === to ? `${from}` : `${from}–${to}`;
}

// whether the seeds show one of two rows to be better by a column of the first screen: the better one's number, -1 if neither, null if not tested
function better(v, key, a, b) {
  const { order, tiers } = columnOf(v, key), n = tiers.at(-1), bits = v.data.pairs[key];
  let [i, j] = [order.indexOf(a), order.indexOf(b)];
  if (!bits || i < 0 || j < 0 || i >= n || j >= n || i === j) return null;
  if (i > j) [i, j] = [j, i];
  const bit = i * n - i * (i + 1) / 2 + (j - i - 1);
  return atob(bits).charCodeAt(bit >> 3) >> (7 - (bit & 7)) & 1 ? order[i] : -1;
}
