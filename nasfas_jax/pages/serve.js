// The server's page: sends a file to /predict, or the camera's frames to /watch.
import {
  Chart, caution, closeCamera, drawPicture, element, find, listen, nextFrame, number, openCamera,
  say, showVerdict,
} from "./view.js";

const chart = new Chart(find("chart"));
const health = fetch("health").then((response) => response.json());
let video = null;
let task = 0; // the answer to an older one is not shown

async function useFile(file) {
  stopCamera();
  const own = ++task;
  say("");
  showVerdict("wait", [["File", file.name]]);
  const body = new FormData();
  body.append("file", file);
  let answer;
  try {
    const response = await fetch("predict", { method: "POST", body });
    answer = await response.json();
  } catch {
    answer = { error: "The server cannot be reached, or ended the upload." };
  }
  if (own !== task) return;
  if (answer.error) {
    say(answer.error);
    showVerdict(null, [["File", file.name]]);
    return;
  }
  showPrediction(answer);
  if (answer.clips.some((clip) => clip.still)) say(caution((await health).input));
  await showPicture(file, answer, own);
}

function showPrediction({ name, score, verdict, threshold, clips }) {
  showVerdict(verdict, [
    ["File", name], ["Mean score", number(score)], ["Threshold", number(threshold)],
    ["Clips", String(clips.length)],
  ]);
  const timed = clips[0].second != null;
  chart.clear(threshold, timed ? "s" : "frame");
  for (const clip of clips) chart.add(timed ? clip.second : clip.frame, clip.score, clip.verdict);
  chart.draw();
  find("more").hidden = false;
  find("rows").replaceChildren(...clips.map((clip) => {
    const row = document.createElement("tr");
    const cells = [clip.frame, clip.second?.toFixed(3) ?? "", number(clip.score), clip.verdict ?? ""];
    row.append(...cells.map((text) => element("td", text)));
    return row;
  }));
}

/** The picture, or the video at its last clip, with its box. */
async function showPicture(file, { clips }, own) {
  const address = URL.createObjectURL(file);
  const clip = clips.at(-1);
  const shown = [{ box: clip.box, verdict: clip.verdict, score: clip.score }];
  try {
    const picture = await createImageBitmap(file).catch(() => null);
    if (picture) {
      if (own === task) drawPicture(picture, picture.width, picture.height, shown);
      return;
    }
    const player = document.createElement("video");
    player.muted = true;
    player.src = address;
    await new Promise((done, failed) => {
      player.onseeked = done;
      player.onerror = failed;
      player.onloadeddata = () => { player.currentTime = clip.second ?? 0; };
    });
    if (own === task) drawPicture(player, player.videoWidth, player.videoHeight, shown);
  } catch {
    find("picture").hidden = true;
    find("hint").hidden = false;
    find("hint").textContent = "This browser cannot show the file; its scores are below.";
  } finally {
    URL.revokeObjectURL(address);
  }
}

function stopCamera() {
  if (!video) return;
  closeCamera(video);
  video = null;
  const button = find("camera");
  button.textContent = "Start the camera";
  button.setAttribute("aria-pressed", "false");
}

async function toggleCamera() {
  if (video) return stopCamera();
  const own = ++task;
  say("");
  try {
    video = await openCamera();
  } catch (error) {
    return say(`The camera cannot be used (${error.name}).`);
  }
  find("camera").textContent = "Stop the camera";
  find("camera").setAttribute("aria-pressed", "true");
  find("more").hidden = true;
  const { threshold } = await health;
  chart.clear(threshold);
  showVerdict("wait", []);
  try {
    await watch(own, threshold);
  } catch (error) {
    say(error.message);
  }
  if (own === task) stopCamera();
}

/** Sends the next frame when the last one is answered, so that no queue forms. */
async function watch(own, threshold) {
  const socket = new WebSocket(new URL("watch", location.href.replace(/^http/, "ws")));
  await new Promise((done, failed) => {
    socket.onopen = done;
    socket.onerror = () => failed(new Error("The server cannot be reached."));
  });
  const frame = document.createElement("canvas");
  frame.width = video.videoWidth;
  frame.height = video.videoHeight;
  const context = frame.getContext("2d");
  while (video && own === task) {
    await nextFrame(video);
    if (!video || own !== task) break;
    context.drawImage(video, 0, 0);
    const jpeg = await new Promise((done) => frame.toBlob(done, "image/jpeg", 0.95));
    const answer = new Promise((done, failed) => {
      socket.onmessage = (event) => done(JSON.parse(event.data));
      socket.onclose = () => failed(new Error("The server ended the connection."));
    });
    socket.send(jpeg);
    const seen = await answer;
    if (seen.error) throw new Error(seen.error);
    if (own === task) showSeen(frame, seen, threshold);
  }
  socket.onclose = null;
  socket.close();
}

function showSeen(frame, seen, threshold) {
  drawPicture(frame, seen.width, seen.height, seen.faces.map(
    ({ box, verdict, mean }) => ({ box, verdict, score: mean }),
  ));
  const [face] = seen.faces;
  const rate = seen.second ? seen.frame / seen.second : 0;
  const rows = [
    ["Faces", String(seen.faces.length)], ["Mean score", number(face?.mean)],
    ["Threshold", number(threshold)], ["Frames a second", rate.toFixed(1)],
  ];
  showVerdict(face ? (face.mean == null ? "wait" : face.verdict) : "wait", rows);
  if (face?.score != null) {
    chart.add(seen.second, face.score, face.verdict);
    chart.draw();
  }
}

listen(useFile, toggleCamera);
health.then(({ model }) => {
  find("about").textContent = `Live face, or print, screen or mask? Scored by ${model}.`;
});
