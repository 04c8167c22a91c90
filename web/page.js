// Shows the state of the stream as it comes by WebSocket, and asks for changes.
import { Brush } from "./brush.js";
import { MODES, View } from "./video.js";

const at = (id) => document.getElementById(id);
const view = new View(at);
const brush = new Brush(at);
const STILL_S = 5; // as for /health
let state = null;
let talking = null;
let chosen = 0; // the region whose looks are shown

// -- asking --------------------------------------------------------------------------------------

async function send(method, path, body) {
  at("error").textContent = "";
  try {
    const answer = await fetch(path, { method, body, headers: { "X-Stylestream": "1" } });
    const said = await answer.json().catch(() => ({ error: answer.status === 413 ? "that is too large" : `refused (${answer.status})` }));
    if (said.error) at("error").textContent = said.error;
    return answer.ok ? said : null;
  } catch {
    at("error").textContent = "the stream does not answer";
    return null;
  }
}

function ask(words) {
  at("error").textContent = "";
  if (talking?.readyState === WebSocket.OPEN) talking.send(JSON.stringify(words));
  else send("POST", "api", JSON.stringify(words));
}

const region = () => state.regions[Math.min(chosen, state.regions.length - 1)];
const mix = (shares) => ask({ region: region().name, shares, fade_s: Number(at("fade").value) });

function toggle(name) {
  const shares = { ...region().shares };
  if (name in shares) delete shares[name];
  else shares[name] = 1 / Math.max(1, Object.keys(shares).length);
  if (Object.keys(shares).length) mix(shares);
}

// -- showing -------------------------------------------------------------------------------------

function make(tag, about, ...inside) {
  const { data, aria, ...rest } = about;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, data);
  for (const key in aria) made.setAttribute(`aria-${key}`, aria[key]);
  made.append(...inside);
  return made;
}

const spoken = (name) => name.replaceAll("_", " ");

function tile({ name, own }, number) {
  const picture = make("img", { src: `looks/${encodeURIComponent(name)}`, alt: "", loading: "lazy" });
  const show = make("button", { type: "button", className: "look" }, picture, make("span", {}, spoken(name)));
  show.addEventListener("click", (event) => (event.shiftKey ? toggle(name) : mix({ [name]: 1 })));
  if (number < 9) show.setAttribute("aria-keyshortcuts", number + 1);
  const add = make("button", { type: "button", className: "add", title: "Add to the mix", aria: { label: `Mix ${spoken(name)}` } }, "+");
  add.addEventListener("click", () => toggle(name));
  const made = make("div", { className: "tile", data: { name } }, show, add);
  if (own) {
    const away = make("button", { type: "button", className: "away", title: "Take away", aria: { label: `Take ${name} away` } }, "×");
    away.addEventListener("click", () => send("DELETE", `api/looks/${encodeURIComponent(name)}`));
    made.append(away);
  }
  return made;
}

function showLooks() {
  const looks = at("looks");
  const names = state.looks.map((look) => look.name).join("\n");
  if (looks.dataset.names !== names) {
    looks.dataset.names = names;
    const upload = make("input", { type: "file", accept: "image/png,image/jpeg,image/webp" });
    upload.addEventListener("change", () => handIn(upload.files[0]));
    const more = make("label", { className: "tile more", title: "Any picture: its look is had at once" }, make("b", {}, "+"), make("span", {}, "Add a picture"), upload);
    looks.replaceChildren(...state.looks.map(tile), more);
  }
  const { shares } = region();
  for (const made of looks.querySelectorAll("[data-name]")) {
    const share = shares[made.dataset.name] ?? 0;
    made.querySelector(".look").setAttribute("aria-pressed", share > 0);
    const add = made.querySelector(".add");
    add.textContent = share > 0 ? "–" : "+";
    add.hidden = share > 0 && Object.keys(shares).length === 1;
    made.querySelector("span").textContent =
      spoken(made.dataset.name) + (share > 0 && share < 0.995 ? ` ${Math.round(share * 100)} %` : "");
  }
}

function showMix() {
  const { shares } = region();
  const names = Object.keys(shares);
  at("mixing").hidden = names.length < 2;
  const sliders = at("mix");
  if (sliders.dataset.names !== names.join("\n")) {
    sliders.dataset.names = names.join("\n");
    sliders.replaceChildren(...names.map((name) => {
      const slider = make("input", { type: "range", min: 0, max: 100, data: { share: name }, aria: { label: `Share of ${spoken(name)}` } });
      slider.addEventListener("change", () => {
        const wanted = {};
        for (const { dataset, value } of sliders.querySelectorAll("input")) wanted[dataset.share] = Number(value);
        if (Object.values(wanted).some(Boolean)) mix(wanted);
      });
      return make("label", { className: "slide" }, make("span", {}, spoken(name)), slider);
    }));
  }
  for (const slider of sliders.querySelectorAll("input")) {
    if (slider !== document.activeElement) slider.value = 100 * shares[slider.dataset.share];
  }
}

function showRegions() {
  const tabs = state.regions.map(({ name }, i) => {
    const tab = make("button", { type: "button", className: "tab", aria: { pressed: i === chosen } }, i ? `Region ${i}` : "Everywhere");
    tab.addEventListener("click", () => { chosen = i; show(state); });
    if (!i) return tab;
    const away = make("button", { type: "button", className: "away", title: "Take away", aria: { label: `Take region ${i} away` } }, "×");
    away.addEventListener("click", () => { chosen = 0; send("DELETE", `api/regions/${encodeURIComponent(name)}`); });
    return make("span", { className: "tabs" }, tab, away);
  });
  const more = make("button", { type: "button", className: "tab quiet", aria: { keyshortcuts: "p" } }, "+ Region");
  more.addEventListener("click", paintRegion);
  const key = `${chosen} ${state.regions.map((r) => r.name)}`;
  if (at("regions").dataset.key !== key) at("regions").replaceChildren(...tabs, more);
  at("regions").dataset.key = key;
}

function showFigures() {
  const { dropped, reconnects } = state.figures;
  const latency = [50, 95, 99].map((share) => state.figures[`latency_p${share}_ms`]);
  const { flicker_painted: painted, flicker_output: calm } = state.figures;
  at("rate").textContent = state.frames_per_s.toFixed(1);
  at("latency").textContent = latency.includes(undefined) ? "–" : `${latency.map(Math.round).join(" · ")} ms`;
  at("dropped").textContent = dropped ?? "–";
  at("reconnects").textContent = reconnects ?? "–";
  at("flicker").parentElement.hidden = painted === undefined;
  at("flicker").textContent = painted === undefined ? "" : `${painted.toFixed(1)} → ${calm.toFixed(1)}`;
  const words = state.recording ? "recording" : state.frozen ? "frozen" : state.frames ? "live" : "waiting";
  // Else a camera that is gone would look like one before which nothing moves.
  const isStill = state.frames && state.still_s > STILL_S;
  at("state").textContent = isStill ? `no picture for ${Math.floor(state.still_s)} s` : words;
  document.body.dataset.state = isStill ? "still" : words;
}

function show(now) {
  state = now;
  chosen = Math.min(chosen, state.regions.length - 1);
  view.resize(state.width, state.height, state.aspect);
  document.title = `${state.input} · stylestream`;
  showRegions();
  showLooks();
  showMix();
  showFigures();
  if (document.activeElement !== at("strength")) at("strength").value = state.strength;
  at("strength-shown").textContent = Number(at("strength").value).toFixed(2);
  at("keep").checked = state.keep_color;
  at("freeze").setAttribute("aria-pressed", state.frozen);
  const seconds = Math.round(state.recording?.seconds ?? 0);
  at("record").setAttribute("aria-pressed", !!state.recording);
  at("record").querySelector("span").textContent =
    state.recording ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "Record";
  at("record").hidden = !state.may_record;
}

function tell(words) {
  at("said").textContent = words;
  clearTimeout(tell.due);
  tell.due = setTimeout(() => { at("said").textContent = ""; }, 4000);
}

function listen() {
  talking = new WebSocket(new URL("api/live", location.href.replace(/^http/, "ws")));
  talking.onmessage = ({ data }) => {
    const said = JSON.parse(data);
    if (said.error) at("error").textContent = said.error;
    else show(said);
  };
  talking.onclose = () => {
    at("state").textContent = document.body.dataset.state = "away";
    setTimeout(listen, 1500);
  };
}

// -- doing ---------------------------------------------------------------------------------------

async function handIn(file) {
  if (!file) return;
  const name = file.name.replace(/\.[^.]*$/, "");
  const added = await send("POST", `api/looks?name=${encodeURIComponent(name)}`, file);
  if (added) mix({ [added.name]: 1 });
  at("looks").dataset.names = "";
}

async function paintRegion() {
  if (view.mode !== "painting") await compare("painting");
  brush.open(state.width, state.height);
}

async function keepRegion(body) {
  const made = await send("POST", "api/regions", body);
  if (!made) return;
  brush.close();
  chosen = state.regions.length;
  tell("Choose a look for the new region");
}

async function compare(mode) {
  at("compare").querySelector("span").textContent = { painting: "Compare", beside: "Beside", wipe: "Wipe" }[mode];
  at("compare").setAttribute("aria-pressed", mode !== "painting");
  await view.show(mode);
}

async function record() {
  if (!state.may_record) return;
  const done = await send(state.recording ? "DELETE" : "POST", "api/recording");
  if (done?.file) tell(done.error ?? `Recorded: ${done.file}`);
}

function strengthen(value) {
  at("strength").value = value;
  at("strength-shown").textContent = Number(at("strength").value).toFixed(2);
  ask({ strength: Number(at("strength").value), fade_s: 0 });
}

const actions = {
  f: () => ask({ frozen: !state.frozen }),
  b: () => compare(MODES[(MODES.indexOf(view.mode) + 1) % MODES.length]),
  s: () => at("snapshot").click(),
  r: record,
  p: paintRegion,
  c: () => ask({ keep_color: !state.keep_color }),
  w: () => (document.fullscreenElement ? document.exitFullscreen() : at("stage").requestFullscreen?.()),
  "?": () => at("help").showModal(),
  "[": () => strengthen(Number(at("strength").value) - 0.05),
  "]": () => strengthen(Number(at("strength").value) + 0.05),
};
for (const [id, key] of Object.entries({ freeze: "f", compare: "b", record: "r", large: "w", keys: "?" })) {
  at(id).addEventListener("click", () => actions[key]());
}
at("snapshot").addEventListener("click", () => {
  at("snapshot").href = `frame.png?beside=${view.beside}`;
  at("snapshot").download = `stylestream ${new Date().toISOString().slice(0, 19).replace(/[T:]/g, "-")}.png`;
  tell("Snapshot taken");
});
at("strength").addEventListener("input", () => strengthen(at("strength").value));
at("fade").addEventListener("input", () => {
  at("fade-shown").textContent = `${Number(at("fade").value).toFixed(1)} s`;
});
at("keep").addEventListener("change", () => ask({ keep_color: at("keep").checked }));
at("brushes").addEventListener("submit", async (event) => {
  event.preventDefault();
  keepRegion(await brush.mask());
});
at("mask").addEventListener("change", () => at("mask").files[0] && keepRegion(at("mask").files[0]));
at("leave").addEventListener("click", () => brush.close());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && brush.isOpen) return brush.close();
  if (!state || at("help").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=range], [type=checkbox])")) return;
  const digit = event.code.match(/^Digit([1-9])$/);
  const look = digit && state.looks[digit[1] - 1]?.name;
  if (look) return event.shiftKey ? toggle(look) : mix({ [look]: 1 });
  const act = actions[event.key.toLowerCase()];
  if (act && (!event.repeat || "[]".includes(event.key))) act();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  handIn(event.dataTransfer.files[0]);
});
// On a wall nothing but the picture is to be seen: what lies over it goes when nothing moves.
let idle = 0;
for (const sign of ["pointermove", "keydown", "pointerdown"]) {
  document.addEventListener(sign, () => {
    document.body.classList.remove("idle");
    clearTimeout(idle);
    idle = setTimeout(() => document.body.classList.add("idle"), 3000);
  });
}
listen();
view.show(MODES[0]);
