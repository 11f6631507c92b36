// The viewer of a case: what is shown, and what the reader does to it.

const state = { base: 0, window: 0, low: 0, high: 1, opacity: 0.35, cover: "label", hasContour: true, hasCross: true, view: "all", position: [0, 0, 0], active: null };
const planes = {}; // by name: { plane, axis, across, down }
const colors = [null, ...facts.classes.map((part) => part.color)];
const maps = {}; // by name: what `readNifti` gives
let image = null, label = null, waiting = false;

const AXES = { axial: { axis: 2, across: 0, down: 1, flips: false, marks: ["R", "L", "A"] }, coronal: { axis: 1, across: 0, down: 2, flips: true, marks: ["R", "L", "S"] }, sagittal: { axis: 0, across: 1, down: 2, flips: true, marks: ["A", "P", "S"] } };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const stride = (axis) => [1, facts.shape[0], facts.shape[0] * facts.shape[1]][axis];

// ---- what a plane shows

function paintSlice({ plane, axis, across, down }) {
  const start = state.position[axis] * stride(axis);
  const steps = [stride(across), stride(down)];
  plane.paintGrey(image.data, start, ...steps, (state.low - image.first) / image.slope, (state.high - image.first) / image.slope);
  plane.label = plane.sliceOf(label.data, start, ...steps);
  const isLabel = state.cover === "label" || !maps[state.cover];
  plane.paintCover(isLabel ? plane.ids : plane.sliceOf(maps[state.cover].data, start, ...steps), isLabel ? colors : null, state.opacity);
}

function crossOf({ plane, across, down }) {
  const row = state.position[down];
  return [state.position[across], plane.flips ? plane.size[1] - 1 - row : row];
}

function paintPicture({ plane, layers }) {
  const layer = layers[state.base];
  plane.base = layer.canvas;
  plane.label = layer.ids;
  const map = layer.maps[state.cover];
  plane.paintCover(map || layer.ids, map ? null : colors, state.opacity);
}

function paint() {
  waiting = false;
  for (const [name, shown] of Object.entries(planes)) {
    if (shown.panel.hidden) continue;
    if (facts.kind === "volume") paintSlice(shown);
    else paintPicture(shown);
    const cross = facts.kind === "volume" && state.hasCross ? crossOf(shown) : null;
    if (cross && shown.plane.zoom > 1) shown.plane.center = [cross[0] + 0.5, cross[1] + 0.5];
    shown.plane.draw({ colors, hasCover: state.cover !== "none", hasContour: state.hasContour, cross });
    if (shown.slider) {
      shown.slider.value = numberOf(shown.axis);
      byId(`number-${name}`).textContent = `${numberOf(shown.axis)} / ${facts.shape[shown.axis]}`;
    }
  }
  byId("status").textContent = facts.kind === "volume" ? placeText() : pictureText();
}

function repaint() {
  if (waiting || state.active === null) return; // nothing is there yet
  waiting = true;
  requestAnimationFrame(paint);
}

// ---- words

// Number of the slice at the crosshair, from 1, as the source counts.
const numberOf = (axis) => (facts.is_flipped[axis] ? facts.shape[axis] - state.position[axis] : state.position[axis] + 1);

function placeText() {
  const at = state.position.reduce((sum, index, axis) => sum + index * stride(axis), 0);
  const mm = facts.affine.slice(0, 3).map((row) => row[3] + state.position.reduce((sum, index, axis) => sum + index * row[axis], 0));
  const letters = [["L", "R"], ["P", "A"], ["I", "S"]];
  const value = image.data[at] * image.slope + image.first;
  const words = [
    `axial ${numberOf(2)}, coronal ${numberOf(1)}, sagittal ${numberOf(0)}`,
    mm.map((size, axis) => `${letters[axis][size > 0 ? 1 : 0]} ${Math.abs(size).toFixed(1)}`).join(", ") + " mm",
    `${Number(value.toPrecision(4))}${facts.value_unit}`,
    label.data[at] ? (facts.classes[label.data[at] - 1] || { name: "unknown class" }).name : "no label",
    ...Object.entries(maps).map(([name, map]) => `${name} ${(map.data[at] / 255).toFixed(2)}`),
  ];
  return words.join(" · ");
}

const pictureText = () => `${facts.layers[state.base]} · zoom ${planes.image.plane.zoom.toFixed(1)}`;

function fail(error) {
  byId("problem").textContent = error instanceof Problem ? error.message : "The viewer cannot show this case. Segment it again, or use a newer browser.";
  byId("problem").hidden = false;
  byId("viewer").hidden = true;
  if (!(error instanceof Problem)) console.error(error);
}

// ---- what the reader does

function move(axis, by) {
  state.position[axis] = clamp(state.position[axis] + by, 0, facts.shape[axis] - 1);
  repaint();
}

function step(by) { // towards higher numbers of the source
  const { axis } = planes[state.active];
  move(axis, facts.is_flipped[axis] ? -by : by);
}

function zoomBy(factor, place, only) {
  for (const { plane } of only ? [only] : Object.values(planes)) {
    const before = plane.zoom;
    plane.zoom = clamp(before * factor, 1, 32);
    if (plane.zoom === 1) plane.center = [plane.size[0] / 2, plane.size[1] / 2];
    else if (place && facts.kind === "image") plane.center = plane.center.map((middle, at) => place[at] + (middle - place[at]) * (before / plane.zoom));
  }
  repaint();
}

function chooseView(name) {
  state.view = name;
  if (planes[name]) state.active = name;
  byId("panels").dataset.view = name;
  for (const panel of document.querySelectorAll(".panel-view")) panel.hidden = name !== "all" && panel.dataset.name !== name;
  for (const button of document.querySelectorAll("[data-view-button]")) button.setAttribute("aria-pressed", String(button.dataset.viewButton === name));
  repaint();
  if (typeof show3d === "function") show3d(state);
}

function chooseWindow(at) {
  state.window = at;
  [state.low, state.high] = [facts.windows[at].low, facts.windows[at].high];
  byId("window").value = String(at);
  showWindow();
}

function showWindow() {
  byId("window-values").textContent = `${Number(state.low.toPrecision(3))} to ${Number(state.high.toPrecision(3))}${facts.value_unit}`;
  repaint();
}

function chooseCover(name) {
  state.cover = name;
  byId("cover").value = name;
  repaint();
}

function chooseBase(at) {
  state.base = at;
  byId("base").value = String(at);
  const { plane, layers } = planes.image;
  if (plane.size.join() !== layers[at].size.join()) { // the network's square instead of the image's frame, or back
    planes.image.plane = Object.assign(new Plane(plane.canvas, layers[at]), { zoom: 1 });
  }
  repaint();
}

function setOpacity(share) {
  state.opacity = clamp(share, 0, 1);
  byId("opacity").value = String(Math.round(100 * state.opacity));
  if (state.cover === "none") chooseCover("label");
  repaint();
}

function toggle(name, box) {
  state[name] = !state[name];
  byId(box).checked = state[name];
  repaint();
}

function reset() {
  for (const { plane } of Object.values(planes)) Object.assign(plane, { zoom: 1, center: [plane.size[0] / 2, plane.size[1] / 2] });
  if (facts.kind === "volume") {
    state.position = [...facts.start];
    chooseWindow(0);
  }
  repaint();
}

const next = (list, now) => list[(list.indexOf(now) + 1) % list.length];
const optionsOf = (id) => [...byId(id).options].map((option) => option.value);

const KEYS = {
  "0": () => chooseView("all"), "1": () => pick(1), "2": () => pick(2), "3": () => pick(3), "4": () => pick(4),
  ArrowUp: () => facts.kind === "volume" && step(1), ArrowDown: () => facts.kind === "volume" && step(-1),
  PageUp: () => facts.kind === "volume" && step(10), PageDown: () => facts.kind === "volume" && step(-10),
  o: () => chooseCover(state.cover === "none" ? "label" : "none"), m: () => chooseCover(next(optionsOf("cover"), state.cover)),
  "[": () => setOpacity(state.opacity - 0.1), "]": () => setOpacity(state.opacity + 0.1),
  c: () => toggle("hasContour", "contour"), x: () => byId("cross") && toggle("hasCross", "cross"),
  w: () => byId("window") && chooseWindow((state.window + 1) % facts.windows.length),
  "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), r: reset,
};

function pick(number) {
  if (facts.kind === "image") return number <= facts.layers.length && chooseBase(number - 1);
  return chooseView(["axial", "coronal", "sagittal", "3d"][number - 1]);
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || !byId("keys").checked || byId("viewer").hidden) return;
  const kind = event.target.tagName;
  if (kind === "SELECT" || kind === "TEXTAREA" || (kind === "INPUT" && event.key.length > 1)) return; // theirs
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || (event.key.length > 1 && facts.kind !== "volume")) return;
  event.preventDefault();
  act();
}

// ---- mouse and fingers

function listen(name) {
  const shown = planes[name];
  const { canvas } = shown.plane;
  let drag = null;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    state.active = name;
    canvas.setPointerCapture(event.pointerId);
    const isWindow = facts.kind === "volume" && (event.button === 2 || event.shiftKey);
    drag = { x: event.clientX, y: event.clientY, isWindow, low: state.low, high: state.high, center: [...shown.plane.center] };
    onDrag(event);
  });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointermove", (event) => drag && onDrag(event));
  canvas.addEventListener("wheel", (event) => {
    if (facts.kind === "volume" && !event.ctrlKey && !byId("scroll").checked) return;
    event.preventDefault();
    state.active = name;
    if (facts.kind === "image" || event.ctrlKey) zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, shown.plane.placeOf(event), shown);
    else step(event.deltaY < 0 ? 1 : -1);
  }, { passive: false });

  function onDrag(event) {
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (drag.isWindow) {
      const width = Math.max((drag.high - drag.low) * 2 ** (dx / 200), 1e-6);
      const middle = (drag.low + drag.high) / 2 - (dy / 300) * (drag.high - drag.low);
      [state.low, state.high] = [middle - width / 2, middle + width / 2];
      showWindow();
    } else if (facts.kind === "volume") {
      const [column, row] = shown.plane.placeOf(event).map(Math.floor);
      state.position[shown.across] = clamp(column, 0, shown.plane.size[0] - 1);
      const down = clamp(row, 0, shown.plane.size[1] - 1);
      state.position[shown.down] = shown.plane.flips ? shown.plane.size[1] - 1 - down : down;
      repaint();
    } else if (shown.plane.zoom > 1) {
      const perPixel = (window.devicePixelRatio || 1) / shown.plane.scale;
      shown.plane.center = [clamp(drag.center[0] - (dx * perPixel) / shown.plane.step[0], 0, shown.plane.size[0]), clamp(drag.center[1] - (dy * perPixel) / shown.plane.step[1], 0, shown.plane.size[1])];
      repaint();
    }
  }
}

// ---- the start

async function startVolume() {
  image = await volumeOf("data-image", facts.image_file);
  label = await volumeOf("data-label", "");
  for (const name of facts.maps) maps[name] = await volumeOf(`data-${name}`, "");
  for (const [name, { axis, across, down, flips, marks }] of Object.entries(AXES)) {
    const panel = byId(`panel-${name}`);
    const size = [facts.shape[across], facts.shape[down]];
    const plane = new Plane(panel.querySelector("canvas"), { size, step: [facts.spacing[across], facts.spacing[down]], marks, unit: "mm", flips });
    const slider = panel.querySelector("input");
    planes[name] = { plane, axis, across, down, panel, slider };
    slider.addEventListener("input", () => {
      state.active = name;
      const at = Number(slider.value);
      state.position[axis] = facts.is_flipped[axis] ? facts.shape[axis] - at : at - 1;
      repaint();
    });
    listen(name);
  }
  state.active = "axial";
  state.position = [...facts.start];
  chooseWindow(0);
  chooseView("all");
}

async function startImage() {
  const layers = [];
  for (const [at] of facts.layers.entries()) {
    const { canvas } = await pixelsOf(byId(`layer-${at}`));
    const size = [canvas.width, canvas.height];
    const ids = await greyOf(byId(at ? "ids-network" : "ids-image"));
    const own = {}; // maps lie on the image alone
    for (const name of at ? [] : facts.maps) own[name] = await greyOf(byId(`map-${name}`));
    const step = at ? [1, 1] : facts.extent.map((length, axis) => length / size[axis]);
    layers.push({ canvas, size, ids, maps: own, step, unit: at ? "" : facts.unit });
  }
  const panel = byId("panel-image");
  planes.image = { plane: new Plane(panel.querySelector("canvas"), layers[0]), layers, panel };
  state.active = "image";
  listen("image");
  repaint();
}

function wire(id, event, act) {
  const element = byId(id);
  if (element) element.addEventListener(event, () => act(element));
}

wire("opacity", "input", (element) => setOpacity(Number(element.value) / 100));
wire("cover", "change", (element) => chooseCover(element.value));
wire("window", "change", (element) => chooseWindow(Number(element.value)));
wire("base", "change", (element) => chooseBase(Number(element.value)));
wire("contour", "change", () => toggle("hasContour", "contour"));
wire("cross", "change", () => toggle("hasCross", "cross"));
wire("zoom-in", "click", () => zoomBy(1.25));
wire("zoom-out", "click", () => zoomBy(0.8));
wire("reset", "click", reset);
for (const button of document.querySelectorAll("[data-view-button]")) button.addEventListener("click", () => chooseView(button.dataset.viewButton));
document.addEventListener("keydown", onKey);
new ResizeObserver(repaint).observe(byId("panels"));
(facts.kind === "volume" ? startVolume() : startImage())
  .then(() => {
    paint();
    byId("viewer").dataset.ready = "yes";
  })
  .catch(fail);
