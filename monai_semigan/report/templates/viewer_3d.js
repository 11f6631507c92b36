// The volume in 3-D by NiiVue, from a coarse copy: at once with a GPU; without one, where it takes seconds, when it is asked for.

let scene = null; // a promise of NiiVue

async function start3d() {
  const canvas = byId("canvas-3d");
  if (!canvas.ownerDocument.createElement("canvas").getContext("webgl2")) throw new Problem("3-D needs WebGL 2, which this browser does not offer.");
  const code = new TextDecoder().decode(await unzipped(bytesOf(byId("niivue").textContent), "The 3-D program"));
  byId("niivue").remove();
  // The policy of the page lets no script run but those whose digest it names: this one is NiiVue as it was released, or nothing.
  document.body.append(Object.assign(document.createElement("script"), { textContent: code }));
  if (typeof niivue === "undefined") throw new Problem("The 3-D program of this page has been changed, and was not started.");
  const view = new niivue.Niivue({ backColor: [0, 0, 0, 1], isRadiologicalConvention: true, crosshairWidth: 0, show3Dcrosshair: false, isColorbar: false, isOrientCube: true, dragAndDropEnabled: false, viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", logLevel: "silent", loadingText: "" });
  await view.attachToCanvas(canvas);
  view.setSliceType(view.sliceTypeRender);
  const read = (id, name, opacity) => niivue.NVImage.loadFromBase64({ base64: byId(id).textContent.trim(), name, opacity });
  const body = await read("data-image-3d", "image.nii.gz", 1);
  [body.cal_min, body.cal_max] = [facts.windows[0].low, facts.windows[0].high];
  const organ = await read("data-label-3d", "label.nii.gz", 1);
  const ids = colors.map((_, at) => at);
  const channel = (at) => colors.map((color) => (color ? color[at] : 0));
  organ.setColormapLabel({ R: channel(0), G: channel(1), B: channel(2), A: ids.map((id) => (id ? 255 : 0)), I: ids, labels: ids.map(String) });
  view.addVolume(body);
  view.addVolume(organ);
  view.setOpacity(0, Number(byId("body-3d").value) / 100);
  view.setRenderAzimuthElevation(200, 15);
  view.setScale(1.4);
  byId("body-3d").addEventListener("input", (event) => view.setOpacity(0, Number(event.target.value) / 100));
  canvas.dataset.ready = "yes";
  return view;
}

function hasGpu() {
  const context = document.createElement("canvas").getContext("webgl2");
  const known = context && context.getExtension("WEBGL_debug_renderer_info");
  return Boolean(known) && !/swiftshader|llvmpipe|software|basic render/i.test(context.getParameter(known.UNMASKED_RENDERER_WEBGL));
}

function show3d(now) {
  if (scene || byId("panel-3d").hidden || (now.view !== "3d" && !hasGpu())) return;
  begin3d();
}

function begin3d() {
  byId("start-3d").hidden = true;
  scene = new Promise((resolve) => setTimeout(resolve, 100)).then(start3d).catch((error) => {
    byId("problem-3d").textContent = error instanceof Problem ? error.message : "3-D cannot be shown in this browser.";
    byId("problem-3d").hidden = false;
  });
}

byId("start-3d").addEventListener("click", begin3d);
