'use strict'

// Loads the native addon: by napi-rs's loader, binding.cjs, which `make build` generates. Both builds of the package use
// this file. It never throws, because importing greenlets works on every platform: a failure is exported as `loadError`
// and becomes the UnsupportedRuntimeError of the first greenlet.
//
// Bundlers put this file into programs where neither `require` nor `__filename` exists. So it finds its place by a stack
// trace, and if napi-rs's loader fails, it looks there itself.

// The version of this package; scripts/version.ts checks it.
const VERSION = '0.1.0'
const SCOPE = '@greenlets/'
const PREFIX = `${SCOPE}binding-`
const ARCHES = { x64: 62, arm64: 183 }
const SUPPORTED = 'greenlets run on Linux, on x64 and arm64, with glibc 2.17 or newer or with musl'
/** Far more than any library has. Another header is not one. */
const MOST_SEGMENTS = 1000
const VARIABLE = 'NAPI_RS_NATIVE_LIBRARY_PATH'
const AGAIN = 'install greenlets again on this machine (npm install)'

const builtin = (name) => process.getBuiltinModule(`node:${name}`)
const location = findLocation()
/** The files that were tried, each with its error. */
const failures = []

function load() {
  const { bun, deno } = process.versions
  if (bun || deno) throw new Error(`this is ${bun ? `Bun ${bun}` : `Deno ${deno}`}, and greenlets need Node.js`)
  if (typeof process.getBuiltinModule !== 'function')
    throw new Error('this Node.js is too old; use 20.19 or newer, 22.12 or newer, 24 or 26')

  const { dlopen } = process
  const checked = (...args) => {
    const file = String(args[1])
    try {
      check(file)
      Reflect.apply(dlopen, process, args)
      checkExports(args[0]?.exports)
    } catch (error) {
      // A bundler may have made a path that leads nowhere.
      if (builtin('fs').existsSync(file)) failures.push({ file, error })
      throw error
    }
  }
  // Does nothing where `process` is frozen.
  Reflect.set(process, 'dlopen', checked)
  try {
    const addon = fromExecutable() ?? fromNapi()
    // A file that was loaded before is not loaded again.
    checkExports(addon)
    return addon
  } finally {
    Reflect.set(process, 'dlopen', dlopen)
  }
}

function fromNapi() {
  try {
    return require('./binding.cjs')
  } catch (error) {
    // A file that was found and is wrong is the reason, unless another one can be loaded.
    if (failures.length > 0 || nativePath() !== undefined || !isNapis(error) || !isSupported()) throw error
    return besideTheBundle(error)
  }
}

/** Looks where this script is: beside it, and in the `node_modules` above it. */
function besideTheBundle(cause) {
  const ownRequire = builtin('module').createRequire(location)
  for (const name of [`./greenlets.${target()}.node`, PREFIX + target()]) {
    try {
      return ownRequire(name)
    } catch (error) {
      if (error?.code !== 'MODULE_NOT_FOUND') throw error
    }
  }
  throw cause
}

/** The addon out of a single executable application that has it as an asset, of which the key is the file's name. */
function fromExecutable() {
  const sea = builtin('sea')
  if (!sea?.isSea() || nativePath() !== undefined) return undefined
  for (const libc of ['gnu', 'musl']) {
    const name = `greenlets.${process.platform}-${process.arch}-${libc}.node`
    let asset
    try {
      asset = sea.getRawAsset(name)
    } catch {
      continue
    }
    const { mkdtempSync, rmSync, writeFileSync } = builtin('fs')
    const { join } = builtin('path')
    // A folder that no other user can write to. Once it is loaded, the file is not needed.
    const folder = mkdtempSync(join(builtin('os').tmpdir(), 'greenlets-'))
    try {
      const file = join(folder, name)
      writeFileSync(file, Buffer.from(asset), { mode: 0o700 })
      const module = { exports: {} }
      process.dlopen(module, file)
      return module.exports
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
  return undefined
}

/** @throws an Error where a file that was loaded is not the addon of this version */
function checkExports(addon) {
  if (typeof addon?.attach !== 'function') throw new Error('it is another add-on')
  if (addon.VERSION !== VERSION)
    throw new Error(`it is of version ${addon.VERSION ?? 'unknown'} of greenlets, and this is version ${VERSION}`)
}

/** @throws an Error with the reason why this file must not be loaded */
function check(file) {
  // The loader of the system ends the process with SIGBUS where a library's file has been cut off.
  const { missing, machine } = describeFile(file)
  if (missing > 0) throw new Error(`it is cut off: ${missing} bytes are missing`)
  const wanted = ARCHES[process.arch]
  if (machine !== undefined && wanted !== undefined && machine !== wanted) {
    const arch = Object.keys(ARCHES).find((name) => ARCHES[name] === machine) ?? `ELF machine ${machine}`
    throw new Error(`it is for another processor (${arch})`)
  }
  const found = packageOf(file)
  if (found !== undefined && found.version !== VERSION)
    throw new Error(`it is version ${found.version} of ${found.name}, and greenlets has version ${VERSION}`)
}

/** The package.json of the binary package that the file is in; undefined where it is in no such package. */
function packageOf(file) {
  try {
    const { dirname, join } = builtin('path')
    const manifest = JSON.parse(builtin('fs').readFileSync(join(dirname(file), 'package.json'), 'utf8'))
    return String(manifest.name).startsWith(PREFIX) ? manifest : undefined
  } catch {
    return undefined
  }
}

/**
 * What the headers of a 64-bit ELF file say: for which machine it is, and how many bytes it lacks at its end, going by
 * each segment and by the table of sections, which comes last. Nothing is known of other files, and of those that cannot
 * be read: the system's loader says what is wrong with them.
 */
function describeFile(path) {
  const { closeSync, fstatSync, openSync } = builtin('fs')
  let file
  try {
    file = openSync(path, 'r')
    const { size } = fstatSync(file)
    const header = bytesOf(file, 0, 64)
    if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return { missing: 0 }
    const [entry, count] = [header.readUInt16LE(54), header.readUInt16LE(56)]
    if (count > MOST_SEGMENTS) return { missing: 0 }
    const segmentTable = Number(header.readBigUInt64LE(32))
    const sectionTable = Number(header.readBigUInt64LE(40))
    const ends = [segmentTable + entry * count, sectionTable + header.readUInt16LE(58) * header.readUInt16LE(60)]
    const segments = bytesOf(file, segmentTable, entry * count)
    for (let at = 0; at + 40 <= segments.length; at += entry) {
      ends.push(Number(segments.readBigUInt64LE(at + 8)) + Number(segments.readBigUInt64LE(at + 32)))
    }
    return { missing: Math.max(...ends) - size, machine: header.readUInt16LE(18) }
  } catch {
    return { missing: 0 }
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** The bytes at a place of the file; zeros where the file has ended. */
function bytesOf(file, position, length) {
  const bytes = Buffer.alloc(length)
  builtin('fs').readSync(file, bytes, 0, length, position)
  return bytes
}

function explain(error) {
  const { platform, arch, version } = process
  const where = `${platform}-${arch}${platform === 'linux' ? ` (${libc()})` : ''}, Node.js ${String(version).slice(1)}`
  return `greenlets could not load its native addon on ${where}: ${reasonOf(error)}`
}

/** The cause and what to do. */
function reasonOf(error) {
  const [failure] = failures
  if (failure !== undefined) {
    const reason = sentence(failure.error)
    // Where the variable names the file, another installation does not help.
    const again = failure.file === nativePath() ? `correct or delete the variable ${VARIABLE}` : AGAIN
    return `${failure.file} was found, but ${reason}; ${remedy(failure.error, reason, again)}`
  }
  if (error?.code === 'ERR_DLOPEN_DISABLED' || error?.code === 'ERR_ACCESS_DENIED')
    return `${sentence(error)}; ${remedy(error, '', AGAIN)}`
  const path = nativePath()
  if (path !== undefined) {
    const reason = builtin('fs').existsSync(path)
      ? `cannot be loaded (${sentence(lastCause(error))})`
      : 'does not exist'
    return `the environment variable ${VARIABLE} names ${path}, which ${reason}; correct or delete the variable`
  }
  if (!isNapis(error)) return `${sentence(error)}. ${SUPPORTED}`
  if (!isSupported()) return `there is no binary for this platform. ${SUPPORTED}`
  const others = installed()
  if (others.includes(PREFIX + target()))
    return `${PREFIX}${target()} is installed, but its file greenlets.${target()}.node is missing or cannot be read; ${AGAIN}`
  if (others.length > 0)
    return `${PREFIX}${target()} is not installed, but ${others.join(' and ')} ${others.length > 1 ? 'are' : 'is'}, so node_modules was made for another platform; ${AGAIN}`
  return (
    `${PREFIX}${target()} was not found; install greenlets with its optional dependencies (npm install --include=optional). ` +
    `In a bundle, keep this package external, or copy its file greenlets.${target()}.node beside ${location}`
  )
}

/** What to do about a file that was found. `reason` is its error's text, `again` how another file can be had. */
function remedy({ code, resource }, reason, again) {
  if (code === 'ERR_DLOPEN_DISABLED')
    return 'start Node.js without --no-addons, and with --allow-addons where it has --permission'
  if (code === 'ERR_ACCESS_DENIED') return `start Node.js with --allow-fs-read for ${resource || 'this file'}`
  if (/failed to map segment|Operation not permitted|Permission denied/i.test(reason))
    return 'move it to a file system that is mounted without noexec, and let this user read and run it'
  if (/ld-linux|ld-musl|libc\.musl|libc\.so|GLIBC_|symbol not found|relocating/i.test(reason))
    return `this Node.js has another libc than the file needs (it has ${libc()}); ${again}. ${SUPPORTED}`
  return `${again}. ${SUPPORTED}`
}

/** The first line, without a full stop. */
function sentence(error) {
  return String(error?.message ?? error)
    .split('\n', 1)[0]
    .replace(/\.$/, '')
}

/** Whether the error is the one in which napi-rs's loader sums up that it has found nothing, or that of a bundle without `require`. */
function isNapis(error) {
  return /native binding|\brequire\b/.test(String(error?.message))
}

/** napi-rs's loader chains the errors of all places that it has tried; the first of them is the last cause. */
function lastCause(error) {
  let last = error
  for (let i = 0; i < 100 && (last?.cause ?? undefined) !== undefined; i++) last = last.cause
  return last
}

function isSupported() {
  return process.platform === 'linux' && Object.hasOwn(ARCHES, process.arch)
}

/** As napi-rs names it. Called only after a failure: the report takes milliseconds. */
function target() {
  return `${process.platform}-${process.arch}-${libc() === 'musl' ? 'musl' : 'gnu'}`
}

function libc() {
  try {
    const version = process.report.getReport().header.glibcVersionRuntime
    return version ? `glibc ${version}` : 'musl'
  } catch {
    return 'unknown libc'
  }
}

/** The binary packages that are installed above this script. */
function installed() {
  try {
    const { join } = builtin('path')
    const folders = builtin('module').createRequire(location).resolve.paths(SCOPE) ?? []
    return folders.flatMap((folder) => {
      try {
        const names = builtin('fs').readdirSync(join(folder, SCOPE))
        return names.filter((name) => name.startsWith('binding-')).map((name) => SCOPE + name)
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}

function nativePath() {
  try {
    return process.env.NAPI_RS_NATIVE_LIBRARY_PATH || undefined
  } catch {
    return undefined
  }
}

/** The script that holds this function, as V8 knows it: a path, or a URL in an ES module. */
function findLocation() {
  const saved = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace')
  const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')
  let name
  try {
    Error.stackTraceLimit = 1
    Error.prepareStackTrace = (_, sites) => sites[0]?.getFileName()
    name = new Error().stack
  } catch {
    // `Error` is frozen, or the program has replaced its properties by accessors.
  }
  try {
    if (saved === undefined) delete Error.prepareStackTrace
    else Object.defineProperty(Error, 'prepareStackTrace', saved)
    if (limit === undefined) delete Error.stackTraceLimit
    else Object.defineProperty(Error, 'stackTraceLimit', limit)
  } catch {
    // As above.
  }
  // A bundle that was compiled from a text has no file.
  return /^(?:file:\/\/)?\//.test(name) ? name : `${process.cwd()}/[unknown]`
}

let addon
try {
  addon = load()
} catch (error) {
  addon = { loadError: explain(error) }
}
module.exports = { addon, location }
