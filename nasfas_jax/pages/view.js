// What both pages show: the picture with boxes, the verdict, and the score over time.

export const find = (id) => document.getElementById(id);

const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const WORDS = {
  live: "Live", spoof: "Spoof", unsure: "Unsure", none: "No verdict", wait: "Looking …",
};

/** Color of a verdict; a score without threshold has that of the accent. */
const colorOf = (verdict) => color(verdict || "accent");

/** Draws a picture and the boxes {box, verdict, score, oval} on it; returns the context. */
export function drawPicture(source, width, height, faces) {
  const canvas = find("picture");
  canvas.hidden = false;
  find("hint").hidden = true;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, width, height);
  const unit = Math.max(width, height) / 640;
  context.lineWidth = 3 * unit;
  context.font = `600 ${17 * unit}px system-ui, sans-serif`;
  for (const { box, verdict, score, oval } of faces) {
    if (!box) continue;
    context.strokeStyle = context.fillStyle = colorOf(verdict);
    context.beginPath();
    if (oval) {
      const [x, y, w, h] = box;
      context.ellipse(x + w / 2, y + h / 2, w / 2, h / 2, 0, 0, 7);
    } else {
      context.roundRect(...box, 8 * unit);
    }
    context.stroke();
    if (score == null) continue;
    const text = `${WORDS[verdict] ?? ""} ${score.toFixed(3)}`.trim();
    const high = 24 * unit;
    const top = Math.max(box[1] - high - 4 * unit, 0);
    const left = Math.max(Math.min(box[0], width - context.measureText(text).width - 14 * unit), 0);
    context.beginPath();
    context.roundRect(left, top, context.measureText(text).width + 14 * unit, high, 5 * unit);
    context.fill();
    context.fillStyle = color("card");
    context.fillText(text, left + 7 * unit, top + 17.5 * unit);
  }
  return context;
}

/** Shows a verdict in words, and rows [name, value]. */
export function showVerdict(verdict, rows) {
  const word = find("word");
  word.textContent = WORDS[verdict ?? "none"];
  word.className = `word ${verdict ?? "none"}`;
  const list = find("facts");
  list.replaceChildren(
    ...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
}

export function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

export function say(text) {
  find("message").textContent = text;
}

/** What to think of a score where nothing moves, by the model's input; "" if all is well. */
export const caution = (input) => input === "static" ? ""
  : "Nothing moves here, and the network was trained on moving faces: its score may mean nothing.";

export const number = (value) => (value == null ? "–" : value.toFixed(4));

/** The score over time with the threshold as a dashed line. */
export class Chart {
  constructor(canvas, unit = "s", kept = 600) {
    Object.assign(this, { canvas, unit, kept, points: [], threshold: null });
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Starts anew; without time stamps, positions are numbers of frames. */
  clear(threshold, unit = "s") {
    Object.assign(this, { threshold, unit, points: [] });
    this.draw();
  }

  add(at, score, verdict) {
    this.points.push({ at, score, verdict });
    if (this.points.length > this.kept) this.points.shift();
  }

  draw() {
    const { canvas, points, threshold } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const scale = devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.font = "12px system-ui, sans-serif";
    this.describe();
    const values = points.map((point) => point.score);
    if (threshold != null) values.push(threshold);
    if (!values.length) return;
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low || Math.abs(high) || 1) * 0.15;
    [low, high] = [low - room, high + room];
    const [left, right, top, bottom] = [58, width - 14, 10, height - 26];
    const first = points[0]?.at ?? 0;
    const last = Math.max(points.at(-1)?.at ?? 1, first + 1e-9);
    const x = (at) => points.length < 2 ? (left + right) / 2
      : left + ((at - first) / (last - first)) * (right - left);
    const y = (score) => bottom - ((score - low) / (high - low)) * (bottom - top);
    this.axes(context, { left, right, top, bottom, low, high, first, last, y });
    if (threshold != null) this.line(context, threshold, y, left, right);
    context.strokeStyle = color("accent");
    context.lineWidth = 2;
    context.beginPath();
    points.forEach((point) => context.lineTo(x(point.at), y(point.score)));
    context.stroke();
    for (const point of points.length > 80 ? points.slice(-1) : points) {
      context.fillStyle = colorOf(point.verdict);
      context.beginPath();
      context.arc(x(point.at), y(point.score), 4, 0, 7);
      context.fill();
    }
  }

  axes(context, { left, right, top, bottom, low, high, first, last, y }) {
    const digits = Math.max(1, Math.min(6, 2 - Math.floor(Math.log10(high - low))));
    context.strokeStyle = color("line");
    context.fillStyle = color("soft");
    context.lineWidth = 1;
    context.textAlign = "right";
    for (let i = 0; i <= 3; i++) {
      const value = low + ((high - low) * i) / 3;
      context.beginPath();
      context.moveTo(left, y(value));
      context.lineTo(right, y(value));
      context.stroke();
      context.fillText(value.toFixed(digits), left - 8, y(value) + 4);
    }
    if (this.points.length < 2) return;
    const text = (at) => this.unit === "s" ? `${at.toFixed(1)} s` : `frame ${at}`;
    context.textAlign = "left";
    context.fillText(text(first), left, bottom + 18);
    context.textAlign = "right";
    context.fillText(text(last), right, bottom + 18);
  }

  line(context, threshold, y, left, right) {
    context.strokeStyle = context.fillStyle = color("text");
    context.setLineDash([6, 5]);
    context.beginPath();
    context.moveTo(left, y(threshold));
    context.lineTo(right, y(threshold));
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "left";
    context.fillText("threshold: live above", left + 6, y(threshold) - 6);
  }

  describe() {
    const count = this.points.length;
    const last = count ? `, the last one ${number(this.points.at(-1).score)}` : "";
    const line = this.threshold == null ? "no threshold" : `threshold ${number(this.threshold)}`;
    this.canvas.setAttribute("aria-label", `Score over time: ${count} scores${last}; ${line}.`);
  }
}

/** Calls `use(file)` for a chosen or dropped file, and `toggle()` for the camera button. */
export function listen(use, toggle) {
  const [chooser, stage] = [find("file"), find("stage")];
  chooser.addEventListener("change", () => {
    if (chooser.files[0]) use(chooser.files[0]);
    chooser.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    stage.addEventListener(name, (event) => {
      event.preventDefault();
      stage.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) use(event.dataTransfer.files[0]);
    });
  }
  find("camera").addEventListener("click", toggle);
}

/** The camera as a playing video element. */
export async function openCamera() {
  const video = document.createElement("video");
  const size = { width: { ideal: 640 }, height: { ideal: 480 } };
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: size });
  video.muted = true;
  await video.play();
  return video;
}

export function closeCamera(video) {
  video.srcObject.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

export const nextFrame = (video) =>
  new Promise((done) => video.requestVideoFrameCallback(done));
