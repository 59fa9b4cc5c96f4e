#!/usr/bin/env node
// A native-solc look-alike around the npm package "solc", for py-solc-x (solc_binary) and forge (solc).
// Understands: --version | --standard-json [file] with --base-path, --include-path, --allow-paths (also "--flag=value").
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const options = { "--include-path": [] };
const args = process.argv.slice(2).flatMap((a) => (/^--[a-z-]+=/.test(a) ? [a.slice(0, a.indexOf("=")), a.slice(a.indexOf("=") + 1)] : [a]));
let file = null;
for (let i = 0; i < args.length; i++) {
  if (args[i] === "--include-path") options[args[i]].push(args[++i]);
  else if (args[i] === "--base-path" || args[i] === "--allow-paths") options[args[i]] = args[++i];
  else if (args[i] === "--version" || args[i] === "--standard-json") options[args[i]] = true;
  else if (args[i].startsWith("--")) fail(`unknown option ${args[i]}`);
  else if (args[i] !== "-") file = args[i];
}

function fail(message) {
  process.stderr.write(`solc-wrapper: ${message}\n`);
  process.exit(1);
}

function readImport(name) {
  const roots = [options["--base-path"] || process.cwd(), ...options["--include-path"]];
  const allowed = [...roots, ...(options["--allow-paths"] || "").split(",").filter(Boolean)].map((p) => path.resolve(p));
  for (const candidate of path.isAbsolute(name) ? [name] : roots.map((root) => path.resolve(root, name))) {
    const inside = allowed.some((p) => candidate === p || candidate.startsWith(p.endsWith(path.sep) ? p : p + path.sep));
    if (inside && fs.existsSync(candidate)) return { contents: fs.readFileSync(candidate, "utf8") };
  }
  return { error: "File not found or outside the allowed paths." };
}

if (options["--version"]) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version().replace(".Emscripten.clang", ".Linux.g++")}\n`);
} else if (options["--standard-json"]) {
  const input = fs.readFileSync(file === null ? 0 : file, "utf8");
  process.stdout.write(solc.compile(input, { import: readImport }) + "\n");
} else fail("expected --version or --standard-json [file]");
