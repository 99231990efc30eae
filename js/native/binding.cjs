'use strict'

// Loads the native addon. It never throws, because importing greenlets works on every platform: a failure is exported
// as `loadError` and becomes the UnsupportedRuntimeError of the first greenlet.

const { closeSync, existsSync, fstatSync, openSync, readSync } = require('node:fs')
const { join, resolve } = require('node:path')

const SUPPORTED = 'Supported: linux-x64 with glibc 2.17 or newer'
/** Far more than any library has. Another header is not one. */
const MOST_SEGMENTS = 1000
const PACKAGE = '@greenlets/binding-linux-x64-gnu'

function load() {
  const { bun, deno } = process.versions
  if (bun || deno) throw new Error(`this is ${bun ? `Bun ${bun}` : `Deno ${deno}`}, and greenlets need Node.js`)

  const path = process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (path) return requireWhole(resolve(path))

  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('there is no binary for this platform')

  // In a checkout `make build` puts the addon into js/native/, where this file is; its copy in dist/native/ looks there
  // too. The published package has no such folder.
  const local = join(__dirname, '../../js/native/greenlets.linux-x64-gnu.node')
  if (existsSync(local)) return requireWhole(local)

  const wanted = require('../../package.json').version
  const found = require(`${PACKAGE}/package.json`).version
  if (found !== wanted) throw new Error(`${PACKAGE} has version ${found}, but greenlets has version ${wanted}`)
  return requireWhole(require.resolve(PACKAGE))
}

/** The loader of the system ends the process with SIGBUS where a library's file has been cut off. */
function requireWhole(path) {
  const missing = missingBytes(path)
  if (missing > 0) throw new Error(`${path} is cut off: ${missing} bytes are missing; install greenlets again`)
  return require(path)
}

/**
 * How many bytes a 64-bit ELF file lacks at its end, going by its headers: each segment, and the table of sections,
 * which comes last. 0 for other files, and for those that cannot be read: `require` says what is wrong with them.
 */
function missingBytes(path) {
  let file
  try {
    file = openSync(path, 'r')
    const { size } = fstatSync(file)
    const header = bytesOf(file, 0, 64)
    if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return 0
    const [entry, count] = [header.readUInt16LE(54), header.readUInt16LE(56)]
    if (count > MOST_SEGMENTS) return 0
    const segmentTable = Number(header.readBigUInt64LE(32))
    const sectionTable = Number(header.readBigUInt64LE(40))
    const ends = [segmentTable + entry * count, sectionTable + header.readUInt16LE(58) * header.readUInt16LE(60)]
    const segments = bytesOf(file, segmentTable, entry * count)
    for (let at = 0; at + 40 <= segments.length; at += entry) {
      ends.push(Number(segments.readBigUInt64LE(at + 8)) + Number(segments.readBigUInt64LE(at + 32)))
    }
    return Math.max(...ends) - size
  } catch {
    return 0
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** The bytes at a place of the file; zeros where the file has ended. */
function bytesOf(file, position, length) {
  const bytes = Buffer.alloc(length)
  readSync(file, bytes, 0, length, position)
  return bytes
}

function explain(error) {
  const { platform, arch } = process
  const reason = String(error?.message ?? error)
    .split('\n', 1)[0]
    .replace(/\.$/, '')
  return (
    `greenlets could not load its native addon on ${platform}-${arch}${platform === 'linux' ? ` (${libc()})` : ''}: ` +
    `${reason}${remedy(error)}`
  )
}

/** What to do, where the error shows the cause. */
function remedy(error) {
  if (error?.code === 'ERR_DLOPEN_DISABLED') {
    return '; start Node.js without --no-addons, and with --allow-addons where it has --permission'
  }
  if (error?.code === 'MODULE_NOT_FOUND' && String(error.message).includes(PACKAGE)) {
    return `; install greenlets with its optional dependencies (npm install --include=optional). ${SUPPORTED}`
  }
  return `. ${SUPPORTED}`
}

// Called only after a failure: the report takes milliseconds.
function libc() {
  try {
    const version = process.report.getReport().header.glibcVersionRuntime
    return version ? `glibc ${version}` : 'musl'
  } catch {
    return 'unknown libc'
  }
}

try {
  module.exports = load()
} catch (error) {
  module.exports = { loadError: explain(error) }
}
