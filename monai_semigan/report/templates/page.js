document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.querySelectorAll("th")];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    return text === "–" || text === "" ? null : text;
  };
  const compare = (x, y) => {
    const a = Number(x), b = Number(y);
    return Number.isNaN(a) || Number.isNaN(b) ? x.localeCompare(y, undefined, { numeric: true }) : a - b;
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
      rows.sort(([x], [y]) => (x === null || y === null ? (x === null) - (y === null) : sign * compare(x, y)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
});

document.querySelectorAll(".filter input").forEach((field) => {
  const table = field.closest(".filter").nextElementSibling.querySelector("table");
  const count = field.closest(".filter").querySelector("[role=status]");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    rows.forEach((row) => { row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word)); });
    count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
});
