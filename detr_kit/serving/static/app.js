// The demo page. All detections above a low floor come once; the slider only chooses among them.

const FLOOR = 0.05;
const element = (id) => document.getElementById(id);
const [stage, drop, file, picture, image, boxes, busy] =
  ["stage", "drop", "file", "picture", "image", "boxes", "busy"].map(element);
const [slider, value, status, list, download, explanation] =
  ["threshold", "value", "status", "list", "download", "explanation"].map(element);

let model = null; // GET /model
let shown = null; // { file, result, pictures }: the image on the stage
let chosen = null; // the detection that is explained
let running = new AbortController(); // what another image makes pointless

start().catch(complain);

async function start() {
  model = await (await request("/model")).json();
  const names = model.classes.map((known) => known.name);
  element("model").textContent = `${model.name} · ${names.length} classes`;
  element("model").title = names.join(", ");
  const types = model.types.map((type) => type.replace("image/", "").toUpperCase()).join(", ");
  element("limits").textContent = `${types}, up to ${megabytes(model.max_bytes)}`;
  file.accept = model.types.join(",");
  for (const [number, url] of (await (await request("/samples")).json()).entries()) {
    const button = document.createElement("button");
    const thumbnail = document.createElement("img");
    Object.assign(thumbnail, { src: url, alt: `Sample ${number + 1}` });
    Object.assign(button, { type: "button", title: `Try sample ${number + 1}` });
    button.append(thumbnail);
    button.addEventListener("click", () => attempt(async () => {
      const blob = await (await request(url)).blob();
      await detect(new File([blob], `sample_${number + 1}.png`, { type: blob.type }));
    }));
    element("samples").append(button);
  }
}

file.addEventListener("change", () => {
  if (file.files.length) attempt(() => detect(file.files[0]));
});
element("another").addEventListener("click", () => { file.value = ""; file.click(); });
for (const type of ["dragover", "dragleave", "drop"]) {
  // The whole page takes the file: beside the stage the browser would open it instead.
  document.addEventListener(type, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", type === "dragover");
    const files = type === "drop" ? event.dataTransfer.files : [];
    if (files.length) attempt(() => detect(files[0]));
  });
}
slider.addEventListener("input", draw);
download.addEventListener("click", save);

async function detect(chosenFile) {
  if (!model.types.includes(chosenFile.type)) {
    throw new Error(`${chosenFile.name} is no image of a type taken here: ${element("limits").textContent}.`);
  }
  if (chosenFile.size > model.max_bytes) {
    throw new Error(`${chosenFile.name} has ${megabytes(chosenFile.size)}, the limit is ${megabytes(model.max_bytes)}.`);
  }
  running.abort();
  running = new AbortController();
  busy.hidden = false;
  try {
    const answer = await request(`/detect?score_threshold=${FLOOR}`, chosenFile);
    shown = { file: chosenFile, result: await answer.json(), pictures: new Map() };
  } finally {
    busy.hidden = true;
  }
  await show();
}

async function show() {
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(shown.file);
  image.alt = `${shown.file.name}, with the objects found in it`;
  const { width, height } = shown.result;
  picture.style.aspectRatio = `${width} / ${height}`;
  picture.style.width = `min(100%, calc(68vh * ${width / height}))`;
  await image.decode();
  drop.hidden = true;
  picture.hidden = element("another").hidden = false;
  chosen = null;
  explanation.hidden = true;
  draw();
}

function visible() {
  return shown ? shown.result.detections.filter((found) => found.score >= slider.valueAsNumber) : [];
}

function draw() {
  value.textContent = slider.valueAsNumber.toFixed(2);
  const found = visible();
  // The large below the small, so that each can be clicked; of equal ones the best on top.
  const area = ({ box: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
  boxes.replaceChildren(...[...found].reverse().sort((a, b) => area(b) - area(a)).map(boxOf));
  list.replaceChildren(...found.map(rowOf));
  download.disabled = !shown;
  if (shown) {
    const hint = model.explains && found.length ? " Click one to see where the model looked." : "";
    status.textContent = `${found.length} of ${shown.result.detections.length} candidates shown.${hint}`;
  }
}

function boxOf(found) {
  const { width, height } = shown.result;
  const [x0, y0, x1, y1] = found.box;
  const button = buttonOf(found, "box");
  const percent = (part, whole) => `${(100 * part) / whole}%`;
  Object.assign(button.style, {
    left: percent(x0, width), top: percent(y0, height),
    width: percent(x1 - x0, width), height: percent(y1 - y0, height),
  });
  button.classList.toggle("low", y0 < 0.06 * height); // no room for the label above
  button.classList.toggle("right", x0 > 0.65 * width);
  button.tabIndex = -1; // the list is the way of the keyboard
  const label = document.createElement("span");
  label.textContent = `${found.class_name} ${found.score.toFixed(2)}`;
  button.append(label);
  return button;
}

function rowOf(found) {
  const row = document.createElement("li");
  const button = buttonOf(found);
  const [swatch, name, score] = ["i", "b", "output"].map((tag) => document.createElement(tag));
  name.textContent = found.class_name;
  score.textContent = found.score.toFixed(2);
  button.append(swatch, name, score);
  row.append(button);
  return row;
}

function buttonOf(found, className = "") {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className, title: `${found.class_name} ${found.score.toFixed(3)}` });
  const { colour } = model.classes[found.label];
  const [red, green, blue] = colour.match(/\d+/g).map(Number);
  button.style.setProperty("--colour", colour);
  button.style.setProperty("--on-colour", 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff");
  button.classList.toggle("chosen", found === chosen);
  button.addEventListener("click", () => attempt(() => explain(found)));
  return button;
}

async function explain(found) {
  const focused = document.activeElement?.closest("#list") && visible().indexOf(found);
  chosen = found;
  draw();
  if (Number.isInteger(focused)) list.children[focused].firstChild.focus(); // drawn anew
  if (!model.explains) return;
  const { pictures, file: source } = shown;
  const number = shown.result.detections.indexOf(found);
  if (!pictures.has(number)) {
    busy.hidden = false;
    try {
      const answer = await request(`/explain?detection=${number}`, source);
      pictures.set(number, URL.createObjectURL(await answer.blob()));
    } finally {
      busy.hidden = true;
    }
  }
  if (chosen !== found) return; // another was clicked meanwhile
  const caption = `Where the model looked for this ${found.class_name} (score ${found.score.toFixed(2)})`;
  explanation.querySelector("figcaption").textContent = caption;
  Object.assign(explanation.querySelector("img"), { src: pictures.get(number), alt: caption });
  explanation.querySelector("a").href = pictures.get(number);
  explanation.hidden = false;
  await explanation.querySelector("img").decode();
  explanation.scrollIntoView({ block: "nearest" });
}

function save() {
  const content = { file: shown.file.name, score_threshold: slider.valueAsNumber, ...shown.result, detections: visible() };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 2)], { type: "application/json" }));
  link.download = `${shown.file.name.replace(/\.[^.]*$/, "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// GET, or POST where there is a body; an error's message is what the server said.
async function request(url, body) {
  let answer;
  try {
    answer = await fetch(url, body ? { method: "POST", body, signal: running.signal } : {});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is detr-kit demo still running?");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => null);
  throw new Error(problem?.error?.message ?? `The server answered with status ${answer.status}.`);
}

async function attempt(action) {
  element("alert").hidden = true;
  try {
    await action();
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
  }
}

function complain(error) {
  element("alert").textContent = error.message;
  element("alert").hidden = false;
}

function megabytes(bytes) {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} kB` : `${(bytes / 2 ** 20).toFixed(0)} MB`;
}
