// Runs a WASI command in node: node wasi-run.mjs FILE.wasm [ARGUMENT]...
// The program may use the folder WASI_FOLDER, under the same path; without, it sees no files.
import { mkdir, readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const folder = process.env.WASI_FOLDER;
if (folder) await mkdir(folder, { recursive: true });
const preopens = folder ? { [folder]: folder } : {};
const wasi = new WASI({ version: "preview1", args: process.argv.slice(2), env: process.env, preopens });
const module = await WebAssembly.compile(await readFile(process.argv[2]));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject())) ?? 0;
