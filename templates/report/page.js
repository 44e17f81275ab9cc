// The page of a report: a table that shows only the rows in sight, filters, sorting, CSV, and the charts.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const columns = data.columns;
  const size = data.rows;
  const ROW_PX = 28, SPARE = 12, PRINTED = 1000;
  const value = (column, row) => (column.words ? column.words[column.cells[row]] : column.cells[row]);
  const frame = document.getElementById("rows");
  const head = frame.querySelector("thead"), body = frame.querySelector("tbody");
  const shown = columns.filter((column) => column.title);
  let order = Array.from({ length: size }, (_, row) => row);
  let sort = { key: data.sort || null, down: false };
  const wishes = new Map();

  const digits = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
  const written = (column, row) => {
    const cell = value(column, row);
    if (cell === null || cell === undefined) return "";
    if (typeof cell === "boolean") return cell ? "yes" : "no";
    return typeof cell === "number" ? digits.format(cell) : String(cell);
  };

  // ---- table

  const headRow = document.createElement("tr");
  for (const column of shown) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = column.number ? "number" : "";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.title;
    button.addEventListener("click", () => {
      sort = { key: column.key, down: sort.key === column.key && !sort.down };
      arrange();
    });
    cell.append(button);
    headRow.append(cell);
    column.head = cell;
  }
  head.append(headRow);

  const compare = (column, down) => {
    const cells = column.cells, words = column.words;
    let ranks = null;
    if (words) {
      const sorted = words.map((word, at) => at).sort((a, b) => String(words[a]).localeCompare(String(words[b]), "en"));
      ranks = [];
      sorted.forEach((at, rank) => (ranks[at] = words[at] === null || words[at] === "" ? null : rank));
    }
    const rank = (row) => (ranks ? ranks[cells[row]] : cells[row]);
    return (a, b) => {
      const x = rank(a), y = rank(b);
      if (x === null || x === undefined) return y === null || y === undefined ? a - b : 1;
      if (y === null || y === undefined) return -1;
      return (down ? y - x : x - y) || a - b;
    };
  };

  const byKey = new Map(columns.map((column) => [column.key, column]));
  const arrange = () => {
    const tests = [...wishes.values()];
    order = [];
    for (let row = 0; row < size; row++) if (tests.every((test) => test(row))) order.push(row);
    const column = byKey.get(sort.key);
    if (column) order.sort(compare(column, sort.down));
    for (const one of shown) {
      one.head.setAttribute("aria-sort", one.key === sort.key ? (sort.down ? "descending" : "ascending") : "none");
    }
    const all = size === order.length ? "" : ` of ${size.toLocaleString("en-US")}`;
    document.getElementById("count").textContent = `${order.length.toLocaleString("en-US")}${all} rows`;
    frame.querySelector("table").setAttribute("aria-rowcount", order.length + 1);
    drawn = "";
    draw();
  };

  let drawn = "", printing = false;
  const spacer = (rows) => {
    const line = document.createElement("tr");
    line.className = "space";
    line.setAttribute("aria-hidden", "true");
    const cell = document.createElement("td");
    cell.colSpan = shown.length;
    cell.style.height = `${rows * ROW_PX}px`;
    line.append(cell);
    return line;
  };
  const draw = () => {
    const first = printing ? 0 : Math.max(0, Math.min(order.length, Math.floor(frame.scrollTop / ROW_PX) - SPARE));
    const count = printing ? PRINTED : Math.ceil(frame.clientHeight / ROW_PX) + 2 * SPARE;
    const last = Math.min(order.length, first + count);
    const now = `${first} ${last}`;
    if (now === drawn) return;
    drawn = now;
    const lines = document.createDocumentFragment();
    if (first) lines.append(spacer(first));
    for (let at = first; at < last; at++) lines.append(line(order[at], at));
    if (last < order.length && !printing) lines.append(spacer(order.length - last));
    body.replaceChildren(lines);
  };
  const line = (row, at) => {
    const made = document.createElement("tr");
    made.setAttribute("aria-rowindex", at + 2);
    for (const column of shown) {
      const cell = document.createElement("td");
      cell.className = column.number ? "number" : "";
      cell.textContent = written(column, row);
      const told = column.told ? column.told.map((key) => [byKey.get(key), row]).filter(([one]) => one) : [];
      const words = told.map(([one]) => [one.name, written(one, row)]).filter(([, word]) => word);
      cell.title = words.length ? words.map(([name, word]) => `${name}: ${word}`).join("\n") : cell.textContent;
      made.append(cell);
    }
    return made;
  };
  frame.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  window.addEventListener("resize", () => requestAnimationFrame(draw));
  window.addEventListener("beforeprint", () => { printing = true; drawn = ""; draw(); });
  window.addEventListener("afterprint", () => { printing = false; drawn = ""; draw(); });

  // ---- filters

  const filters = document.getElementById("filters");
  filters.addEventListener("submit", (event) => event.preventDefault());
  const labelled = (words, control) => {
    const label = document.createElement("label");
    const text = document.createElement("span");
    text.textContent = words;
    label.append(text, control);
    filters.append(label);
    return control;
  };
  for (const filter of data.filters) {
    const column = byKey.get(filter.key);
    if (!column) continue;
    if (filter.kind === "choice") {
      const select = document.createElement("select");
      select.name = filter.key;
      const words = [...new Set(column.cells.map((cell) => (column.words ? column.words[cell] : String(cell))))];
      select.append(new Option("all", "\u0000"));
      for (const word of words.filter((word) => word !== null && word !== "").sort()) select.append(new Option(word, word));
      labelled(filter.title, select).addEventListener("change", () => {
        const wanted = select.value;
        wishes.delete(filter.key + filter.kind);
        if (wanted !== "\u0000") wishes.set(filter.key + filter.kind, (row) => String(value(column, row)) === wanted);
        frame.scrollTop = 0;
        arrange();
      });
    } else {
      const input = document.createElement("input");
      input.type = "number";
      input.name = `${filter.key}-${filter.kind}`;
      input.min = "0";
      input.step = "any";
      labelled(filter.title, input).addEventListener("input", () => {
        const bound = parseFloat(input.value);
        wishes.delete(filter.key + filter.kind);
        if (!Number.isNaN(bound)) {
          const good = filter.kind === "least" ? (cell) => cell >= bound : (cell) => cell <= bound;
          wishes.set(filter.key + filter.kind, (row) => value(column, row) !== null && good(value(column, row)));
        }
        frame.scrollTop = 0;
        arrange();
      });
    }
  }
  document.getElementById("reset").addEventListener("click", () => {
    filters.reset();
    wishes.clear();
    arrange();
  });

  // ---- CSV: the rows that pass the filters, in their order, exact figures

  const quoted = (text) => {
    // A spreadsheet must not take a cell for a formula.
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = () => {
    const exact = (column, row) => {
      const cell = value(column, row);
      return cell === null || cell === undefined ? "" : quoted(String(cell));
    };
    const lines = [columns.map((column) => column.key).join(",")];
    for (const row of order) lines.push(columns.map((column) => exact(column, row)).join(","));
    return `${lines.join("\r\n")}\r\n`;
  };
  window.gpucloudCsv = csv;
  document.getElementById("copy").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    let done = true;
    try {
      await navigator.clipboard.writeText(csv());
    } catch {
      const area = document.createElement("textarea");
      area.value = csv();
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = done ? "Copied" : "Copying is not allowed here";
    setTimeout(() => (button.textContent = "Copy as CSV"), 2000);
  });

  arrange();

  // ---- charts

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const place = document.getElementById("charts");
  const draws = data.charts.map((chart) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = chart.title;
    if (chart.said) {
      const said = document.createElement("p");
      said.className = "said";
      said.textContent = chart.said;
      caption.append(said);
    }
    const inside = document.createElement("div");
    inside.className = "chart";
    figure.append(caption, inside);
    place.append(figure);
    return async () => {
      const ink = dark.matches ? "#e6edf3" : "#1b1f24", line = dark.matches ? "#3d444d" : "#c9d1d9";
      const config = {
        background: "transparent", font: "system-ui, sans-serif",
        axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line },
        legend: { labelColor: ink, titleColor: ink }, title: { color: ink }, view: { stroke: line }, text: { color: ink },
      };
      const made = await vegaEmbed(inside, { ...chart.spec, description: chart.title }, {
        actions: false, renderer: "svg", config, tooltip: true, ast: false,
      });
      chart.view = made.view;
    };
  });
  const redraw = () => Promise.all(draws.map((one) => one()));
  dark.addEventListener("change", redraw);
  window.gpucloudReady = redraw().then(() => document.body.setAttribute("data-ready", "yes"));
})();
