const at = (id) => document.getElementById(id);
const video = at("video");
let shares = {};

async function ask(words) {
  const answer = await fetch("api", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Stylestream": "1" },
    body: JSON.stringify({ fade_s: Number(at("fade").value), ...words }),
  });
  const said = await answer.json();
  at("error").textContent = said.error ?? "";
  if (answer.ok) show(said);
}

function choose(name) {
  const wanted = at("mix").checked ? { ...shares } : {};
  if (wanted[name]) delete wanted[name];
  else wanted[name] = 1;
  for (const key in wanted) wanted[key] = 1;
  if (Object.keys(wanted).length) ask({ shares: wanted });
}

function tile({ name }) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.name = name;
  const picture = document.createElement("img");
  picture.src = `looks/${encodeURIComponent(name)}`;
  picture.alt = "";
  const words = document.createElement("span");
  words.textContent = name;
  button.append(picture, words);
  button.addEventListener("click", () => choose(name));
  return button;
}

function show(state) {
  const looks = at("looks");
  const known = new Set([...looks.children].map((tile) => tile.dataset.name));
  looks.append(...state.looks.filter((look) => !known.has(look.name)).map(tile));
  shares = {};
  for (const { name, share } of state.looks) {
    if (share > 0) shares[name] = share;
    const button = [...looks.children].find((tile) => tile.dataset.name === name);
    button.setAttribute("aria-pressed", share > 0);
    button.querySelector("span").textContent =
      share > 0 && share < 0.995 ? `${name} ${Math.round(share * 100)} %` : name;
  }
  if (document.activeElement !== at("strength")) at("strength").value = state.strength;
  at("strength-shown").textContent = Number(at("strength").value).toFixed(2);
  at("keep").checked = state.keep_color;
  at("figures").textContent = `frame ${state.frames}, ${state.frames_per_s} frames/s`;
}

async function refresh() {
  try {
    const answer = await fetch("api");
    show(await answer.json());
  } catch {
    at("figures").textContent = "the stream has ended";
  }
}

function freeze() {
  const frozen = at("freeze").getAttribute("aria-pressed") !== "true";
  at("freeze").setAttribute("aria-pressed", frozen);
  video.src = frozen ? `frame.png?${Date.now()}` : "video";
}

at("strength").addEventListener("input", () => {
  at("strength-shown").textContent = Number(at("strength").value).toFixed(2);
});
at("strength").addEventListener("change", () => ask({ strength: Number(at("strength").value) }));
at("fade").addEventListener("input", () => {
  at("fade-shown").textContent = `${Number(at("fade").value).toFixed(1)} s`;
});
at("keep").addEventListener("change", () => ask({ keep_color: at("keep").checked }));
at("freeze").addEventListener("click", freeze);
at("large").addEventListener("click", () => video.requestFullscreen?.());
at("upload").addEventListener("change", async () => {
  const [file] = at("upload").files;
  if (!file) return;
  const name = file.name.replace(/\.[^.]*$/, "");
  const answer = await fetch(`api/looks?name=${encodeURIComponent(name)}`, {
    method: "POST",
    headers: { "X-Stylestream": "1" },
    body: file,
  });
  const said = await answer.json().catch(() => ({ error: "the picture is too large" }));
  at("error").textContent = said.error ?? "";
  if (answer.ok) {
    await refresh();
    choose(said.name);
  }
  at("upload").value = "";
});
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey) return;
  if (event.key.toLowerCase() === "f") freeze();
  const button = at("looks").children[Number(event.key) - 1];
  if (button && /^[1-9]$/.test(event.key)) choose(button.dataset.name);
});
refresh();
setInterval(refresh, 1000);
