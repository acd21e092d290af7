// Talks to the page's worker from any document of the page's origin. The tests prepend this to their scripts.

function openWorker() {
  const worker = new Worker("/worker.js", { type: "module" });
  const messages = [];
  const waiting = new Set();
  const look = () => waiting.forEach((check) => check());
  worker.onmessage = ({ data }) => {
    messages.push(data);
    look();
  };
  worker.onerror = (event) => {
    messages.push({ type: "error", kind: "bug", message: event.message });
    look();
  };
  return {
    messages,
    send: (message) => worker.postMessage(message),
    /** The first message from index `from` on that `wanted` accepts. Throws an error that is not wanted. */
    until: (wanted, from = 0) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const found = messages.slice(from).find((message) => wanted(message));
          const error = messages.slice(from).find((message) => message.type === "error");
          if (!found && !error) return;
          waiting.delete(check);
          if (found) resolve(found);
          else reject(new Error(`${error.kind}: ${error.message}`));
        };
        waiting.add(check);
        check();
      }),
    end: () => worker.terminate(),
  };
}

const is = (type) => (message) => message.type === type;

async function started(device) {
  const worker = openWorker();
  worker.send({ type: "start", device });
  worker.device = (await worker.until(is("ready"))).device;
  return worker;
}

async function withModel(device) {
  const worker = await started(device);
  const file = await (await fetch("/models/default.safetensors")).blob();
  worker.send({ type: "model", request: 1, file });
  worker.model = (await worker.until(is("model"))).model;
  return worker;
}

/** The chosen file of this document's input. */
const chosen = () => document.querySelector("input[type=file]").files[0];

/** Concatenates blocks: planar stereo of each stem, in base64. */
function together(blocks) {
  let end = 0;
  for (const block of blocks) {
    if (block.start !== end) throw new Error(`a block starts at ${block.start}, not at ${end}`);
    end += block.mixture[0].length;
  }
  const join = (channels) => {
    const whole = new Float32Array(end * 2);
    channels.forEach((channel, index) => {
      let at = index * end;
      for (const part of channel) {
        whole.set(part, at);
        at += part.length;
      }
    });
    const bytes = new Uint8Array(whole.buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    return btoa(text);
  };
  const stems = blocks[0].stems.map((_, stem) => join([0, 1].map((channel) => blocks.map((block) => block.stems[stem][channel]))));
  return { samples: end, mixture: join([0, 1].map((channel) => blocks.map((block) => block.mixture[channel]))), stems };
}
