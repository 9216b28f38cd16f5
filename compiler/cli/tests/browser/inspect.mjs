// Functions that run inside a page. Each is sent as text: it sees the page and its arguments, nothing else.

/// What passes the right edge, what cannot be read, and what has no name.
export function layout() {
  const faults = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) faults.push(`the page is ${root.scrollWidth} px wide`);
  // What a container scrolls may pass the edge of the window.
  const scrolled = (e) => {
    for (let p = e.parentElement; p; p = p.parentElement) {
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX)) return true;
    }
    return false;
  };
  const name = (e) => `<${e.localName} class="${e.getAttribute("class") ?? ""}"> "${e.textContent.trim().slice(0, 30)}"`;
  const colour = (text) => {
    const parts = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const ground = (e) => {
    for (let p = e; p; p = p.parentElement) {
      const c = colour(getComputedStyle(p).backgroundColor);
      if (c.alpha > 0.9) return c.rgb;
    }
    return matchMedia("screen and (prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const e of document.body.querySelectorAll("*")) {
    if (!e.checkVisibility()) continue;
    const box = e.getBoundingClientRect();
    if (box.right > innerWidth + 1 && !scrolled(e)) faults.push(`${name(e)} ends at ${box.right.toFixed(0)} px`);
    const text = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!text || ["script", "style", "title"].includes(e.localName)) continue;
    const style = getComputedStyle(e);
    const ink = colour(e.namespaceURI.endsWith("svg") ? style.fill : style.color).rgb;
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    // WCAG 2.2, 1.4.3: 4.5 to 1.
    if (contrast < 4.5) faults.push(`${name(e)} has a contrast of ${contrast.toFixed(1)} to 1`);
  }
  return faults;
}

/// Paper is white, whatever the screen prefers.
export function printed() {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).map(Number);
  const white = getComputedStyle(document.body).backgroundColor === "rgba(0, 0, 0, 0)" || Math.min(r, g, b) > 250;
  return white ? [] : [`paper is rgb(${r}, ${g}, ${b})`];
}

/// Charts: in their containers, of some size, with a name, and their labels inside.
export function charts() {
  const faults = [];
  let count = 0;
  for (const svg of document.querySelectorAll("svg[role=img]")) {
    if (!svg.checkVisibility()) continue;
    count += 1;
    const name = svg.querySelector(":scope > title")?.textContent || svg.getAttribute("aria-label");
    const what = `chart "${name}"`;
    if (!name) faults.push("a chart has no name");
    const box = svg.getBoundingClientRect();
    if (box.width < 20 || box.height < 10) faults.push(`${what} is ${box.width.toFixed(0)} x ${box.height.toFixed(0)} px`);
    const holder = svg.parentElement;
    const outer = holder.getBoundingClientRect();
    const [left, right] = [outer.left - holder.scrollLeft, outer.left - holder.scrollLeft + holder.scrollWidth];
    if (box.left < left - 1 || box.right > right + 1 || box.top < outer.top - 1 || box.bottom > outer.bottom + 1) {
      faults.push(`${what} leaves its container`);
    }
    const marks = [...svg.querySelectorAll("rect, circle, path, polyline, line, polygon")];
    if (marks.length === 0) faults.push(`${what} is empty`);
    for (const mark of marks) {
      const r = mark.getBoundingClientRect();
      if (![r.x, r.y, r.width, r.height].every(Number.isFinite)) faults.push(`${what} has a mark without a place`);
    }
    for (const text of svg.querySelectorAll("text")) {
      const t = text.getBoundingClientRect();
      const inside = t.left >= box.left - 1 && t.right <= box.right + 1 && t.top >= box.top - 1 && t.bottom <= box.bottom + 1;
      if (!inside) faults.push(`${what}: the label "${text.textContent.trim()}" is cut off`);
      if (t.height > 0 && t.height < 9) faults.push(`${what}: the label "${text.textContent.trim()}" is ${t.height.toFixed(0)} px high`);
    }
  }
  return { count, faults };
}

/// How a column of the table under test is sorted: what its head says, and its keys in their order.
export function rows(table, column) {
  const t = document.querySelector(`table[data-test="${table}"]`);
  const all = [...t.tBodies[0].rows];
  const main = all.filter((r) => !r.classList.contains("details"));
  const keys = main.map((row) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  });
  const whole = all.every((r, i) => !r.classList.contains("details") || r.id === all[i - 1].querySelector("[aria-controls]")?.getAttribute("aria-controls"));
  const sort = t.tHead.rows[0].cells[column].getAttribute("aria-sort");
  return { sort, keys, whole };
}
