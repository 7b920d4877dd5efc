import { ask, countClasses, drawClasses, drawDifference, drawPeople, infer, peopleOf, sizeOf } from "/page/draw.js";

const by = (id) => document.getElementById(id);
const models = new Map();
const pictures = [];
const hidden = new Set();
let current = null;
let shown = null;
let turn = 0;

function say(text, isWrong = false) {
  by("status").textContent = text;
  by("status").classList.toggle("wrong", isWrong);
}

function element(kind, text, className) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function loadModels() {
  const token = by("token").value;
  try {
    const index = await (await ask("/v2/repository/index", { method: "POST", body: "{}" }, token)).json();
    for (const { name, version } of index) {
      const told = await (await ask(`/v2/models/${name}/versions/${version}`, {}, token)).json();
      models.set(`${name}:${version}`, told);
    }
  } catch (error) {
    by("token-row").hidden = error.status !== 401 && !token;
    say(error.status === 401 ? "This server asks for a token." : error.message, true);
    return;
  }
  if (!models.size) {
    say("No model is served yet. Load this page again later.", true);
    return;
  }
  by("model").replaceChildren();
  by("other").replaceChildren(new Option("–", ""));
  for (const [key, { parameters }] of models) {
    const text = `${key} · ${parameters.backend} ${parameters.precision}`;
    by("model").add(new Option(text, key));
    by("other").add(new Option(text, key));
  }
  hideBackground();
  say(`${models.size} model${models.size === 1 ? "" : "s"} ready. Drop a picture.`);
  await show();
}

async function add(files) {
  for (const file of files) {
    const picture = { file, results: new Map(), bitmap: null };
    const button = element("button");
    button.type = "button";
    button.setAttribute("role", "option");
    button.setAttribute("aria-label", file.name || "pasted picture");
    button.title = file.name;
    button.addEventListener("click", () => select(picture));
    picture.button = button;
    by("pictures").append(button);
    pictures.push(picture);
    // What a browser cannot show, as TIFF, the server may read all the same.
    const isUpright = [...models.values()].every((each) => each.parameters.is_upright);
    picture.bitmap = await createImageBitmap(file, { imageOrientation: isUpright ? "from-image" : "none" }).catch(() => null);
    const small = element("canvas");
    small.width = small.height = 64;
    if (picture.bitmap) small.getContext("2d").drawImage(picture.bitmap, 0, 0, 64, 64);
    button.append(small);
  }
  if (files.length) await select(pictures[pictures.length - files.length]);
}

async function select(picture) {
  current = picture;
  for (const each of pictures) each.button.setAttribute("aria-selected", String(each === picture));
  await show();
}

async function resultOf(picture, key) {
  if (!picture.results.has(key)) {
    const file = await picture.file.arrayBuffer();
    picture.results.set(key, await infer(models.get(key), file, by("token").value));
  }
  return picture.results.get(key);
}

// The background is not drawn over unless it is asked for.
function hideBackground() {
  hidden.clear();
  const place = models.get(by("model").value).parameters.labels.indexOf("background");
  if (place >= 0) hidden.add(place);
}

async function show() {
  if (!current || !models.size) return;
  const mine = ++turn;
  const keys = [by("model").value, by("other").value].filter(Boolean);
  say(`${current.file.name || "picture"} …`);
  // What is shown is of another picture or model until the answer is there.
  by("save-png").disabled = by("save-json").disabled = true;
  try {
    const results = [];
    for (const key of keys) results.push(await resultOf(current, key));
    if (mine !== turn) return;
    shown = { keys, results };
    await draw();
    say(`${current.file.name || "picture"}: ${results.map((each) => `${each.total_ms.toFixed(0)} ms`).join(" and ")}`);
  } catch (error) {
    if (mine !== turn) return;
    shown = null;
    by("stage").hidden = true;
    by("legend").replaceChildren();
    by("times").replaceChildren();
    by("save-png").disabled = by("save-json").disabled = true;
    say(error.message, true);
  }
}

async function draw() {
  const { keys, results } = shown;
  const base = by("picture");
  const drawing = results[0].overlay_png && (await createImageBitmap(new Blob([results[0].overlay_png.data])));
  const size = sizeOf(results[0]) || drawing || current.bitmap;
  base.width = size.width;
  base.height = size.height;
  const context = base.getContext("2d");
  const background = drawing || current.bitmap;
  if (background) context.drawImage(background, 0, 0, size.width, size.height);
  const both = results.length === 2;
  const isClasses = both && results.every((each) => each.class_id);
  by("ways").hidden = !isClasses;
  const way = isClasses ? document.querySelector("input[name=way]:checked").value : "slider";
  over(by("left"), 0, size);
  if (both) over(by("right"), 1, size);
  const differ = isClasses ? differing(way) : null;
  by("right").hidden = !both || way === "difference";
  by("edge").hidden = by("slide-row").hidden = !both || way === "difference";
  by("slide-names").textContent = both ? `${keys[0]} | ${keys[1]}` : "";
  by("stage").hidden = false;
  by("save-png").disabled = by("save-json").disabled = false;
  slide();
  fade();
  legend(differ);
  times();
}

function over(canvas, number, size) {
  const result = shown.results[number];
  const { parameters } = models.get(shown.keys[number]);
  if (result.class_id) drawClasses(canvas, result, parameters.palette, hidden);
  else if (result.people) drawPeople(canvas, result, parameters.limbs || [], size, number === 1);
  else canvas.width = canvas.height = 1;
}

function differing(way) {
  const [left, right] = shown.results;
  const canvas = way === "difference" ? by("left") : element("canvas");
  return { count: drawDifference(canvas, left, right), all: left.class_id.data.length };
}

function slide() {
  const percent = by("slide").value;
  const isCut = !by("right").hidden;
  by("left").style.clipPath = isCut ? `inset(0 ${100 - percent}% 0 0)` : "";
  by("right").style.clipPath = isCut ? `inset(0 0 0 ${percent}%)` : "";
  by("edge").style.left = `${percent}%`;
}

function fade() {
  const people = shown && shown.results[0].people;
  for (const id of ["left", "right"]) by(id).style.opacity = people ? 1 : by("opacity").value / 100;
}

function legend(differ) {
  const rows = element("table");
  const result = shown.results[0];
  const { parameters } = models.get(shown.keys[0]);
  if (result.class_id) {
    const counts = [...countClasses(result)].sort((one, other) => other[1] - one[1]);
    for (const [number, count] of counts) {
      const row = rows.insertRow();
      const label = element("label", undefined, "inline");
      const box = element("input");
      box.type = "checkbox";
      box.checked = !hidden.has(number);
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(number);
        else hidden.add(number);
        if (shown.results.length === 2 && by("right").hidden) return;
        shown.results.forEach((_, place) => over(by(place ? "right" : "left"), place, sizeOf(result)));
      });
      const swatch = element("span", undefined, "swatch");
      swatch.style.backgroundColor = `rgb(${(parameters.palette[number] || [255, 255, 255]).join(",")})`;
      label.append(box, " ", swatch, ` ${parameters.labels[number] ?? number}`);
      row.insertCell().append(label);
      const share = element("td", `${((100 * count) / result.class_id.data.length).toFixed(1)} %`, "number");
      row.append(share);
    }
  } else if (result.people) {
    const found = shown.results.filter((each) => each.people).map((each) => peopleOf(each).length);
    rows.insertRow().insertCell().textContent = `people: ${found.join(" and ")}`;
  }
  by("legend").replaceChildren(element("h2", "Found"), rows);
  if (differ) {
    const text = differ.count < 0 ? "of several sizes" : `${differ.count} of ${differ.all} pixels differ (${((100 * differ.count) / differ.all).toFixed(2)} %)`;
    by("legend").append(element("p", text, "differ"));
  }
}

function times() {
  const rows = element("table");
  const head = rows.insertRow();
  head.append(element("th", "stage, ms"), ...shown.keys.map((key) => element("th", key, "number")));
  const names = [...new Set(shown.results.flatMap((each) => each.stages.map((stage) => stage.name)))];
  for (const name of names) {
    const row = rows.insertRow();
    row.append(element("td", name));
    for (const result of shown.results) {
      const stage = result.stages.find((each) => each.name === name);
      row.append(element("td", stage ? stage.ms.toFixed(1) : "", "number"));
    }
  }
  by("times").replaceChildren(element("h2", "Times"), rows);
}

function save(blob, ending) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${(current.file.name || "picture").replace(/\.[^.]*$/, "")}${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function savePng() {
  const whole = element("canvas");
  whole.width = by("picture").width;
  whole.height = by("picture").height;
  const context = whole.getContext("2d");
  context.drawImage(by("picture"), 0, 0);
  context.globalAlpha = Number(by("left").style.opacity);
  const edge = by("right").hidden ? 1 : by("slide").value / 100;
  const cut = (canvas, from, to) => {
    const left = Math.round(from * whole.width);
    const width = Math.round(to * whole.width) - left;
    if (width > 0) context.drawImage(canvas, left, 0, width, whole.height, left, 0, width, whole.height);
  };
  if (by("left").width === whole.width) cut(by("left"), 0, edge);
  if (!by("right").hidden) cut(by("right"), edge, 1);
  whole.toBlob((blob) => save(blob, "_densecast.png"));
}

async function saveJson() {
  const { name, parameters } = models.get(shown.keys[0]);
  const path = `/predict/${name}/versions/${parameters.version}`;
  try {
    const options = { method: "POST", headers: { Accept: "application/json", "Content-Type": "application/octet-stream" }, body: current.file };
    save(await (await ask(path, options, by("token").value)).blob(), ".json");
  } catch (error) {
    say(error.message, true);
  }
}

function pointed(event) {
  if (!shown || !shown.results[0].class_id) return;
  const box = by("stage").getBoundingClientRect();
  const { height, width } = sizeOf(shown.results[0]);
  const x = Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)));
  const y = Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)));
  const words = shown.results.map((each, number) => {
    const size = each.class_id && sizeOf(each);
    if (!size || size.width !== width || size.height !== height) return "–";
    const found = each.class_id.data[y * width + x];
    return models.get(shown.keys[number]).parameters.labels[found] ?? found;
  });
  by("pointed").textContent = `${x}, ${y}: ${words.join(" | ")}`;
}

const drop = by("drop");
by("files").addEventListener("change", (event) => {
  add([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  add([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
by("model").addEventListener("change", () => {
  hideBackground();
  show();
});
by("other").addEventListener("change", show);
by("slide").addEventListener("input", slide);
by("opacity").addEventListener("input", fade);
by("token").addEventListener("change", loadModels);
for (const each of document.querySelectorAll("input[name=way]")) each.addEventListener("change", draw);
by("save-png").addEventListener("click", savePng);
by("save-json").addEventListener("click", saveJson);
by("stage").addEventListener("pointermove", pointed);
loadModels();
