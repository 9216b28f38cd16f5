for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "descending";
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    // A row takes its details along.
    const groups = [];
    for (const row of body.rows) {
      if (row.classList.contains("details")) groups.at(-1).push(row);
      else groups.push([row]);
    }
    groups.sort(([a], [b]) => {
      const [x, y] = [key(a), key(b)];
      return (x > y) - (x < y);
    });
    if (!down) groups.reverse();
    body.append(...groups.flat());
  }));
}
// A click anywhere in a row opens its details; its button does so for the keyboard.
for (const opener of document.querySelectorAll(".opener")) {
  opener.closest("tr").addEventListener("click", () => {
    if (getSelection().type === "Range") return;
    const open = opener.getAttribute("aria-expanded") !== "true";
    opener.setAttribute("aria-expanded", open);
    document.getElementById(opener.getAttribute("aria-controls")).hidden = !open;
  });
}
