// Paints the mask of a region over the picture.

const TINT = "#f2aa3c";

export class Brush {
  constructor(at) {
    [this.canvas, this.form, this.width, this.erase] = ["brush", "brushes", "width", "erase"].map(at);
    this.pen = this.canvas.getContext("2d");
    this.last = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.stroke(event);
    });
    this.canvas.addEventListener("pointermove", (event) => this.last && this.stroke(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(end, () => { this.last = null; });
    }
    for (const button of this.form.querySelectorAll("[data-shape]")) {
      button.addEventListener("click", () => this.shape(button.dataset.shape));
    }
  }

  get isOpen() { return !this.form.hidden; }

  open(width, height) {
    Object.assign(this.canvas, { width, height });
    this.canvas.hidden = this.form.hidden = false;
    document.body.classList.add("brushing");
    this.form.querySelector("button").focus();
  }

  close() {
    this.canvas.hidden = this.form.hidden = true;
    document.body.classList.remove("brushing");
  }

  stroke(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.canvas;
    const here = [(event.clientX - box.x) / box.width * width, (event.clientY - box.y) / box.height * height];
    const [from, pen] = [this.last ?? here, this.pen];
    pen.globalCompositeOperation = this.erase.checked ? "destination-out" : "source-over";
    Object.assign(pen, { strokeStyle: TINT, lineCap: "round", lineWidth: height * Number(this.width.value) / 100 });
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(here[0] + 0.01, here[1]);
    pen.stroke();
    this.last = here;
  }

  shape(name) {
    const { width: w, height: h } = this.canvas;
    const pen = this.pen;
    pen.globalCompositeOperation = name === "invert" ? "xor" : "source-over";
    pen.fillStyle = TINT;
    if (name !== "invert") pen.clearRect(0, 0, w, h);
    pen.beginPath();
    if (name === "middle") pen.ellipse(w / 2, h / 2, w * 0.28, h * 0.42, 0, 0, 7);
    const box = { left: [0, 0, w / 2, h], right: [w / 2, 0, w / 2, h], top: [0, 0, w, h / 2],
      bottom: [0, h / 2, w, h / 2], invert: [0, 0, w, h] }[name];
    if (box) pen.rect(...box);
    pen.fill();
  }

  // White where it was painted, on black, with soft edges, as a PNG.
  mask() {
    const copy = document.createElement("canvas");
    const { width, height } = this.canvas;
    Object.assign(copy, { width, height });
    const pen = copy.getContext("2d");
    pen.filter = `blur(${Math.round(height / 120)}px)`;
    pen.drawImage(this.canvas, 0, 0);
    pen.filter = "none";
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.globalCompositeOperation = "destination-over";
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, width, height);
    return new Promise((done) => copy.toBlob(done, "image/png"));
  }
}
