// What the reader does.
function show(section) {
  current = section;
  sections.forEach(part => { part.hidden = part !== section; });
  all("nav a").forEach(a => { if (a.hash === `#${section.id}`) { a.setAttribute("aria-current", "page"); a.scrollIntoView({ block: "nearest", inline: "nearest" }); } else a.removeAttribute("aria-current"); });
  picked();
}

function follow() {
  let [id, query = ""] = location.hash.slice(1).split("?");
  try { id = decodeURIComponent(id); } catch { id = ""; }
  show(sections.find(section => section.id === id) || sections[0]);
  if (!view()) return;
  view().read(query);
  draw(view());
  dialogOf(view());
}

function picked() {
  const v = view(), names = v ? all(".pick:checked", v.section).map(box => v.data.rows[box.closest("tr").dataset.r]) : [];
  tray.hidden = !names.length;
  one("span", tray).textContent = names.length === 1 ? `${names[0]}: tick another row` : names.join(" and ");
  one(".go", tray).disabled = names.length !== 2;
  if (v) all(".pick:not(:checked)", v.section).forEach(box => { box.disabled = names.length === 2; });
  return names;
}

function changed(change) { Object.assign(view(), change); view().remember(); draw(view()); }
function opened(row, col = "", beside = "") { Object.assign(view(), { row, col, beside }); view().remember(); mark(view()); dialogOf(view()); }

document.addEventListener("click", event => {
  const target = event.target, v = view(), head = target.closest(".main th[data-c]"), point = target.closest(".pt"), tr = target.closest(".main tbody tr[data-r]");
  if (target === dialog || target.closest(".close")) dialog.close();
  else if (target.closest("#_tray .go")) opened(...(([a, b]) => [a, "", b])(picked()));
  else if (target.closest("#_tray .clear")) { all(".pick:checked").forEach(box => { box.checked = false; }); picked(); }
  else if (!v) return;
  else if (target.dataset.save) save(v, target.dataset.save);
  else if (head) changed({ down: v.sort === head.dataset.c && !v.down, sort: head.dataset.c });
  else if (point) opened(v.data.rows[point.dataset.r]);
  else if (tr && !target.closest("input") && !(target.closest("a") && (event.ctrlKey || event.metaKey)) && !getSelection().toString()) {
    event.preventDefault();
    const td = target.closest("td"), at = td ? td.cellIndex - 2 : -1;
    opened(v.data.rows[tr.dataset.r], at >= 0 ? keysOf(v)[at] : "");
  }
  if (!target.closest(".menu")) all(".menu[open]").forEach(menu => { menu.open = false; });
});
document.addEventListener("input", event => {
  const box = event.target, v = view();
  if (box.matches("input[type=search]")) { v.q = box.value.trim(); v.remember(); filter(v); }
  else if (box.matches(".bar select")) changed({ by: box.value });
  else if (box.matches(".pick")) picked();
  else if (box.matches(".columns input")) {
    const list = v.data.heads.includes(box.value) ? "less" : "cols";
    changed({ [list]: (list === "cols") === box.checked ? [...v[list], box.value] : v[list].filter(key => key !== box.value) });
  }
});
document.addEventListener("keydown", event => {
  if (event.key === "/" && !event.target.matches("input,select") && !dialog.open && one("input[type=search]", current)) { event.preventDefault(); one("input[type=search]", current).focus(); }
});
dialog.addEventListener("close", () => { const v = view(); if (v && v.row) { Object.assign(v, { row: "", col: "", beside: "" }); v.remember(); mark(v); } });
["mouseover", "focusin"].forEach(kind => document.addEventListener(kind, event => {
  const found = event.target.closest?.(".suite [data-r]"), row = found && found.dataset.r, v = view();
  all(".hot").forEach(part => part.classList.remove("hot"));
  if (!row || !v) return;
  all(`[data-r="${CSS.escape(row)}"]`, current).forEach(part => part.classList.add("hot"));
  const point = one(`.lead .tab .pt[data-r="${CSS.escape(row)}"]`, current), tip = one(".tip", current);
  if (tip) tip.textContent = [v.data.rows[row], ...v.data.heads.slice(0, 2).map(key => `${title(v, key)} ${textOf(v, +row, key)}`), ...(point ? [`on the first front ${point.dataset.p}`] : [])].join(", ");
}));
addEventListener("hashchange", follow);

document.documentElement.classList.add("on");
views.forEach(furnish);
views.forEach(v => all(".steps .body", v.section).forEach(body => steps(v, body)));
if (sections.length) follow();
