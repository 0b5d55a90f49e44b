// A row's card, and two rows side by side.
const list = pairs => { const dl = make("dl"); pairs.forEach(([name, value]) => dl.append(make("dt", name), make("dd", value))); return dl; };
const short = value => Number(value.toPrecision(4)).toString();
const textOf = (v, row, key) => {
  const tr = v.rows.find(found => +found.dataset.r === row), shown = tr && v.data.heads.includes(key) && cellOf(v, tr, key);
  if (shown) return shown.textContent.trim();
  const head = all(".group th[data-c]", v.section).find(th => th.dataset.c === key), line = head && all("tbody tr", head.closest("table")).find(found => +found.dataset.r === row);
  return line ? line.cells[head.cellIndex].textContent.trim() || "–" : "–";
};

function table(heads, lines) {
  const made = make("table", undefined, "mini"), head = make("thead"), line = make("tr"), body = make("tbody");
  heads.forEach(text => { const th = make("th", text); th.scope = "col"; line.append(th); });
  head.append(line);
  lines.forEach(cells => {
    const tr = make("tr");
    cells.forEach((cell, i) => { const made = cell instanceof Node ? cell : make(i ? "td" : "th", cell); if (!i) made.scope = "row"; tr.append(made); });
    body.append(tr);
  });
  made.append(head, body);
  return made;
}

function ago(time) {
  const days = Math.floor((Date.now() - Date.parse(time)) / 864e5);
  return Number.isNaN(days) ? "" : days < 1 ? "today" : days === 1 ? "1 day ago" : `${days} days ago`;
}

const factsOf = c => [...Object.entries(c.recipe).map(([part, i]) => [part, texts[i]]).filter(([, words]) => words !== "none"), ...c.facts.map(([name, value]) => [texts[name], texts[value]])];

function card(v, row) {
  const c = v.data.cards[row], name = v.data.rows[row], parts = [make("h3", name), make("p", texts[c.status] + (texts[c.why] ? `; ${texts[c.why]}` : ""), "soft")];
  parts[0].id = "_dialog-title";
  c.runs.filter(run => texts[run[1]] !== "done").forEach(([seed, status, error]) => parts.push(make("p", `seed ${seed} ${texts[status]}: ${texts[error] || "no message"}`, "bad")));
  const keys = [...v.data.heads, ...v.cols.filter(key => !v.data.heads.includes(key))];
  if (v.col in v.data.columns && !keys.includes(v.col)) keys.push(v.col);
  const lines = keys.map(key => {
    const link = make("a", title(v, key)), th = make("th"), i = v.data.heads.indexOf(key);
    link.href = v.address({ row: name, col: key, beside: "" });
    link.title = columnOf(v, key).about;
    th.append(link);
    if (key === v.col) th.className = "here";
    return [th, textOf(v, row, key), place(v, key, row) || "–", i < 0 ? "" : c.values[i].map(short).join(", ")];
  });
  if (lines.length) parts.push(table(["metric", "mean ± 95 %", "place", "seed by seed"], lines));
  if (c.strip) {
    const img = make("img", undefined, "strip");
    img.src = c.strip;
    img.alt = `${name}: held-out images, their reconstructions, samples`;
    parts.push(make("h4", "Held-out images, their reconstructions, and samples, of one seed"), img);
  }
  parts.push(make("h4", "Exact command"), make("pre", [`python -m bench run ${v.data.command} --methods ${texts[c.command]}`, texts[c.folder] && `python -m bench verify ${texts[c.folder]}`].filter(Boolean).join("\n"), "cmd"));
  parts.push(make("h4", "Configuration"), list(factsOf(c)));
  if (c.profile) parts.push(...hotSpots(c.profile));
  parts.push(make("h4", "Runs and provenance"));
  parts.push(table(["seed", "status", "run key", "finished", "weights (SHA-256)"], c.runs.map(([seed, status, , key, time, weights]) => [`${seed}`, texts[status], key || "–", time ? `${time}, ${ago(time)}` : "–", weights || "–"])));
  parts.push(list([...c.hashes.map(([a, b]) => [`${texts[a]} (SHA-256)`, texts[b]]), ...[...new Set(c.runs.map(run => texts[run[6]]))].map(where => ["machine", where])]));
  if (c.absent.length) {
    const more = make("details"), ul = make("ul");
    c.absent.forEach(i => ul.append(make("li", texts[i])));
    more.append(make("summary", "Metrics without a value, and why"), ul);
    parts.push(more);
  }
  return parts;
}

// a bar of a step's phases, as long as the share of the longest
function phases(profile, share) {
  const NS = "http://www.w3.org/2000/svg", svg = document.createElementNS(NS, "svg");
  svg.setAttribute("class", "phases");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.style.width = `${100 * share}%`;
  let x = 0;
  profile.phases.forEach(([name, width], i) => {
    const rect = document.createElementNS(NS, "rect"), words = document.createElementNS(NS, "title");
    Object.entries({ x: x, y: 0, width: width, height: 10, opacity: 1 - 0.17 * i }).forEach(([key, value]) => rect.setAttribute(key, value));
    words.textContent = `${texts[name]} ${Math.round(width)} %`;
    rect.append(words);
    svg.append(rect);
    x += width;
  });
  return svg;
}

// every profiled row's bar on one scale, the fastest step first, so that a row is seen beside its neighbours
function steps(v, body) {
  const rows = v.data.cards.map((c, row) => [c.profile, row]).filter(([profile]) => profile).sort(([a], [b]) => a.step - b.step), longest = rows.at(-1)[0].step;
  const lines = rows.map(([profile, row]) => {
    const a = make("a", v.data.rows[row]), th = make("th"), td = make("td");
    a.href = v.address({ row: v.data.rows[row], col: "", beside: "" });
    th.append(a);
    td.append(phases(profile, profile.step / longest));
    return [th, `${profile.step}`, td];
  });
  const names = rows[0][0].phases.map(([name]) => texts[name]);
  const made = table(["method", "ms a step", names.map((name, i) => `${i + 1}. ${name}`).join(", ") + ": dark to light"], lines);
  made.classList.add("timed");
  body.replaceChildren(make("p", `Profiled steps of training, ${[...new Set(rows.map(([profile]) => texts[profile.where]))].join("; ")}. Bars as long as a step takes.`, "soft"), made);
}

function hotSpots(profile) {
  const percent = share => `${Math.round(share)} %`;
  return [make("h4", `Hot spots: ${profile.step} ms a step`), phases(profile, 1), list([["phases", profile.phases.map(([name, share]) => `${texts[name]} ${percent(share)}`).join(", ")], ["kernels", profile.kernels.map(([name, share, calls]) => `${texts[name]} ${percent(share)} (${calls} calls)`).join(", ")], ["measured on", texts[profile.where]]])];
}

function sideBySide(v, a, b) {
  const [x, y] = [a, b].map(row => v.data.cards[row]), names = [a, b].map(row => v.data.rows[row]), head = make("h3", names.join(" and "));
  head.id = "_dialog-title";
  const keys = [...new Set([...v.data.heads, ...v.cols])];
  const values = keys.map(key => {
    const won = better(v, key, a, b), cells = [a, b].map(row => make("td", textOf(v, row, key), won === row ? "better" : ""));
    return [title(v, key), ...cells, make("td", won === null ? "not tested" : won < 0 ? "not separated" : "separated", "soft")];
  });
  const terms = c => Object.fromEntries([...factsOf(c), ...c.hashes.map(([name, value]) => [texts[name], texts[value]])]), [u, w] = [terms(x), terms(y)];
  const unlike = Object.keys({ ...u, ...w }).filter(key => u[key] !== w[key]).map(key => [key, u[key] || "–", w[key] || "–", ""]);
  return [head, make("p", "✓: the seeds show this row to be better, by paired t tests of all pairs of the column at 5 % false discoveries. Below: every setting in which the two differ.", "soft"), table(["", ...names, ""], [...values, ...unlike])];
}

// the dialog that the address asks for
function dialogOf(v) {
  const a = v.number(v.row), b = v.number(v.beside);
  if (a < 0) { if (dialog.open) dialog.close(); return; }
  one(".body", dialog).replaceChildren(...(b < 0 ? card(v, a) : sideBySide(v, a, b)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  one("h3", dialog).tabIndex = -1;
  one("h3", dialog).focus();
}
