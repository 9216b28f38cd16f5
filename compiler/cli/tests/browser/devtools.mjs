// A headless Chromium, driven over the pipes of its DevTools Protocol: nothing but node is needed.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PATIENCE_MS = 30_000;

function browser() {
  const wanted = process.env.CYGNET_BROWSER ? [process.env.CYGNET_BROWSER] : NAMES;
  const found = wanted.find((name) => spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0);
  if (!found) {
    throw new Error(`no browser: none of ${wanted.join(", ")} runs; ./test.sh --quick installs one on Debian, ` +
      "elsewhere install Chromium or set CYGNET_BROWSER to its program");
  }
  return found;
}

/// Runs `use` with a browser, which ends with it.
export async function withBrowser(use) {
  const profile = mkdtempSync(join(tmpdir(), "cygnet-browser-"));
  const program = spawn(browser(), [
    "--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`,
    "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking",
    // Containers run as root, where the sandbox refuses to start; the pages are ours.
    "--no-sandbox", "about:blank",
  ], { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"], detached: true });
  let said = "";
  program.stderr.on("data", (text) => { said = (said + text).slice(-4000); });
  const browserEnd = new Promise((resolve) => program.once("exit", resolve));
  const connection = new Connection(program.stdio[3], program.stdio[4]);
  program.once("exit", (code) => connection.fail(new Error(`the browser ended (${code}): ${said}`)));
  try {
    return await use(connection);
  } finally {
    // With its helpers, which would go on writing to the profile: they are of its process group.
    try {
      process.kill(-program.pid, "SIGKILL");
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
    await browserEnd;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

class Connection {
  #next = 1;
  #waiting = new Map();
  #listeners = new Map();
  #broken;

  constructor(input, output) {
    this.input = input;
    let rest = Buffer.alloc(0);
    output.on("data", (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.subarray(end + 1)) {
        this.#take(JSON.parse(rest.subarray(0, end).toString()));
      }
    });
    input.on("error", (error) => this.fail(error));
  }

  #take(message) {
    if (message.id) {
      const { resolve, reject, method } = this.#waiting.get(message.id) ?? {};
      this.#waiting.delete(message.id);
      if (message.error) reject?.(new Error(`${method}: ${message.error.message}`));
      else resolve?.(message.result);
    } else {
      this.#listeners.get(message.sessionId)?.(message.method, message.params);
    }
  }

  fail(error) {
    this.#broken = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  send(method, params = {}, sessionId = undefined) {
    if (this.#broken) return Promise.reject(this.#broken);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method}: no answer in ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
      const settle = (done) => (value) => { clearTimeout(late); done(value); };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject), method });
      this.input.write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    });
  }

  /// Opens a page and waits until it is loaded. What it complains about, and what it wants to fetch, is collected.
  async open(url, { width, height, scheme }) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId);
    this.#listeners.set(sessionId, (method, params) => page.hear(method, params));
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    await page.resize({ width, height });
    await page.media("screen", scheme);
    const loaded = new Promise((resolve) => { page.loaded = resolve; });
    page.url = url;
    const { errorText } = await page.send("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await loaded;
    await page.ready();
    return page;
  }
}

class Page {
  complaints = [];

  constructor(connection, targetId, sessionId) {
    Object.assign(this, { connection, targetId, sessionId });
  }

  send(method, params) {
    return this.connection.send(method, params, this.sessionId);
  }

  hear(method, params) {
    if (method === "Page.loadEventFired") this.loaded?.();
    if (method === "Runtime.exceptionThrown") {
      const { exception, text } = params.exceptionDetails;
      this.complaints.push(`exception: ${exception?.description ?? text}`);
    }
    if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) {
      this.complaints.push(`console: ${params.args.map((a) => a.value ?? a.description).join(" ")}`);
    }
    if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
      this.complaints.push(`${params.entry.source}: ${params.entry.text}`);
    }
    if (method === "Network.requestWillBeSent" && params.request.url !== this.url && !params.request.url.startsWith("data:")) {
      this.complaints.push(`wants to fetch ${params.request.url}`);
    }
  }

  media(media, scheme) {
    return this.send("Emulation.setEmulatedMedia", { media, features: [{ name: "prefers-color-scheme", value: scheme }] });
  }

  /// Waits until the page itself is there: the event may have been that of the empty page before.
  async ready() {
    const end = Date.now() + PATIENCE_MS;
    while (Date.now() < end) {
      // While one page gives way to the other there is nothing to ask.
      const state = await this.run(() => `${document.readyState} ${location.href}`).catch(() => "");
      if (state === `complete ${this.url}`) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${this.url} is not loaded after ${PATIENCE_MS / 1000} s`);
  }

  resize(size) {
    return this.send("Emulation.setDeviceMetricsOverride", { ...size, deviceScaleFactor: 1, mobile: false });
  }

  /// What a function gives in the page.
  async run(f, ...values) {
    const expression = `(${f})(...${JSON.stringify(values)})`;
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /// Clicks into the middle of the first element of a selector, as a mouse does.
  async click(selector) {
    const at = await this.run((s) => {
      const e = document.querySelector(s);
      e.scrollIntoView({ block: "center", inline: "center" });
      const r = e.getBoundingClientRect();
      return { x: r.x + r.width / 2, y: r.y + r.height / 2 };
    }, selector);
    const mouse = (type) => this.send("Input.dispatchMouseEvent", { type, ...at, button: "left", clickCount: 1 });
    await mouse("mousePressed");
    await mouse("mouseReleased");
  }

  /// Presses Enter on the first element of a selector.
  async enter(selector) {
    await this.run((s) => document.querySelector(s).focus(), selector);
    const key = { key: "Enter", code: "Enter", windowsVirtualKeyCode: 13, text: "\r" };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...key });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...key });
  }

  /// A PNG of the whole page.
  async picture() {
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
    return Buffer.from(data, "base64");
  }

  close() {
    return this.connection.send("Target.closeTarget", { targetId: this.targetId });
  }
}
