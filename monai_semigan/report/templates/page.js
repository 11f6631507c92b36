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
