"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const every = (selector, root = document) => [...root.querySelectorAll(selector)];
const data = JSON.parse(one("#data").textContent);

// ---------------------------------------------------------------------------------------------------- light and dark
one("#theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// ----------------------------------------------------------------------------------------------------- sorted by column
function sortBy(heading) {
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const first = heading.dataset.first || "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const direction = heading.getAttribute("aria-sort") === first ? other : first;
  every("th[aria-sort]", table).forEach((cell) => cell.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const valueOf = (row) => {
    const cell = row.cells[column];
    return "order" in cell.dataset ? Number(cell.dataset.order) : null;
  };
  const compare = (a, b) => {
    const [x, y] = [valueOf(a), valueOf(b)];
    if (x === null && y === null) {
      return sign * a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
    }
    if (x === null || y === null) return x === null ? 1 : -1; // what is not known comes last either way
    return sign * (x - y);
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}
every("th button").forEach((button) => button.addEventListener("click", () => sortBy(button.closest("th"))));

// ------------------------------------------------------------------------------------------------ one metric at a time
const metric = one("#metric");
if (metric) {
  const show = () => every("[data-metric]").forEach((part) => (part.hidden = part.dataset.metric !== metric.value));
  metric.addEventListener("change", show);
  show();
}

// --------------------------------------------------------------- a variant pointed at in the table stands out everywhere
function pointAt(name) {
  every(".chart").forEach((chart) => {
    const parts = every(`.${name}`, chart);
    chart.classList.toggle("pointing", parts.length > 0);
    every(".lit", chart).forEach((part) => part.classList.remove("lit"));
    parts.forEach((part) => part.classList.add("lit"));
  });
}
function pointAway() {
  every(".chart.pointing").forEach((chart) => chart.classList.remove("pointing"));
}
const spotlight = one("#spotlight");
if (spotlight) {
  spotlight.addEventListener("change", () => {
    every(".results tr.lit").forEach((row) => row.classList.remove("lit"));
    const row = spotlight.value && one(`.results tr[data-variant="${spotlight.value}"]`);
    if (row) row.classList.add("lit");
    if (spotlight.value) pointAt(spotlight.value);
    else pointAway();
  });
}

// ----------------------------------------------------------------------------------------------------- the same images
if (data.pictures) {
  const { count, names, psnr } = data.pictures;
  const view = { index: 0, a: 0, b: Math.min(1, names.length - 1), zoom: 1, x: 0.5, y: 0.5 };
  const stage = one("#stage");
  const inputs = Object.fromEntries(["a", "b", "zoom", "split"].map((id) => [id, one(`#${id}`)]));

  // A strip holds all images side by side: it is enlarged, and moved so that one part of one image fills the frame.
  // Percentages place the point p % of the strip on the point p % of the frame.
  function place(pic, index, zoom, x, y) {
    const left = index * zoom + x * (zoom - 1);
    const across = count * zoom - 1;
    pic.style.backgroundSize = `${count * zoom * 100}% ${zoom * 100}%`;
    pic.style.backgroundPosition = `${across > 0 ? (left / across) * 100 : 0}% ${y * 100}%`;
  }
  function dress(pic, strip) {
    pic.className = pic.className.replace(/\bstrip-\S+/g, "").trim() + ` strip-${strip}`;
  }
  const decibels = (variant) => `${psnr[variant][view.index].toFixed(2)} dB`;

  function draw() {
    const { index, zoom, x, y } = view;
    every("[data-role]", stage).forEach((pic) => {
      const variant = { a: view.a, "error-a": view.a, b: view.b, "error-b": view.b }[pic.dataset.role];
      if (variant !== undefined) dress(pic, (pic.dataset.role.startsWith("error") ? "error-" : "") + variant);
      place(pic, index, zoom, x, y);
    });
    every(".everyone .pic").forEach((pic) => place(pic, index, zoom, x, y));
    every(".everyone [data-psnr]").forEach((word) => (word.textContent = decibels(Number(word.dataset.psnr))));
    for (const [side, variant] of [["a", view.a], ["b", view.b]]) {
      every(`[data-name="${side}"]`).forEach((word) => (word.textContent = names[variant]));
      every(`[data-figure="${side}"]`).forEach((word) => (word.textContent = decibels(variant)));
    }
    const gain = psnr[view.a][index] - psnr[view.b][index];
    one("[data-figure='gain']").textContent = `${gain < 0 ? "−" : "+"}${Math.abs(gain).toFixed(2)} dB`;
    stage.classList.toggle("zoomed", zoom > 1);
  }
  function split() {
    stage.style.setProperty("--split", `${inputs.split.value}%`);
    inputs.split.setAttribute("aria-valuetext", `${inputs.split.value} % A, ${100 - inputs.split.value} % B`);
  }

  every(".thumbs .pic").forEach((pic, index) => place(pic, index, 1, 0.5, 0.5));
  every(".thumbs input").forEach((radio) =>
    radio.addEventListener("change", () => { view.index = Number(radio.value); draw(); }));
  for (const side of ["a", "b"]) {
    inputs[side].value = String(view[side]);
    inputs[side].addEventListener("change", () => { view[side] = Number(inputs[side].value); draw(); });
  }
  one("#swap").addEventListener("click", () => {
    [view.a, view.b] = [view.b, view.a];
    inputs.a.value = String(view.a);
    inputs.b.value = String(view.b);
    draw();
  });
  inputs.zoom.addEventListener("input", () => { view.zoom = Number(inputs.zoom.value); draw(); });
  inputs.split.addEventListener("input", split);

  const clamp = (value) => Math.min(1, Math.max(0, value));
  function move(across, down) {
    if (view.zoom <= 1) return;
    view.x = clamp(view.x + across);
    view.y = clamp(view.y + down);
    draw();
  }
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage) return;
    const step = 0.1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const zooms = { "+": 1, "=": 1, "-": -1 };
    if (event.key in moves && view.zoom > 1) move(...moves[event.key]);
    else if (event.key in zooms) {
      inputs.zoom.value = String(view.zoom + zooms[event.key]);
      view.zoom = Number(inputs.zoom.value);
      draw();
    } else return;
    event.preventDefault();
  });

  // In the comparison dragging moves the divider; in any other picture, the part of the image that is seen.
  every("[data-role]", stage).forEach((pic) => {
    if (pic.dataset.role === "b") return; // lies on top of a, which hears of everything
    let last = null;
    pic.addEventListener("pointerdown", (event) => {
      last = event;
      pic.setPointerCapture(event.pointerId);
      if (pic.dataset.role === "a") divide(event);
    });
    pic.addEventListener("pointermove", (event) => {
      if (!last) return;
      if (pic.dataset.role === "a") divide(event);
      else {
        const reach = pic.clientWidth * Math.max(0.01, view.zoom - 1);
        move((last.clientX - event.clientX) / reach, (last.clientY - event.clientY) / reach);
      }
      last = event;
    });
    for (const name of ["pointerup", "pointercancel"]) pic.addEventListener(name, () => (last = null));
    function divide(event) {
      const box = pic.getBoundingClientRect();
      inputs.split.value = String(Math.round(clamp((event.clientX - box.left) / box.width) * 100));
      split();
    }
  });
  split();
  draw();
}
