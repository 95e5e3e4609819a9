// The page without a server: the camera or a file, scored in this browser.
import { Scorer } from "./scorer.js";
import {
  Chart, closeCamera, drawPicture, find, listen, nextFrame, number, openCamera, say, showVerdict,
} from "./view.js";

const chart = new Chart(find("chart"));
const loading = Scorer.load();
let camera = null;
let task = 0; // older loops end

/** The pixels of a picture, or of the current frame of a video. */
const pixels = (() => {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return (source, width, height) => {
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    context.drawImage(source, 0, 0);
    return { image: context.getImageData(0, 0, width, height), canvas };
  };
})();

async function useFile(file) {
  stopCamera();
  const own = ++task;
  say("");
  showVerdict("wait", [["File", file.name]]);
  const picture = await createImageBitmap(file).catch(() => null);
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
  await watch(video, own, () => video.ended);
  URL.revokeObjectURL(video.src);
}

async function usePicture(file, picture, own) {
  const scorer = await loading;
  const { width, height } = picture;
  const { image, canvas } = pixels(picture, width, height);
  const found = await scorer.picture(image);
  if (own !== task) return;
  chart.clear(scorer.settings.threshold, "frame");
  if (found.score !== null) chart.add(0, found.score, found.verdict);
  chart.draw();
  show(scorer, canvas, found, [["File", file.name]]);
  if (found.box === null) say(`no face was found in ${file.name}.`);
}

async function watch(video, own, ended) {
  const scorer = await loading;
  scorer.clear();
  chart.clear(scorer.settings.threshold);
  const start = performance.now();
  for (let count = 1; own === task && !ended(); count++) {
    await Promise.race([nextFrame(video), new Promise((done) => setTimeout(done, 500))]);
    if (own !== task || ended()) return;
    const { image, canvas } = pixels(video, video.videoWidth, video.videoHeight);
    const found = await scorer.step(image);
    if (own !== task) return;
    const second = (performance.now() - start) / 1000;
    if (found.score !== null) {
      chart.add(second, found.score, found.verdict);
      chart.draw();
    }
    show(scorer, canvas, found, [["Frames a second", (count / second).toFixed(1)]]);
  }
}

function show(scorer, canvas, { box, mean, verdict }, rows) {
  const { width, height } = canvas;
  const oval = !scorer.faces;
  const shown = box ? [{ box, verdict, score: mean, oval }] : [];
  drawPicture(canvas, width, height, shown);
  const { threshold } = scorer.settings;
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

listen((file) => useFile(file).catch((error) => say(error.message)),
  () => toggleCamera().catch((error) => say(error.message)));
loading.then(({ settings, faces }) => {
  find("about").textContent = `Live face, or print, screen or mask? Scored by ${settings.name}.`;
  if (!faces) find("hint").append(" Hold the face in the oval.");
}, (error) => say(`The model cannot be loaded (${error.message}).`));
