"use strict";
// What the page holds, or reads from beside it: NIfTI volumes and pictures, checked before anything is drawn.

const byId = (id) => document.getElementById(id);
const facts = JSON.parse(byId("facts").textContent);

class Problem extends Error {} // its text is ours, and shown

function bytesOf(text) {
  const raw = atob(text.trim());
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

async function unzipped(bytes, name) {
  if (typeof DecompressionStream === "undefined") throw new Problem("This browser is too old for the viewer. Use a newer one.");
  try {
    return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  } catch {
    throw new Problem(`${name} is damaged or cut short. Segment the case again.`);
  }
}

async function fetched(address) {
  if (location.protocol === "file:") {
    throw new Problem("This volume is too large to be embedded in the page. Run `semigan view` with the output folder, and open the page there.");
  }
  const answer = await fetch(address).catch(() => null);
  if (!answer || !answer.ok) throw new Problem(`${address} is not beside this page, or \`semigan view\` has ended. Segment the case again, or start it again.`);
  return new Uint8Array(await answer.arrayBuffer());
}

function readNifti(buffer, name) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 352 || view.getInt32(0, true) !== 348) throw new Problem(`${name} is no NIfTI file. Segment the case again.`);
  const dims = Array.from({ length: 8 }, (_, at) => view.getInt16(40 + 2 * at, true));
  if (dims[0] !== 3) throw new Problem(`${name} has ${dims[0]} dimensions, but must have 3. Segment the case again.`);
  const shape = dims.slice(1, 4);
  if (shape.some((size, at) => size !== facts.shape[at])) {
    throw new Problem(`${name} has ${shape.join(" x ")} voxels, but the case has ${facts.shape.join(" x ")}. Segment the case again.`);
  }
  const Kind = { 2: Uint8Array, 4: Int16Array }[view.getInt16(70, true)];
  const count = shape[0] * shape[1] * shape[2];
  if (!Kind || buffer.byteLength < 352 + count * Kind.BYTES_PER_ELEMENT) throw new Problem(`${name} is damaged or cut short. Segment the case again.`);
  return { data: new Kind(buffer, 352, count), slope: view.getFloat32(112, true) || 1, first: view.getFloat32(116, true) };
}

async function volumeOf(id, address) {
  const place = byId(id);
  const bytes = place ? bytesOf(place.textContent) : await fetched(address);
  if (place) place.remove(); // its text is not needed any more
  const name = address || "The embedded volume";
  return readNifti(await unzipped(bytes, name), name);
}

async function pixelsOf(picture) {
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  return { canvas, data: context.getImageData(0, 0, canvas.width, canvas.height).data };
}

async function greyOf(picture) {
  const { data } = await pixelsOf(picture);
  return new Uint8Array(data.length / 4).map((_, at) => data[4 * at]);
}
