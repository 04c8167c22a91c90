// The picture: by WebRTC where that connects, else as MJPEG; alone, beside the input, or wiped over it.

const PATIENCE_MS = 5000;
const AGAIN_MS = 2000;
export const MODES = ["painting", "beside", "wipe"];

export class View {
  constructor(at) {
    [this.video, this.mjpeg, this.wipe, this.divide, this.frame, this.sides] = [
      "video", "mjpeg", "wipe", "divide", "frame", "sides"].map(at);
    this.mode = MODES[0];
    this.size = [16, 9, 1];
    this.turn = 0;
    this.divide.addEventListener("input", () => this.draw());
  }

  get beside() { return this.mode === "painting" ? 0 : 1; }
  get source() { return this.video.hidden ? this.mjpeg : this.video; }

  resize(width, height, aspect) {
    this.size = [width, height, aspect];
    const wide = this.mode === "beside" ? 2 : 1;
    this.frame.style.setProperty("--w", width * aspect * wide);
    this.frame.style.setProperty("--h", height);
  }

  async show(mode) {
    const again = !this.turn || (mode === "painting") !== (this.mode === "painting");
    this.mode = mode;
    this.resize(...this.size);
    this.wipe.hidden = this.divide.hidden = mode !== "wipe";
    this.sides.hidden = mode === "painting";
    if (again) await this.connect();
    this.draw();
  }

  async connect() {
    const turn = ++this.turn;
    this.peer?.close();
    const peer = location.hash === "#mjpeg" || !window.RTCPeerConnection ? null : await this.call(turn);
    if (turn !== this.turn) return peer?.close();
    this.peer = peer;
    this.video.hidden = !peer;
    this.mjpeg.hidden = !!peer;
    if (peer) {
      this.mjpeg.removeAttribute("src");
    } else {
      this.mjpeg.src = `video?beside=${this.beside}&${turn}`;
      this.mjpeg.onerror = () => this.later(turn);
    }
    document.body.dataset.video = peer ? "webrtc" : "mjpeg";
  }

  later(turn) {
    setTimeout(() => turn === this.turn && this.connect(), AGAIN_MS);
  }

  // A connection whose first frame has been seen, or null.
  async call(turn) {
    const peer = new RTCPeerConnection();
    try {
      peer.addTransceiver("video", { direction: "recvonly" });
      const stream = new Promise((ready) => { peer.ontrack = ({ track }) => ready(new MediaStream([track])); });
      await peer.setLocalDescription(await peer.createOffer());
      await within(new Promise((done) => {
        const look = () => peer.iceGatheringState === "complete" && done();
        peer.addEventListener("icegatheringstatechange", look);
        look();
      }), 1000).catch(() => {});
      const { type, sdp } = peer.localDescription;
      const answer = await fetch(`api/offer?beside=${this.beside}`, {
        method: "POST", headers: { "X-Stylestream": "1" }, body: JSON.stringify({ type, sdp }) });
      if (!answer.ok) throw new Error(answer.status);
      await peer.setRemoteDescription(await answer.json());
      const coming = await stream;
      const first = new Promise((seen) => {
        this.video.addEventListener("loadeddata", seen, { once: true });
      });
      this.video.srcObject = coming;
      await within(first, PATIENCE_MS);
      peer.onconnectionstatechange = () => {
        if (["failed", "disconnected", "closed"].includes(peer.connectionState)) this.later(turn);
      };
      return peer;
    } catch {
      peer.close();
      return null;
    }
  }

  draw() {
    if (this.mode !== "wipe") return;
    const [width, height] = this.size;
    const source = this.source;
    const wide = (source.videoWidth || source.naturalWidth || 0) / 2;
    const high = source.videoHeight || source.naturalHeight || 0;
    if (wide) {
      Object.assign(this.wipe, { width, height });
      const at = Number(this.divide.value) / 100;
      const pen = this.wipe.getContext("2d");
      pen.drawImage(source, wide, 0, wide, high, 0, 0, width, height);
      pen.drawImage(source, 0, 0, wide * at, high, 0, 0, width * at, height);
      this.frame.style.setProperty("--at", at);
    }
    cancelAnimationFrame(this.due);
    this.due = requestAnimationFrame(() => this.draw());
  }
}

function within(promise, limit) {
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error("late")), limit));
  return Promise.race([promise, late]);
}
