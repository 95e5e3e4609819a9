// The page without a server: the camera or a file, scored in this browser.
import { Remote } from "./remote.js";
import {
  Chart, caution, closeCamera, drawPicture, find, listen, nextFrame, number, openCamera, say,
  showVerdict,
} from "./view.js";

const RECENT = 30; // frames whose rate is shown
const LARGEST = 64e6; // pixels of a picture
const chart = new Chart(find("chart"));
const scorer = new Remote();
const loading = scorer.call("about");
let camera = null;
let task = 0; // older loops end

/** Copies of a picture, or of the current frame of a video; two are kept. */
const copied = (() => {
  const canvases = [0, 1].map(() => document.createElement("canvas"));
  return (source, width, height) => {
    canvases.reverse();
    const [canvas] = canvases;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(source, 0, 0);
    return { image: context.getImageData(0, 0, width, height), canvas };
  };
})();

async function useFile(file) {
  stopCamera();
  const own = ++task;
  say("");
  showVerdict("wait", [["File", file.name]]);
  const { width, height } = await sizeOf(file);
  if (width * height > LARGEST) {
    showVerdict(null, [["File", file.name]]);
    return say(`expected at most ${LARGEST / 1e6} million pixels, got ${width} x ${height}.`);
  }
  const picture = width && (await createImageBitmap(file).catch(() => null));
  if (picture) return usePicture(file, picture, own);
  const video = document.createElement("video");
  video.muted = true;
  video.src = URL.createObjectURL(file);
  try {
    await video.play();
  } catch {
    showVerdict(null, [["File", file.name]]);
    return say("expected a picture or a video that this browser can show, got another file.");
  }
  const scores = await watch(video, own, () => video.ended);
  URL.revokeObjectURL(video.src);
  if (own !== task || scores) return;
  showVerdict(null, [["File", file.name]]);
  say(`no score in ${file.name}: it shows no face, or too few frames.`);
}

/** Size of a picture by its header, before it is decoded; zeros for other files. */
async function sizeOf(file) {
  const picture = new Image();
  picture.src = URL.createObjectURL(file);
  await new Promise((done) => Object.assign(picture, { onload: done, onerror: done }));
  URL.revokeObjectURL(picture.src);
  return { width: picture.naturalWidth, height: picture.naturalHeight };
}

async function usePicture(file, picture, own) {
  const about = await loading;
  const { image, canvas } = copied(picture, picture.width, picture.height);
  const found = await scorer.call("picture", image);
  if (own !== task) return;
  chart.clear(about.threshold, "frame");
  if (found.score !== null) chart.add(0, found.score, found.verdict);
  chart.draw();
  show(about, canvas, found, [["File", file.name]]);
  if (found.box !== null) return say(caution(about.input));
  showVerdict(null, [["File", file.name]]);
  say(`no face was found in ${file.name}.`);
}

/** Number of scores of a stream; a frame is drawn while the worker scores the next one. */
async function watch(video, own, ended) {
  const about = await loading;
  await scorer.call("clear");
  chart.clear(about.threshold);
  const start = performance.now();
  const times = [];
  let [last, scores] = [null, 0];
  while (own === task && !ended()) {
    await Promise.race([nextFrame(video), new Promise((done) => setTimeout(done, 500))]);
    if (own !== task || ended()) break;
    const { image, canvas } = copied(video, video.videoWidth, video.videoHeight);
    const current = { found: scorer.call("step", image), canvas, at: performance.now() - start };
    if (last) await draw(last);
    last = current;
  }
  if (last) await draw(last);
  return scores;

  async function draw({ found, canvas, at }) {
    const result = await found;
    if (own !== task) return;
    times.push(performance.now());
    if (times.length > RECENT) times.shift();
    if (result.score !== null) {
      scores++;
      chart.add(at / 1000, result.score, result.verdict);
      chart.draw();
    }
    const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
    show(about, canvas, result, times.length > 1 ? [["Frames a second", rate.toFixed(1)]] : []);
  }
}

function show({ threshold, oval }, canvas, { box, mean, verdict }, rows) {
  const { width, height } = canvas;
  drawPicture(canvas, width, height, box ? [{ box, verdict, score: mean, oval }] : []);
  const facts = [["Mean score", number(mean)], ["Threshold", number(threshold)]];
  showVerdict(mean === null ? "wait" : verdict, [...rows, ...facts]);
}

function stopCamera() {
  if (!camera) return;
  closeCamera(camera);
  camera = null;
  task++;
  find("camera").textContent = "Start the camera";
  find("camera").setAttribute("aria-pressed", "false");
}

async function toggleCamera() {
  if (camera) return stopCamera();
  const own = ++task;
  say("");
  try {
    camera = await openCamera();
  } catch (error) {
    return say(`The camera cannot be used (${error.name}).`);
  }
  find("camera").textContent = "Stop the camera";
  find("camera").setAttribute("aria-pressed", "true");
  showVerdict("wait", []);
  await watch(camera, own, () => !camera);
}

function fail(error) {
  showVerdict(null, []);
  say(error.message);
}

listen((file) => useFile(file).catch(fail), () => toggleCamera().catch(fail));
loading.then(({ name, oval }) => {
  find("about").textContent = `Live face, or print, screen or mask? Scored by ${name}.`;
  if (oval) find("hint").append(" Hold the face in the oval.");
}, (error) => say(`The model cannot be loaded (${error.message}).`));
