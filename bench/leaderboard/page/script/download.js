// The table as it is shown, as a file: CSV, JSON or LaTeX. Numbers have the digits that their intervals support.
function shown(v) {
  const keys = shownKeys(v), rows = all("tbody tr[data-r]", v.table).filter(tr => !tr.hidden);
  const lines = rows.map(tr => ({ place: tr.cells[0].textContent, method: v.data.rows[tr.dataset.r], cells: keys.map(key => split(cellOf(v, tr, key))) }));
  return { keys, lines };
}

// (1.2 ± 0.3)e-04 -> 1.2e-04 and 0.3e-04; 7.2–19 stays text
function split(td) {
  const text = td.textContent.replace(/[~†]/g, "").trim(), power = (/^\((.*)\)(e[+-]\d+)$/.exec(text) || [])[2] || "";
  const [mean, half = ""] = (power ? text.slice(1, text.lastIndexOf(")")) : text).split(/\s*±\s*/);
  const number = part => (part && part !== "–" ? part.replace(/,(?=\d{3})/g, "") + power : "");
  return { mean: number(mean), half: number(half), best: td.classList.contains("b"), text };
}

// a spreadsheet takes what begins so for a formula, unless it is a number
const quoted = value => {
  const safe = /^[=+\-@\t\r]/.test(value) && !/^[+-]?[\d.]+(e[+-]?\d+)?$/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

function csv(v) {
  const { keys, lines } = shown(v), heads = ["suite", "place", "method", ...keys.flatMap(key => [key, `${key} half width`])];
  const rows = lines.map(line => [v.section.id, line.place, line.method, ...line.cells.flatMap(cell => [cell.mean, cell.half])]);
  return [heads, ...rows].map(row => row.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function json(v) {
  const { keys, lines } = shown(v), numeric = text => (text !== "" && Number.isFinite(+text) ? +text : text || null);
  const rows = lines.map(line => ({ method: line.method, place: line.place, values: Object.fromEntries(keys.map((key, i) => [key, { mean: numeric(line.cells[i].mean), half_width: numeric(line.cells[i].half), first_tier: line.cells[i].best }])) }));
  return JSON.stringify({ suite: v.section.id, sorted_by: v.sort, columns: Object.fromEntries(keys.map(key => [key, columnOf(v, key).about])), rows }, null, 1) + "\n";
}

const SPECIAL = { "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "%": "\\%", "_": "\\_", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "↓": "$\\downarrow$", "↑": "$\\uparrow$", "→": "$\\rightarrow$", "‡": "$\\ddagger$", "†": "$\\dagger$", "±": "$\\pm$", "–": "--", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}" };
const latex = text => text.replace(/[\\{}$&#%_~^↓↑→‡†±–<>|]/g, found => SPECIAL[found]);

function tex(v) {
  const { keys, lines } = shown(v), line = cells => `${cells.join(" & ")} \\\\`;
  const rows = lines.map(row => line([latex(row.place), latex(row.method), ...row.cells.map(cell => (cell.best ? `\\textbf{${latex(cell.text)}}` : latex(cell.text)))]));
  return ["% needs \\usepackage{booktabs}", `\\begin{tabular}{ll${"r".repeat(keys.length)}}`, "\\toprule", line(["place", "method", ...keys.map(key => latex(title(v, key)))]), "\\midrule", ...rows, "\\bottomrule", "\\end{tabular}", ""].join("\n");
}

function save(v, kind) {
  const link = make("a"), text = { csv, json, tex }[kind](v);
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = `${v.section.id}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
