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

  const fixed = (least, most) => new Intl.NumberFormat("en-US", { minimumFractionDigits: least, maximumFractionDigits: most });
  const digits = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
  const percent = new Intl.NumberFormat("en-US", { style: "percent", maximumFractionDigits: 1 });
  const two = fixed(2, 2), three = fixed(3, 3);
  const small = (form, bound) => (cell) => (cell && Math.abs(cell) < bound ? digits : form).format(cell);
  const forms = { rate: small(three, 0.01), usd: small(two, 0.01), hours: small(two, 0.1), percent: (cell) => percent.format(cell) };
  const written = (column, row) => {
    const cell = value(column, row);
    if (cell === null || cell === undefined) return "";
    if (typeof cell === "boolean") return cell ? "yes" : "no";
    return typeof cell === "number" ? (forms[column.form] || digits.format)(cell) : String(cell);
  };

  // ---- table

  const looks = (column) => [column.number ? "number" : "", column.paper ? "" : "noprint"].join(" ").trim();
  const headRow = document.createElement("tr");
  for (const column of shown) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = looks(column);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.title;
    button.title = `Sort by ${column.title}`;
    button.addEventListener("click", () => {
      sort = { key: column.key, down: sort.key === column.key && !sort.down };
      arrange();
      remember();
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
    if (picked >= 0 && !tests.every((test) => test(picked))) pick(-1);
    const column = byKey.get(sort.key);
    if (column) order.sort(compare(column, sort.down));
    for (const one of shown) {
      one.head.setAttribute("aria-sort", one.key === sort.key ? (sort.down ? "descending" : "ascending") : "none");
    }
    const all = size === order.length ? "" : ` of ${size.toLocaleString("en-US")}`;
    document.getElementById("count").textContent = `${order.length.toLocaleString("en-US")}${all} ${size === 1 ? "row" : "rows"}`;
    document.getElementById("none").hidden = order.length > 0;
    document.getElementById("more").textContent = order.length > PRINTED ? `The first ${PRINTED.toLocaleString("en-US")} of these rows are printed; the file holds all.` : "";
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
    if (row === picked) made.className = "picked";
    made.addEventListener("click", () => pick(at));
    for (const column of shown) {
      const cell = document.createElement("td");
      cell.className = looks(column);
      cell.textContent = written(column, row);
      const told = column.told ? column.told.map((key) => [byKey.get(key), row]).filter(([one]) => one) : [];
      const words = told.map(([one]) => [one.name, written(one, row)]).filter(([, word]) => word);
      cell.title = words.length ? words.map(([name, word]) => `${name}: ${word}`).join("\n") : cell.textContent;
      made.append(cell);
    }
    return made;
  };

  // ---- one row with all that is known of it: by a click, or by the arrow keys

  const details = document.getElementById("details"), about = details.querySelector("dl");
  let picked = -1;
  const pick = (at) => {
    picked = at < 0 ? -1 : order[at];
    const terms = picked < 0 ? [] : columns.map((column) => term(column, picked)).filter((one) => one);
    about.replaceChildren(...terms.filter((one) => !one.className), ...terms.filter((one) => one.className));
    details.hidden = picked < 0;
    drawn = "";
    draw();
  };
  const term = (column, row) => {
    const words = written(column, row);
    if (!words) return null;
    const made = document.createElement("div"), name = document.createElement("dt"), said = document.createElement("dd");
    name.textContent = column.name.charAt(0).toUpperCase() + column.name.slice(1);
    said.textContent = words;
    if (words.length > 50) made.className = "long";
    made.append(name, said);
    return made;
  };
  document.getElementById("close").addEventListener("click", () => { pick(-1); frame.focus(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && picked >= 0) pick(-1); });
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target !== frame || !order.length) return;
    event.preventDefault();
    const at = Math.max(0, Math.min(order.length - 1, order.indexOf(picked) + step));
    const top = at * ROW_PX, room = frame.clientHeight - 2 * ROW_PX;
    frame.scrollTop = Math.max(top - room, Math.min(frame.scrollTop, top));
    pick(at);
  });
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
  const applies = [];
  const hear = (control, when, apply) => {
    applies.push(apply);
    control.addEventListener(when, () => {
      apply();
      frame.scrollTop = 0;
      arrange();
      remember();
    });
  };
  // The address keeps filters and order, so that a bookmark or a link shows the same rows.
  const standing = sort;
  const remember = () => {
    const kept = new URLSearchParams();
    for (const control of filters.elements) if (control.value && control.value !== "\u0000") kept.set(control.name, control.value);
    if (sort.key !== standing.key || sort.down) kept.set("sort", (sort.down ? "-" : "") + sort.key);
    history.replaceState(null, "", `#${kept}`);
  };
  const recall = () => {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const control of filters.elements) {
      const words = kept.get(control.name);
      control.value = words ?? (control.options ? "\u0000" : "");
      if (control.options && control.selectedIndex < 0) control.value = "\u0000";
    }
    const by = kept.get("sort") || "";
    sort = byKey.has(by.replace(/^-/, "")) ? { key: by.replace(/^-/, ""), down: by.startsWith("-") } : standing;
    applies.forEach((apply) => apply());
    arrange();
  };
  window.addEventListener("hashchange", () => { if (location.hash !== "#rows") recall(); });
  for (const filter of data.filters) {
    const column = byKey.get(filter.key);
    if (!column) continue;
    if (filter.kind === "choice") {
      const select = document.createElement("select");
      select.name = filter.key;
      const words = [...new Set(column.cells.map((cell) => (column.words ? column.words[cell] : String(cell))))];
      select.append(new Option("all", "\u0000"));
      for (const word of words.filter((word) => word !== null && word !== "").sort()) select.append(new Option(word, word));
      const apply = () => {
        const wanted = select.value;
        wishes.delete(filter.key + filter.kind);
        if (wanted !== "\u0000") wishes.set(filter.key + filter.kind, (row) => String(value(column, row)) === wanted);
      };
      hear(labelled(filter.title, select), "change", apply);
    } else {
      const input = document.createElement("input");
      input.type = "number";
      input.name = `${filter.key}-${filter.kind}`;
      input.min = "0";
      input.step = "any";
      const apply = () => {
        const bound = parseFloat(input.value);
        wishes.delete(filter.key + filter.kind);
        if (!Number.isNaN(bound)) {
          const good = filter.kind === "least" ? (cell) => cell >= bound : (cell) => cell <= bound;
          wishes.set(filter.key + filter.kind, (row) => value(column, row) !== null && good(value(column, row)));
        }
      };
      hear(labelled(filter.title, input), "input", apply);
    }
  }
  document.getElementById("reset").addEventListener("click", () => {
    filters.reset();
    wishes.clear();
    arrange();
    remember();
  });
  document.getElementById("reset").hidden = !data.filters.length;
  filters.hidden = !data.filters.length;

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

  recall();

  // ---- charts; their inks are in the style sheet, so that dark, light and paper need no drawing again

  // The arrow keys go from mark to mark; what a hover shows is said below the chart. A mark with a rank has a row.
  const walkable = (inside, figure, title) => {
    const told = document.createElement("p");
    told.className = "told";
    told.setAttribute("aria-live", "polite");
    figure.append(told);
    inside.tabIndex = 0;
    inside.setAttribute("role", "application");
    inside.setAttribute("aria-roledescription", "chart");
    inside.setAttribute("aria-label", `${title}. The arrow keys go from mark to mark.`);
    const middle = (mark) => { const box = mark.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; };
    const marks = () => {
      const found = [...inside.querySelectorAll("[role=graphics-symbol]")].filter((mark) => mark.__data__?.tooltip);
      const bars = found.some((mark) => mark.getAttribute("aria-roledescription") === "bar");
      const places = new Map(found.map((mark) => [mark, bars ? middle(mark).reverse() : middle(mark)]));
      return found.sort((a, b) => places.get(a)[0] - places.get(b)[0] || places.get(a)[1] - places.get(b)[1]);
    };
    const rowOf = (mark) => {
      const rank = mark && mark.__data__.datum.rank, ranks = byKey.get("rank");
      return rank && ranks ? order.findIndex((row) => value(ranks, row) === rank) : -1;
    };
    const show = (mark) => {
      const at = rowOf(mark);
      if (at < 0) return;
      frame.focus();
      frame.scrollTop = at * ROW_PX;
      pick(at);
    };
    let here = -1;
    const go = (all, to) => {
      all.forEach((mark) => mark.classList.remove("here"));
      here = to;
      const mark = all[to];
      if (!mark) { told.textContent = ""; return; }
      mark.classList.add("here");
      const words = Object.entries(mark.__data__.tooltip).filter(([, word]) => word).map(([name, word]) => `${name}: ${word}`);
      told.textContent = `${to + 1} of ${all.length}. ${words.join("; ")}.${rowOf(mark) < 0 ? "" : " Enter shows its row."}`;
    };
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    inside.addEventListener("keydown", (event) => {
      const all = marks();
      if (event.key === "Enter") { show(all[here]); return; }
      if (!(event.key in steps) || !all.length) return;
      event.preventDefault();
      go(all, here < 0 && steps[event.key] > -2 ? 0 : Math.max(0, Math.min(all.length - 1, here + steps[event.key])));
    });
    inside.addEventListener("focus", () => { if (here < 0 && inside.matches(":focus-visible")) told.textContent = "The arrow keys go from mark to mark."; });
    inside.addEventListener("blur", () => go(marks(), -1));
    inside.addEventListener("click", (event) => {
      const mark = event.target.closest("[role=graphics-symbol]");
      if (mark?.__data__?.datum) show(mark);
    });
  };

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
      const config = {
        background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
        axis: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", labelOverlap: "greedy", titlePadding: 8 },
        legend: { labelFontSize: 11, symbolOpacity: 1 }, numberFormat: ",.4~g",
      };
      const made = await vegaEmbed(inside, { ...chart.spec, description: `${chart.title}. ${chart.said}` }, {
        actions: false, renderer: "svg", config, tooltip: true, ast: false,
      });
      chart.view = made.view;
      walkable(inside, figure, chart.title);
    };
  });
  window.gpucloudReady = Promise.all(draws.map((one) => one())).then(() => document.body.setAttribute("data-ready", "yes"));
})();
