// Looks at pages in a headless Chromium, narrow and wide, light and dark: node check.mjs PICTURES PAGE.html...
// Prints what is wrong and ends with 1, or tells what it looked at. Writes a picture of each into the folder PICTURES.
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { withBrowser } from "./devtools.mjs";
import { charts, layout, printed, rows } from "./inspect.mjs";

const WIDTHS = [400, 1280];
/// Between the margins of A4.
const PAPER = { width: 718, height: 1047 };
const SCHEMES = ["light", "dark"];

/// Sorts each table by each column, with mouse and keyboard in turns, both ways.
async function sorting(page, tell) {
  const tables = await page.run(() => document.querySelectorAll("table.sortable").length);
  for (let t = 0; t < tables; t++) {
    const heads = await page.run((t) => {
      const table = document.querySelectorAll("table.sortable")[t];
      table.dataset.test = t;
      return [...table.tHead.rows[0].cells].map((c) => c.querySelector("button") && c.textContent.trim());
    }, t);
    if (heads.every((h) => h === null)) tell(`table ${t} has nothing to sort by`);
    for (let c = 0; c < heads.length; c++) {
      if (heads[c] === null) continue;
      const orders = [];
      for (const act of ["click", "enter"]) {
        await page[act](`table[data-test="${t}"] thead th:nth-child(${c + 1}) button`);
        orders.push(await page.run(rows, t, c));
      }
      const ways = orders.map((o) => o.sort);
      if (new Set(ways).size !== 2 || !ways.every((w) => ["ascending", "descending"].includes(w))) {
        tell(`column "${heads[c]}" says it is sorted ${ways.join(", then ")}`);
      }
      for (const { sort, keys, whole } of orders) {
        const wrong = keys.findIndex((k, i) => i > 0 && (sort === "ascending" ? k < keys[i - 1] : k > keys[i - 1]));
        if (wrong > 0) tell(`column "${heads[c]}", ${sort}: ${keys[wrong]} follows ${keys[wrong - 1]}`);
        if (!whole) tell(`column "${heads[c]}", ${sort}: details are not below their row`);
      }
    }
  }
  return tables;
}

/// Opens the details of layers: by a click beside the name, by Enter on it; charts in them have room as well.
async function opening(page, tell) {
  const names = await page.run(() => [...document.querySelectorAll(".opener")].map((e) => e.getAttribute("aria-controls")));
  const shown = (id) => page.run((id) => {
    const box = document.getElementById(id).getBoundingClientRect();
    const says = document.querySelector(`[aria-controls="${id}"]`).getAttribute("aria-expanded");
    return { height: box.height, says };
  }, id);
  const expect = async (id, act, open) => {
    const { height, says } = await shown(id);
    if ((height > 0) !== open || says !== String(open)) tell(`${id} after ${act}: ${height.toFixed(0)} px high, expanded: ${says}`);
  };
  for (const id of names.slice(0, 3)) {
    await expect(id, "loading", false);
    await page.click(`tr:has(> td > [aria-controls="${id}"]) > td:nth-child(3)`);
    await expect(id, "a click", true);
    await page.enter(`[aria-controls="${id}"]`);
    await expect(id, "Enter", false);
    await page.enter(`[aria-controls="${id}"]`);
    await expect(id, "Enter again", true);
  }
  if (names.length > 0) {
    for (const fault of await page.run(layout)) tell(fault);
    for (const fault of (await page.run(charts)).faults) tell(fault);
  }
  return names.length;
}

async function look(browser, file, width, scheme, pictures, tell) {
  const page = await browser.open(pathToFileURL(resolve(file)).href, { width, height: 900, scheme });
  for (const fault of await page.run(layout)) tell(fault);
  const drawn = await page.run(charts);
  for (const fault of drawn.faults) tell(fault);
  if (drawn.count === 0) tell("there are no charts");
  const name = `${basename(file, ".html")}-${width}-${scheme}.png`;
  writeFileSync(join(pictures, name), await page.picture());
  const tables = await sorting(page, tell);
  const openers = await opening(page, tell);
  if (openers > 0) writeFileSync(join(pictures, name.replace(".png", "-open.png")), await page.picture());
  await page.media("print", scheme);
  await page.resize(PAPER);
  for (const fault of await page.run(printed)) tell(fault);
  for (const fault of await page.run(layout)) tell(`printed: ${fault}`);
  // As printed it is the same whatever the screen is.
  if (scheme === SCHEMES[0] && width === WIDTHS[0]) {
    writeFileSync(join(pictures, `${basename(file, ".html")}-printed.png`), await page.picture());
  }
  for (const complaint of page.complaints) tell(complaint);
  await page.close();
  return `${drawn.count} charts, ${tables} sortable tables, ${openers} rows with details`;
}

const [pictures, ...files] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });
let faults = 0;
await withBrowser(async (browser) => {
  for (const file of files) {
    for (const width of WIDTHS) {
      for (const scheme of SCHEMES) {
        const where = `${basename(file)}, ${width} px, ${scheme}`;
        const told = new Set();
        const seen = await look(browser, file, width, scheme, pictures, (fault) => told.add(fault));
        for (const fault of told) console.error(`${where}: ${fault}`);
        faults += told.size;
        console.log(`${where}: ${seen}`);
      }
    }
  }
});
process.exitCode = faults > 0 ? 1 : 0;
