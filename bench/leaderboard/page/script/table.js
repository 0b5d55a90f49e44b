// The table: its columns, their order, groups of rows, and the filter. Cells of further columns are copies of those in the folded tables.
const headsOf = v => all("thead th", v.table);
const keysOf = v => headsOf(v).slice(2).map(th => th.dataset.c);
const shownKeys = v => headsOf(v).slice(2).filter(th => !th.hidden).map(th => th.dataset.c);
const cellOf = (v, tr, key) => tr.cells[keysOf(v).indexOf(key) + 2];

function columns(v) {
  const had = keysOf(v).filter(key => !v.data.heads.includes(key));
  had.filter(key => !v.cols.includes(key)).forEach(key => {
    const at = keysOf(v).indexOf(key) + 2;
    headsOf(v)[at].remove();
    v.rows.forEach(tr => tr.cells[at].remove());
  });
  v.cols.filter(key => !had.includes(key) && !v.data.heads.includes(key)).forEach(key => {
    const from = all(".group th[data-c]", v.section).find(th => th.dataset.c === key), at = from.cellIndex;
    const values = new Map(all("tbody tr", from.closest("table")).map(tr => [tr.dataset.r, tr.cells[at]]));
    one("thead tr", v.table).append(button(from.cloneNode(true)));
    v.rows.forEach(tr => tr.append(values.has(tr.dataset.r) ? values.get(tr.dataset.r).cloneNode(true) : make("td")));
  });
  keysOf(v).forEach((key, i) => {
    const hidden = v.less.includes(key);
    headsOf(v)[i + 2].hidden = hidden;
    v.rows.forEach(tr => { tr.cells[i + 2].hidden = hidden; });
  });
}

// a column's head that sorts by it
function button(th) {
  if (!one("button", th)) {
    const inside = make("button");
    inside.type = "button";
    inside.append(...th.childNodes);
    th.append(inside);
  }
  return th;
}

function order(v) {
  if (!v.first) return;
  const { order: ranked, tiers } = columnOf(v, v.sort), last = tiers.at(-1), at = new Map(ranked.map((row, i) => [row, i]));
  const tierOf = row => at.has(row) && at.get(row) < last ? tiers.findIndex(start => start > at.get(row)) : 0;
  const rank = tr => at.get(+tr.dataset.r) ?? Infinity;
  const down = (a, b) => rank(a) === Infinity || rank(b) === Infinity ? 0 : rank(b) - rank(a);
  const sorted = [...v.rows].sort((a, b) => (rank(a) === Infinity) - (rank(b) === Infinity) || (v.down ? down(a, b) : rank(a) - rank(b)) || 0);
  headsOf(v).forEach(th => th.removeAttribute("aria-sort"));
  const head = headsOf(v).find(th => th.dataset.c === v.sort), up = head && head.textContent.includes("↑");
  if (head) head.setAttribute("aria-sort", Boolean(up) !== v.down ? "descending" : "ascending");
  const groups = grouped(v, sorted), body = one("tbody", v.table);
  all(".band-head", body).forEach(tr => tr.remove());
  for (const [name, rows] of groups) {
    if (name !== null) body.append(band(v, name, rows));
    let before = null;
    rows.forEach(tr => {
      const tier = tierOf(+tr.dataset.r);
      body.append(tr);
      tr.classList.toggle("cut", before !== null && before !== tier);
      tr.cells[0].textContent = v.sort === v.first ? v.original.get(tr) : place(v, v.sort, +tr.dataset.r) || "–";
      before = tier;
    });
  }
}

const grouped = (v, rows) => {
  if (!v.by) return new Map([[null, rows]]);
  const found = new Map();
  rows.forEach(tr => { const name = groupOf(v, +tr.dataset.r); found.set(name, [...(found.get(name) || []), tr]); });
  return found;
};
const groupOf = (v, row) => v.by === "tier" ? (place(v, v.sort, row) ? `places ${place(v, v.sort, row)}` : "not ranked") : texts[v.data.cards[row].recipe[v.by]] ?? "not run";

function band(v, name, rows) {
  const tr = make("tr", undefined, "band-head"), th = make("th", `${v.by}: ${name} `);
  th.colSpan = headsOf(v).length;
  th.scope = "rowgroup";
  tr.append(th);
  tr.rowsUnder = rows;
  return tr;
}

function filter(v) {
  const words = v.q.toLowerCase().split(/\s+/).filter(Boolean), gone = new Set();
  v.rows.forEach(tr => {
    const card = v.data.cards[tr.dataset.r], text = [v.data.rows[tr.dataset.r], ...Object.values(card.recipe).map(i => texts[i]), texts[card.status]].join(" ").toLowerCase();
    tr.hidden = !words.every(word => text.includes(word));
    if (tr.hidden) gone.add(tr.dataset.r);
  });
  all(".band-head", v.table).forEach(tr => { tr.hidden = tr.rowsUnder.every(row => row.hidden); });
  all(".pt", v.section).forEach(point => point.classList.toggle("gone", gone.has(point.dataset.r)));
  one(".count", v.section).textContent = gone.size ? `${v.rows.length - gone.size} of ${v.rows.length} rows` : `${v.rows.length} rows`;
}

function mark(v) {
  all("td.here", v.table).forEach(td => td.classList.remove("here"));
  const tr = v.rows.find(row => v.data.rows[row.dataset.r] === v.row), cell = tr && v.col && cellOf(v, tr, v.col);
  if (cell) { cell.classList.add("here"); cell.scrollIntoView({ block: "nearest", inline: "nearest" }); }
}

function draw(v) {
  if (!v.table) return;
  columns(v);
  order(v);
  filter(v);
  one("input[type=search]", v.section).value = v.q;
  one("select", v.section).value = v.by;
  all(".columns input", v.section).forEach(box => { box.checked = v.data.heads.includes(box.value) ? !v.less.includes(box.value) : v.cols.includes(box.value); });
  mark(v);
}

// what needs the script is made by it: buttons, links to cards, boxes to tick, the choice of columns and groups
function furnish(v) {
  const keys = Object.keys(v.data.columns);  // in the order in which the tables have them
  all("thead th", v.section).filter(th => th.cellIndex > (th.closest(".main") ? 1 : 0)).forEach((th, i) => { th.dataset.c = keys[i]; });
  all(".group tbody tr", v.section).forEach(tr => { tr.dataset.r = v.number(tr.cells[0].textContent.trim()); });
  if (!v.table) return;
  headsOf(v).slice(2).forEach(button);
  all("th[data-c]", v.section).forEach(th => { th.title = columnOf(v, th.dataset.c).about; });
  v.rows.forEach(tr => {
    const name = v.data.rows[tr.dataset.r], link = make("a", tr.cells[1].textContent.trim()), box = make("input", undefined, "pick");
    link.href = v.address({ row: name });
    box.type = "checkbox";
    box.setAttribute("aria-label", `compare ${name}`);
    tr.cells[1].replaceChildren(box, link);
  });
  const pop = one(".columns .pop", v.section), choice = (key, words) => {
    const label = make("label"), box = make("input");
    Object.assign(box, { type: "checkbox", value: key });
    label.append(box, ` ${words}`);
    pop.append(label);
  };
  pop.append(make("b", "First screen"));
  v.data.heads.slice(1).forEach(key => choice(key, title(v, key)));
  all(".group", v.section).forEach(group => {
    pop.append(make("b", one("summary", group).textContent.replace(/:.*/, "")));
    all("th[data-c]", group).forEach(th => choice(th.dataset.c, th.textContent));
  });
  const parts = new Set(v.data.cards.flatMap(card => Object.keys(card.recipe)));
  [["tier", "tier"], ...[...parts].filter(part => new Set(v.data.cards.map(card => card.recipe[part])).size > 1).map(part => [part, part])]
    .forEach(([value, words]) => { const option = make("option", words); option.value = value; one("select", v.section).append(option); });
}
