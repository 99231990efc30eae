// Makes THIRD-PARTY-LICENSES.txt: the licences of the crates that are compiled into the addon, for the packages with binaries.
// `licenses.ts write` writes it, `licenses.ts check` says whether the committed one is that of Cargo.lock.

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
const FILE = join(ROOT, 'THIRD-PARTY-LICENSES.txt')
const ADDON = 'greenlets-napi'
const TARGETS = ['x86_64', 'aarch64'].flatMap((cpu) => [`${cpu}-unknown-linux-gnu`, `${cpu}-unknown-linux-musl`])
/** Where a crate offers several licences, the first of these that it offers. The others are taken as they are. */
const PREFERRED = ['MIT', 'ISC', 'Zlib']
/** What the names of the files with these licences contain. */
const IN_NAME: Readonly<Record<string, RegExp>> = { MIT: /^LICENSE-MIT/i, 'Unicode-3.0': /^LICENSE-UNICODE/i }
const ANY_FILE = /^(?:LICEN[CS]E|COPYING)(?:\.md|\.txt)?$/i

interface Crate {
  readonly id: string
  readonly name: string
  readonly version: string
  readonly license: string | null
  readonly authors: readonly string[]
  readonly manifest_path: string
  readonly source: string | null
  readonly targets: readonly { readonly kind: readonly string[] }[]
}

interface Metadata {
  readonly packages: readonly Crate[]
  readonly resolve: { readonly nodes: readonly Node[] }
}

interface Node {
  readonly id: string
  readonly deps: readonly { readonly pkg: string; readonly dep_kinds: readonly { readonly kind: string | null }[] }[]
}

const text = licences()
const [mode] = process.argv.slice(2)
if (mode === 'write') writeFileSync(FILE, text)
else if (mode !== 'check') throw new Error('usage: licenses.ts write, or licenses.ts check')
else if (existsSync(FILE) && readFileSync(FILE, 'utf8') === text) {
  console.log('licences: THIRD-PARTY-LICENSES.txt is that of Cargo.lock')
} else {
  console.error("THIRD-PARTY-LICENSES.txt is not that of Cargo.lock; run 'make licenses' and commit it")
  process.exitCode = 1
}

function licences(): string {
  const crates = new Map(TARGETS.flatMap(compiledFor).map((crate) => [`${crate.name} ${crate.version}`, crate]))
  /** From a licence's text to the crates that have it. */
  const users = new Map<string, string[]>()
  for (const [name, crate] of [...crates].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    for (const licence of chosen(crate)) {
      const body = bodyOf(crate, licence)
      users.set(body, [...(users.get(body) ?? []), `${name} (${licence})`])
    }
  }
  const std = "Rust's standard library (MIT)"
  const projects = mit('The Rust Project Developers (see https://thanks.rust-lang.org)')
  users.set(projects, [...(users.get(projects) ?? []), std])
  const sections = [...users].map(([body, names]) => `${names.join('\n')}\n\n${body}\n`)
  const head = "The native addon of greenlets contains code of these crates and of Rust's standard library.\n"
  return [head, ...sections].join(`\n${'-'.repeat(80)}\n\n`)
}

/** The crates that are linked into the addon: no build scripts, and nothing that only procedural macros use. */
function compiledFor(target: string): Crate[] {
  const options = ['metadata', '--format-version', '1', '--locked', '--filter-platform', target]
  const output = execFileSync('cargo', options, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 28 })
  const metadata: Metadata = JSON.parse(output)
  const byId = new Map(metadata.packages.map((crate) => [crate.id, crate]))
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]))
  const found = new Set<string>()
  const visit = (id: string): void => {
    if (found.has(id) || byId.get(id)!.targets.some(({ kind }) => kind.includes('proc-macro'))) return
    found.add(id)
    for (const { pkg, dep_kinds } of nodes.get(id)!.deps) if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg)
  }
  visit(metadata.packages.find(({ name }) => name === ADDON)!.id)
  return [...found].map((id) => byId.get(id)!).filter(({ source }) => source !== null)
}

/** `(MIT OR Apache-2.0) AND Unicode-3.0` gives MIT and Unicode-3.0. */
function chosen({ name, license }: Crate): string[] {
  if (license === null) throw new Error(`${name} names no licence`)
  return license.split(' AND ').map((part) => {
    const offered = part.replaceAll(/[()]/g, '').split(/ OR |\//)
    const licence = PREFERRED.find((preferred) => offered.includes(preferred)) ?? offered[0]!
    if (offered.length > 1 && !PREFERRED.includes(licence)) throw new Error(`${name}: choose one of ${part}`)
    return licence
  })
}

function bodyOf({ name, manifest_path, authors }: Crate, licence: string): string {
  const folder = dirname(manifest_path)
  const files = readdirSync(folder)
  const pattern = IN_NAME[licence]
  const file = files.find((file) => pattern?.test(file)) ?? files.find((file) => ANY_FILE.test(file))
  if (file !== undefined) return readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n').trim()
  if (licence === 'MIT')
    return mit(
      `the authors of ${name}${authors.length > 0 ? `: ${authors.map((author) => author.replace(/ <.*>/, '')).join(', ')}` : ''}`,
    )
  throw new Error(`${name} has no file with its licence, ${licence}`)
}

/** The text of the MIT licence, for crates that name it and ship no copy of it. */
function mit(holder: string): string {
  return `Copyright (c) ${holder}\n\n${readFileSync(join(ROOT, 'LICENSE'), 'utf8')
    .replace(/^[\s\S]*?(?=Permission is)/, '')
    .trim()}`
}
