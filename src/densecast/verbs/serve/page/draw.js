// Asks the server in its binary protocol, and draws what it answers. No dependency, no build step.

const ARRAYS = { UINT8: Uint8Array, UINT16: Uint16Array, FP32: Float32Array, INT64: BigInt64Array };
const LENGTH = "Inference-Header-Content-Length";
const PEOPLE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442"];

export async function ask(path, options, token) {
  const headers = { ...(options.headers || {}) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(path, { ...options, headers });
  if (!reply.ok) {
    const told = await reply.json().catch(() => ({}));
    const error = new Error(told.error || `the server answered ${reply.status}`);
    error.status = reply.status;
    throw error;
  }
  return reply;
}

// What a model is asked for, by its task: exact classes and joints, else the server's own drawing.
function wanted(model) {
  const names = model.outputs.map((each) => each.name);
  if (names.includes("class_id")) return ["class_id"];
  if (names.includes("people")) return ["people"];
  return ["overlay_png"];
}

export async function infer(model, file, token) {
  const inputs = [{ name: "image", datatype: "BYTES", shape: [1], parameters: { binary_data_size: file.byteLength + 4 } }];
  const outputs = wanted(model).map((name) => ({ name, parameters: { binary_data: true } }));
  const head = new TextEncoder().encode(JSON.stringify({ inputs, outputs }));
  const size = new DataView(new ArrayBuffer(4));
  size.setUint32(0, file.byteLength, true);
  const path = `/v2/models/${model.name}/versions/${model.parameters.version}/infer`;
  const start = performance.now();
  const reply = await ask(path, { method: "POST", headers: { [LENGTH]: String(head.length) }, body: new Blob([head, size, file]) }, token);
  const body = await reply.arrayBuffer();
  const result = { total_ms: performance.now() - start, stages: stages(reply.headers.get("Server-Timing")) };
  const length = Number(reply.headers.get(LENGTH));
  let place = length;
  for (const each of JSON.parse(new TextDecoder().decode(body.slice(0, length))).outputs) {
    const bytes = body.slice(place, place + each.parameters.binary_data_size);
    place += bytes.byteLength;
    const data = each.datatype === "BYTES" ? bytes.slice(4) : new ARRAYS[each.datatype](bytes);
    result[each.name] = { shape: each.shape, data };
  }
  return result;
}

function stages(header) {
  return (header || "").split(",").filter(Boolean).map((each) => {
    const [name, duration] = each.trim().split(";dur=");
    return { name, ms: Number(duration) };
  });
}

// The size of the picture that a result is about; null where only a drawing came.
export function sizeOf(result) {
  return result.class_id ? { height: result.class_id.shape[1], width: result.class_id.shape[2] } : null;
}

export function countClasses(result) {
  const counts = new Map();
  for (const number of result.class_id.data) counts.set(number, (counts.get(number) || 0) + 1);
  return counts;
}

export function drawClasses(canvas, result, palette, hidden) {
  const { height, width } = sizeOf(result);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = new Map();
  const data = result.class_id.data;
  for (let place = 0; place < data.length; place++) {
    const number = data[place];
    let colour = colours.get(number);
    if (colour === undefined) {
      const [red, green, blue] = palette[number] || [255, 255, 255];
      colour = hidden.has(number) ? 0 : ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      colours.set(number, colour);
    }
    pixels[place] = colour;
  }
  context.putImageData(image, 0, 0);
}

// Differing pixels in magenta over nothing; returns how many there are, or -1 where sizes differ.
export function drawDifference(canvas, left, right) {
  const { height, width } = sizeOf(left);
  if (left.class_id.data.length !== right.class_id.data.length) return -1;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  let count = 0;
  for (let place = 0; place < pixels.length; place++) {
    if (left.class_id.data[place] !== right.class_id.data[place]) {
      pixels[place] = 0xffff00ff;
      count++;
    }
  }
  context.putImageData(image, 0, 0);
  return count;
}

export function peopleOf(result) {
  const [count, joints] = result.people.shape;
  const data = result.people.data;
  return Array.from({ length: count }, (_, person) =>
    Array.from({ length: joints }, (_, joint) => {
      const place = (person * joints + joint) * 3;
      return { x: data[place], y: data[place + 1], score: data[place + 2] };
    }));
}

export function drawPeople(canvas, result, limbs, size, dashed) {
  canvas.width = size.width;
  canvas.height = size.height;
  const context = canvas.getContext("2d");
  context.lineWidth = Math.max(2, Math.min(size.width, size.height) / 150);
  context.setLineDash(dashed ? [3 * context.lineWidth, 2 * context.lineWidth] : []);
  peopleOf(result).forEach((joints, number) => {
    context.strokeStyle = context.fillStyle = PEOPLE[number % PEOPLE.length];
    for (const [from, to] of limbs) {
      if (!(joints[from]?.score > 0 && joints[to]?.score > 0)) continue;
      context.beginPath();
      context.moveTo(joints[from].x, joints[from].y);
      context.lineTo(joints[to].x, joints[to].y);
      context.stroke();
    }
    for (const joint of joints) {
      if (!(joint.score > 0)) continue;
      context.beginPath();
      context.arc(joint.x, joint.y, 1.5 * context.lineWidth, 0, 7);
      context.fill();
    }
  });
}
