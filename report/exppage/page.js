"use strict";
(function () {
  const table = document.getElementById("table");
  const chart = document.getElementById("chart");
  const body = table.tBodies[0];

  // A click on a head sorts by its column, a second one the other way round.
  let sorted = null;
  let down = false;
  function sortBy(column) {
    down = sorted === column && !down;
    sorted = column;
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const rank = (v) => (typeof v === "number" ? 0 : v === "-" || v === "!" || v === "" ? 2 : 1);
    const rows = Array.from(body.rows);
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (rank(x) !== rank(y)) return rank(x) - rank(y);
      const order = x < y ? -1 : x > y ? 1 : 0;
      return down ? -order : order;
    });
    body.append(...rows);
  }
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    head.addEventListener("click", () => sortBy(column));
    head.addEventListener("keydown", (e) => { if (e.key === "Enter") sortBy(column); });
  });
  if (!chart) return;

  const of = (line) => document.querySelectorAll('[data-line="' + line + '"]');
  const all = document.querySelectorAll("[data-line]");
  all.forEach((element) => {
    const lit = (on) => of(element.dataset.line).forEach((e) => e.classList.toggle("lit", on));
    element.addEventListener("mouseenter", () => lit(true));
    element.addEventListener("mouseleave", () => lit(false));
  });

  // picks holds, by axis, between which heights the lines must pass.
  const picks = new Map();
  function show() {
    chart.querySelectorAll(".line").forEach((path) => {
      const ys = path.dataset.ys.split(" ");
      let out = false;
      picks.forEach((pick, axis) => {
        const y = Number(ys[axis]);
        out = out || ys[axis] === "-" || y < pick[0] || y > pick[1];
      });
      of(path.dataset.line).forEach((e) => e.classList.toggle("out", out));
    });
  }
  chart.querySelectorAll(".handle").forEach((handle) => {
    const mark = handle.previousElementSibling;
    const axis = Number(handle.dataset.axis);
    let from = null;
    const height = (e) => e.clientY - chart.getBoundingClientRect().top;
    handle.addEventListener("pointerdown", (e) => {
      from = height(e);
      handle.setPointerCapture(e.pointerId);
      picks.delete(axis);
      mark.setAttribute("height", "0");
      show();
    });
    handle.addEventListener("pointermove", (e) => {
      if (from === null) return;
      const pick = [Math.min(from, height(e)), Math.max(from, height(e))];
      if (pick[1] - pick[0] < 3) return;
      picks.set(axis, pick);
      mark.setAttribute("y", String(pick[0]));
      mark.setAttribute("height", String(pick[1] - pick[0]));
      show();
    });
    handle.addEventListener("pointerup", () => { from = null; });
  });
})();
