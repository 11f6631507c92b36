// One picture on the page: a slice or an image, its label, and what lies on it.

const WHITE = "rgb(255 255 255 / 85%)";
const HEAT = Array.from({ length: 256 }, (_, at) => [Math.min(255, 3 * at), Math.min(255, Math.max(0, 3 * at - 255)), Math.max(0, 3 * at - 510)]);

class Plane {
  // canvas: where it is drawn. size: pixels across and down. step: mm or any other unit from pixel to pixel, across and down.
  constructor(canvas, { size, step, marks = [], unit = "", flips = false }) {
    Object.assign(this, { canvas, size, step, marks, unit, flips, zoom: 1, center: [size[0] / 2, size[1] / 2] });
    this.base = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] });
    this.cover = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] });
    this.label = new Uint8Array(size[0] * size[1]);
  }

  // Fill the base with the grey values of a slice: its first voxel, and the steps to the next across and down.
  paintGrey(data, start, across, down, low, high) {
    const [width, height] = this.size;
    const picture = new ImageData(width, height);
    const gain = 255 / Math.max(high - low, 1e-9);
    for (let row = 0, out = 0; row < height; row += 1) {
      let from = start + (this.flips ? height - 1 - row : row) * down;
      for (let column = 0; column < width; column += 1, from += across, out += 4) {
        const grey = (data[from] - low) * gain;
        picture.data[out] = grey;
        picture.data[out + 1] = grey;
        picture.data[out + 2] = grey;
        picture.data[out + 3] = 255;
      }
    }
    this.base.getContext("2d").putImageData(picture, 0, 0);
  }

  sliceOf(data, start, across, down) {
    const [width, height] = this.size;
    const slice = new Uint8Array(width * height);
    for (let row = 0, out = 0; row < height; row += 1) {
      let from = start + (this.flips ? height - 1 - row : row) * down;
      for (let column = 0; column < width; column += 1, from += across, out += 1) slice[out] = data[from];
    }
    return slice;
  }

  // Color class ids, or a map of 0 to 255.
  paintCover(values, colors, opacity) {
    const picture = new ImageData(...this.size);
    for (let at = 0, out = 0; at < values.length; at += 1, out += 4) {
      const value = values[at];
      if (value === 0) continue;
      const color = (colors ? colors[value] : HEAT[value]) || [255, 255, 255];
      picture.data[out] = color[0];
      picture.data[out + 1] = color[1];
      picture.data[out + 2] = color[2];
      picture.data[out + 3] = 255 * opacity * (colors ? 1 : value / 255);
    }
    this.cover.getContext("2d").putImageData(picture, 0, 0);
  }

  set label(ids) {
    this.ids = ids;
    this.paths = null;
  }

  // Edges of the pixels of each class, in one pass.
  contours() {
    if (this.paths) return this.paths;
    const [width, height] = this.size;
    this.paths = new Map();
    const edge = (id, fromX, fromY, toX, toY) => {
      if (!id) return;
      if (!this.paths.has(id)) this.paths.set(id, new Path2D());
      this.paths.get(id).moveTo(fromX, fromY);
      this.paths.get(id).lineTo(toX, toY);
    };
    for (let row = 0, at = 0; row <= height; row += 1) {
      for (let column = 0; column <= width; column += 1) {
        at = row * width + column;
        const here = column < width && row < height ? this.ids[at] : 0;
        const left = column && row < height ? this.ids[at - 1] : 0;
        const above = row && column < width ? this.ids[at - width] : 0;
        if (here !== left) for (const id of [here, left]) edge(id, column, row, column, row + 1);
        if (here !== above) for (const id of [here, above]) edge(id, column, row, column + 1, row);
      }
    }
    return this.paths;
  }

  // Pixels of the canvas per unit of step.
  get scale() {
    const room = [this.canvas.width / (this.size[0] * this.step[0]), this.canvas.height / (this.size[1] * this.step[1])];
    return Math.min(...room) * this.zoom;
  }

  fit() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
  }

  // Place on the canvas of a place in the picture, and back; both in pixels of their own.
  transform() {
    const across = this.scale * this.step[0], down = this.scale * this.step[1];
    return new DOMMatrix([across, 0, 0, down, this.canvas.width / 2 - this.center[0] * across, this.canvas.height / 2 - this.center[1] * down]);
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.canvas.width;
    const y = ((event.clientY - box.top) / box.height) * this.canvas.height;
    const place = this.transform().inverse().transformPoint(new DOMPoint(x, y));
    return [place.x, place.y];
  }

  draw({ colors, hasCover, hasContour, cross }) {
    this.fit();
    const pen = this.canvas.getContext("2d");
    pen.resetTransform();
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const placed = this.transform();
    pen.setTransform(placed);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(this.base, 0, 0);
    pen.imageSmoothingEnabled = false;
    if (hasCover) pen.drawImage(this.cover, 0, 0);
    pen.resetTransform();
    const ratio = window.devicePixelRatio || 1;
    if (hasContour) {
      for (const [id, path] of this.contours()) {
        const line = new Path2D();
        line.addPath(path, placed);
        for (const [style, width] of [[WHITE, 3.5], [`rgb(${(colors[id] || [255, 255, 255]).join(" ")})`, 2]]) {
          pen.strokeStyle = style;
          pen.lineWidth = width * ratio;
          pen.stroke(line);
        }
      }
    }
    if (cross) this.drawCross(pen, placed, cross, ratio);
    this.drawMarks(pen, ratio);
  }

  drawCross(pen, placed, [column, row], ratio) {
    const place = placed.transformPoint(new DOMPoint(column + 0.5, row + 0.5));
    pen.strokeStyle = "rgb(120 200 255 / 80%)";
    pen.lineWidth = ratio;
    pen.beginPath();
    const gap = 8 * ratio, width = this.canvas.width, height = this.canvas.height;
    for (const [a, b, c, d] of [[0, place.y, place.x - gap, place.y], [place.x + gap, place.y, width, place.y], [place.x, 0, place.x, place.y - gap], [place.x, place.y + gap, place.x, height]]) {
      pen.moveTo(a, b);
      pen.lineTo(c, d);
    }
    pen.stroke();
  }

  drawMarks(pen, ratio) {
    const { width, height } = this.canvas;
    const write = (text, x, y, align, baseline) => {
      Object.assign(pen, { textAlign: align, textBaseline: baseline, font: `${14 * ratio}px sans-serif`, lineWidth: 3 * ratio, strokeStyle: "rgb(0 0 0 / 75%)", fillStyle: "#fff", lineJoin: "round" });
      pen.strokeText(text, x, y);
      pen.fillText(text, x, y);
    };
    const edge = 6 * ratio;
    const [left, right, top] = this.marks;
    if (left) write(left, edge, height / 2, "left", "middle");
    if (right) write(right, width - edge, height / 2, "right", "middle");
    if (top) write(top, width / 2, edge, "center", "top");
    if (!this.unit) return;
    const most = (0.25 * width) / this.scale;
    const decade = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((factor) => factor * decade).find((size) => size <= most);
    pen.fillStyle = "#fff";
    pen.fillRect(edge, height - edge - 3 * ratio, length * this.scale, 3 * ratio);
    write(`${Number(length.toPrecision(1))} ${this.unit}`, edge, height - edge - 6 * ratio, "left", "bottom");
  }
}
